"""What the gateway tells its operator besides records: one JSON line per event. Calls are told by `journal.py`.

log.warning("worker_died", pid=4711, exit_code=-9)
{"at":"2026-01-31T10:00:00.123Z","level":"warning","event":"worker_died","pid":4711,"exit_code":-9}
"""

from __future__ import annotations

import logging
import re
import time
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache

import msgspec

from isthmusd.observe.sink import Write, write_stderr


class Level(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


WEIGHT = {Level.DEBUG: 10, Level.INFO: 20, Level.WARNING: 30, Level.ERROR: 40}
"""The numbers of the standard library, so that its loggers compare with ours."""

SECRET_FIELD = re.compile(r"(^|_)(api_?key|key|secret|token|password|authorization|cookie)$", re.IGNORECASE)
"""Names of fields whose values are never written. A net below the rule that nobody passes them."""

UNTOLD = frozenset({("grpc._cython.cygrpc", "Invalid encoding on %s")})
"""What libraries say and nobody shall read, as (logger, text): the whole value of any header that is no UTF-8, be it a
secret, with a traceback, as often as anybody sends one."""

_encode = msgspec.json.Encoder(enc_hook=str).encode


def instant(at: float) -> str:
    """Write Unix seconds as ISO 8601 in UTC, to the millisecond."""
    milliseconds = int(at * 1000)
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=8)
def _second(at: int) -> str:
    """The same second is written for many calls."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class Log:
    """Writes events of at least one level. Usable from any thread if its `write` is."""

    def __init__(self, write: Write = write_stderr, level: Level = Level.INFO) -> None:
        self._write = write
        self._weight = WEIGHT[level]

    def debug(self, event: str, **fields: object) -> None:
        """Tell what only someone who searches for a fault wants to know."""
        self.put(Level.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        """Tell of a normal step."""
        self.put(Level.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Tell what the operator should look at when there is time."""
        self.put(Level.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Tell what the operator should look at now."""
        self.put(Level.ERROR, event, fields)

    def put(self, level: Level, event: str, fields: dict[str, object]) -> None:
        """Write one event; values that JSON cannot express are written as their text."""
        if WEIGHT[level] < self._weight:
            return
        shown = {name: "***" if SECRET_FIELD.search(name) else value for name, value in fields.items()}
        head = {"at": instant(time.time()), "level": level, "event": event}
        self._write(_encode(head | shown) + b"\n")


class LibraryHandler(logging.Handler):
    """Carries what libraries say through the standard library's `logging` into our lines."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record of the standard library."""
        if (record.name, record.msg) in UNTOLD:
            return
        level = max(
            (level for level in WEIGHT if WEIGHT[level] <= record.levelno), key=WEIGHT.__getitem__, default=None
        )
        fields: dict[str, object] = {"logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            fields["traceback"] = logging.Formatter().formatException(record.exc_info)
        # Our own processes use the standard library too where they must not know of this format.
        event = record.name.rpartition(".")[2] if record.name.startswith("isthmusd.") else "library"
        self._log.put(level or Level.DEBUG, event, fields)


def adopt_libraries(log: Log, level: Level = Level.WARNING) -> None:
    """Make `log` the only handler of the standard library's root logger."""
    logging.basicConfig(handlers=[LibraryHandler(log)], level=WEIGHT[level], force=True)
