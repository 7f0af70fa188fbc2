"""The process that brings records into the store: how it is started. What it does is `isthmusd.recorder`'s.

The contract: `ISTHMUS_RECORDER` names a file that holds `RecordingOptions` as JSON; SIGTERM ends it with exit code 0.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from isthmusd.edge.process import Command
from isthmusd.edge.workers import Folder
from isthmusd.stores.options import RecordingOptions
from isthmusd.stores.segments import segments

NAME = "recorder"
ARGV = (sys.executable, "-P", "-m", "isthmusd.recorder")
"""`-P` as in `supervisor.py`."""
TOLD = "recorder.json"
GRACE_S = 7.0
"""It ends by itself before that: it knows that its last look is its last."""


def command(options: RecordingOptions, folder: Folder, environ: Mapping[str, str]) -> Command:
    """Return how the recorder of a run is started."""
    told = folder.root / TOLD

    def tell() -> None:
        # In a file that only its owner reads: the store's URL may hold a password.
        told.touch(mode=0o600)
        told.write_bytes(msgspec.json.encode(options, enc_hook=str))

    return Command(name=NAME, argv=ARGV, environ={**environ, "ISTHMUS_RECORDER": str(told)}, before_start=tell)


def journal_bytes(journal: Path) -> int:
    """Return how much disk the journals of all workers take, those of former runs included."""
    try:
        return sum(_size(path) for path in segments(journal))
    except OSError:
        return 0  # what is wrong with it, the workers and the recorder say


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0  # stored and removed meanwhile
