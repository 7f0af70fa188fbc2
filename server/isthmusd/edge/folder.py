"""The run's private directory, from start to end. Not what lies where in it: that is `workers.Folder`.

It holds secrets, so it goes with the run; one that a killed run left behind goes with the next run's start.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from isthmusd.edge.workers import Folder

PREFIX = "isthmus-"
LOCK = "lock"
"""Held by a run while it lives: the kernel lets go of it however the run ends."""
SHORT_FOLDER = "/tmp"  # noqa: S108 - mkdtemp makes a private directory in it
LONGEST_FOLDER = 80
"""A socket's path has 107 characters at most; some systems set TMPDIR to something long."""
SETTLED_S = 60.0
"""A younger directory may be a run's that has not locked it yet."""


@contextmanager
def private_folder(settings: bytes) -> Generator[Folder]:
    """Make the directory, and remove it with the secrets in it."""
    base = tempfile.gettempdir()
    base = base if len(base) < LONGEST_FOLDER else SHORT_FOLDER
    sweep(Path(base))
    root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    try:
        with (root / LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            folder = Folder(root=root)
            folder.create(settings)
            yield folder
    finally:
        shutil.rmtree(root, ignore_errors=True)


def sweep(base: Path, settled_s: float = SETTLED_S) -> None:
    """Remove what killed runs of this user left in `base`."""
    for path in base.glob(f"{PREFIX}*/{LOCK}"):
        # Another run's, or removed by another run meanwhile: leave it.
        with contextlib.suppress(OSError):
            found = path.lstat()
            # Anybody may put things into a shared directory; opening a pipe there would hold up our start for ever.
            ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
            if ours and found.st_mtime < time.time() - settled_s:
                with path.open("rb") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path.parent, ignore_errors=True)
