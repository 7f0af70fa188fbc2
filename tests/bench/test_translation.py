"""The benchmark of translation runs, and says what it promises."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench.translation import QUICK, Cost, TranslationRecord, measure, profile_of, table
from bench.translation_wires import WIRES

DIALECTS = ["anthropic", "gemini", "bedrock", "cohere", "openai"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_is_measured(dialect: str) -> None:
    cost = measure(WIRES[dialect], QUICK)

    assert cost.request_us > 0
    assert cost.answer_us > 0
    assert {"text", "thinking"} <= cost.chunk_us.keys()
    assert all(0 < each < 10_000 for each in cost.chunk_us.values())


def test_verdict_is_of_the_dearest_kind_of_chunk() -> None:
    fast = Cost(dialect="fast", request_us=1, answer_us=1, chunk_us={"text": 20.0, "thinking": 60.0}, kept=True)
    slow = Cost(dialect="slow", request_us=1, answer_us=1, chunk_us={"text": 20.0, "arguments": 60.1}, kept=False)

    said = table([fast, slow]).splitlines()

    assert "PASS  fast: translated chunk 60.0 us (at most 60)" in said
    assert "MISS  slow: translated chunk 60.1 us (at most 60)" in said


def test_profile_names_what_takes_the_time() -> None:
    assert "feed" in profile_of(WIRES["anthropic"], "text")


def test_run_writes_its_figures(tmp_path: Path) -> None:
    out = tmp_path / "translation.json"
    argv = [sys.executable, "-m", "bench.translation", "--quick", "--only", "gemini,cohere", "--out", str(out)]

    done = subprocess.run(argv, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)

    record = msgspec.json.decode(out.read_bytes(), type=TranslationRecord)
    assert [cost.dialect for cost in record.costs] == ["gemini", "cohere"]
    assert record.limit_us == 60
    assert "cohere: translated chunk" in done.stdout
