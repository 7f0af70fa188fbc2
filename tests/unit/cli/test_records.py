"""`isthmus records`: what is found, and how it is shown."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from isthmus.v1 import chat_pb2, chat_stream_pb2, stream_pb2
from isthmusd.core.record import Bodies, Record

from tests.fakes.callers import SECRET
from tests.unit.cli.commands import Isthmus
from tests.unit.observe.sample import RECORD
from tests.unit.stores.kept import Kept, kept_in

ASKED = chat_pb2.ChatRequest(model="fast")
PIECES = [
    chat_stream_pb2.ChatChunk(events=[chat_stream_pb2.ChatEvent(text_delta=stream_pb2.TextDelta(text=text))])
    for text in "ab"
]


def ago(seconds: float, record_id: str, **facts: Any) -> Record:
    told: dict[str, Any] = {"id": record_id, "started_at": time.time() - seconds, "duration_s": 0.0, **facts}
    return replace(RECORD, **told)


@pytest.fixture
def kept(isthmus: Isthmus) -> Iterator[Kept]:
    with kept_in(isthmus.data) as made:
        made.now = time.time()
        yield made


@pytest.fixture
def command(isthmus: Isthmus) -> Isthmus:
    return replace(isthmus, environ={"ISTHMUS_SECRET": SECRET})


def store(kept: Kept, *records: Record) -> None:
    kept.write(*records)
    kept.sweep()


def found(command: Isthmus, *arguments: str) -> list[str]:
    return [record["id"] for record in command.gives("records", *arguments)]


def test_records_are_found_by_whom_and_when(kept: Kept, command: Isthmus) -> None:
    store(
        kept,
        ago(7200, "old", project="web"),
        ago(600, "mid", project="web", tenant="globex"),
        ago(1, "new", key_id="k9"),
    )

    assert found(command) == ["new", "mid", "old"]
    assert found(command, "--project", "web", "--since", "1h") == ["mid"]
    assert found(command, "--until", "5m") == ["mid", "old"]
    assert found(command, "--tenant", "globex") == ["mid"]
    assert found(command, "--key", "k9") == ["new"]
    assert found(command, "--limit", "2") == ["new", "mid"]
    assert found(command, "--since", "2100-01-01") == []
    assert found(command, "--since", "2001-01-01T00:00:00+02:00", "--limit", "1") == ["new"]


def test_more_than_a_page_is_shown(kept: Kept, command: Isthmus) -> None:
    bodies = Bodies(asked=b"q", answered=b"a")
    store(kept, *(ago(number, f"record-{number:03d}", bodies=bodies) for number in range(50)))

    shown = command.gives("records", "--bodies", "--limit", "45")

    assert [record["id"] for record in shown] == [f"record-{number:03d}" for number in range(45)]
    assert {record["asked"] for record in shown} == {"q"}


def test_a_table_is_for_people(kept: Kept, command: Isthmus) -> None:
    store(kept, ago(1, "new", model="evil\x1b[2Jname"))

    shown = command.does("records").stdout

    head, line = shown.splitlines()
    assert head.split() == [
        *("ENDED", "TENANT", "PROJECT", "KEY", "OPERATION", "MODEL", "TARGET", "STATUS", "END", "TOKENS", "SECONDS"),
    ]  # fmt: skip
    assert "openai/gpt-4o-mini" in line
    assert "\x1b" not in shown


def test_bodies_are_shown_only_when_they_are_asked_for(kept: Kept, command: Isthmus) -> None:
    store(kept, ago(1, "new", bodies=Bodies(asked=b"the \x1bquestion", answered=b"\xff")))

    (plain,) = command.gives("records")
    (full,) = command.gives("records", "--bodies")
    said = command.does("records", "--bodies").stdout

    assert "asked" not in plain
    assert plain["bodies"] == "kept"
    assert (full["asked"], full["answered"]) == ("the \x1bquestion", "base64:/w==")
    assert "the \N{REPLACEMENT CHARACTER}question" in said
    assert "base64:/w==" in said


def test_typed_bodies_are_shown_as_json(kept: Kept, command: Isthmus) -> None:
    joined = b"".join(piece.SerializeToString() for piece in PIECES)
    asked = ASKED.SerializeToString()
    typed = {"surface": "typed", "operation": "chat"}
    store(
        kept,
        ago(1, "whole", **typed, bodies=Bodies(asked=asked, answered=joined)),
        ago(2, "cut", **typed, bodies=Bodies(asked=asked[:-1], answered=b"", cut=True)),
        ago(3, "none", **typed),
    )

    whole, cut, none = command.gives("records", "--bodies")

    assert whole["asked"] == '{"model": "fast"}'
    assert whole["answered"] == '{"events": [{"text_delta": {"text": "a"}}, {"text_delta": {"text": "b"}}]}'
    assert cut["asked"] == f"base64:{base64.b64encode(asked[:-1]).decode()}"
    assert (none["asked"], none["answered"]) == (None, None)


def test_bodies_of_another_secret_are_not_shown(kept: Kept, command: Isthmus) -> None:
    store(kept, ago(1, "new", bodies=Bodies(asked=b"q", answered=b"a")))
    stranger = replace(command, environ={"ISTHMUS_SECRET": "another-secret-of-tests-9876543210-zyxwvu"})

    (shown,) = stranger.gives("records", "--bodies")

    assert (shown["asked"], shown["answered"], shown["bodies"]) == (None, None, "kept")


@pytest.mark.parametrize("written", ["yesterday", "", "-1h", "1 h", "1y"])
def test_a_time_that_is_none_is_refused_with_an_example(command: Isthmus, written: str) -> None:
    said = command.refuses("records", f"--since={written}")

    assert "is no moment" in said
    assert "1h" in said
