"""One worker process: `python -m isthmusd.worker`, started by the supervisor. What it serves is `app.py`'s business."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import signal
import sys
from pathlib import Path

import msgspec
import uvloop

from isthmusd.app import running
from isthmusd.edge import pulse
from isthmusd.edge.workers import Post
from isthmusd.observe.log import Log, adopt_libraries
from isthmusd.rpc.server import ServerOptions
from isthmusd.settings import Settings

NOTICE_S = 0.6
"""Without a supervisor that stops Envoy first, Envoy must see the health change: two checks, a quarter second apart."""
COLLECT_AFTER = (20_000, 20, 20)
"""Calls leave few cycles; the default of 700 new objects is a collection every few calls."""


async def serve(post: Post, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then let calls finish."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    options = ServerOptions(
        bind=post.bind,
        edge=post.edge,
        admin_bind=post.admin,
        peers=post.peers,
        index=post.index,
        message_bytes=settings.grpc.message_bytes,
        reflection=settings.grpc.reflection,
        notice_s=0.0 if post.bind.startswith("unix:") else NOTICE_S,
    )
    async with running(settings, options):
        beating = asyncio.create_task(pulse.beat(Path(post.pulse)))
        try:
            await stopping.wait()
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)


def main() -> int:
    """Read what the supervisor says and serve."""
    post = msgspec.json.decode(os.environ["ISTHMUS_WORKER"], type=Post)
    settings = Settings.read(Path(os.environ["ISTHMUS_SETTINGS"]).read_bytes())
    # Ended because it stands still, a worker says where.
    faulthandler.enable()
    adopt_libraries(Log(level=settings.log_level))
    # What is loaded by now stays: collecting it again and again would cost every call a few microseconds.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    uvloop.run(serve(post, settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
