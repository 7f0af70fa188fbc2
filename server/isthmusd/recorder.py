"""The process that brings records into the store: `python -m isthmusd.recorder`, one per run, kept by the supervisor.
What it does is `stores/recording.py`'s business."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import closing
from pathlib import Path

import msgspec

from isthmusd.observe.log import Level, Log, adopt_libraries
from isthmusd.stores.database import Database
from isthmusd.stores.options import RecordingOptions
from isthmusd.stores.recording import Recorder

STOPS = (signal.SIGTERM, signal.SIGINT)
SWEEP_S = 0.5
"""A transaction costs as much as a dozen records: the more wait for one, the less each costs."""
LAST_S = 5.0
"""What is left in the journals at the end gets so long; the rest is the next run's."""


def run(recorder: Recorder) -> None:
    """Sweep until a signal comes, and then until nothing is left or the time is over."""
    while signal.sigtimedwait(STOPS, SWEEP_S) is None:
        recorder.sweep()
    until = time.monotonic() + LAST_S
    while recorder.sweep() and time.monotonic() < until:
        time.sleep(SWEEP_S)


def main() -> int:
    """Read what the supervisor says and keep records."""
    # Waited for, never delivered: a transaction is not interrupted.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    options = read_options(Path(os.environ["ISTHMUS_RECORDER"]).read_bytes())
    adopt_libraries(Log(level=Level(options.log_level)), Level.INFO)
    with closing(Database(options.store)) as database, closing(Recorder(options.records, database)) as recorder:
        run(recorder)
    return 0


def read_options(told: bytes) -> RecordingOptions:
    """Read what `edge/recorder.py` wrote."""
    return msgspec.json.decode(told, type=RecordingOptions, dec_hook=lambda kind, value: kind(value))


if __name__ == "__main__":
    sys.exit(main())
