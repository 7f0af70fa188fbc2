"""The unix socket of operators: made private, taken over from a run that died, never from one that lives. TCP addresses
are `ports.py`'s."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from isthmusd.edge.errors import AddressInUse
from isthmusd.edge.options import UnixAddress

PRIVATE = 0o600
BACKLOG = 128
ANSWER_S = 1.0


@contextmanager
def listening(address: UnixAddress) -> Generator[socket.socket]:
    """Listen while the block runs, for this user only, and remove the file with it. Raises AddressInUse."""
    try:
        _remove_dead(address)
        listener = _bound(address.path)
    except OSError as error:
        raise AddressInUse(f"--admin {address} cannot be served: {error.strerror}") from error
    with listener:
        ours = _identity(address.path)
        try:
            yield listener
        finally:
            # Another run may have put its own there meanwhile.
            if _identity(address.path) == ours:
                address.path.unlink(missing_ok=True)


def _bound(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        # Before it listens: until then nobody can connect, whatever the umask left open.
        path.chmod(PRIVATE)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _remove_dead(address: UnixAddress) -> None:
    """Remove the socket of a run that did not end in order."""
    try:
        mode = address.path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise AddressInUse(f"--admin {address} is something else than a socket; choose another path")
    if not _is_dead(address.path):
        raise AddressInUse(f"--admin {address} is in use by another process; choose another path")
    address.path.unlink(missing_ok=True)


def _is_dead(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(ANSWER_S)
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def _identity(path: Path) -> tuple[int, int] | None:
    with contextlib.suppress(OSError):
        found = os.lstat(path)
        return found.st_dev, found.st_ino
    return None
