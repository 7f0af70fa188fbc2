"""Records as JSON log lines, and several journals as one. Records that can be searched later are for `stores`."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from typing import Protocol

import msgspec

from isthmusd.core.record import EndReason, Record, encode
from isthmusd.observe.log import WEIGHT, Level, instant
from isthmusd.observe.sink import Gathered, Write, write_all

LEVEL_OF_END = {
    EndReason.COMPLETE: Level.INFO,
    EndReason.REFUSED: Level.INFO,
    EndReason.CANCELLED: Level.INFO,
    EndReason.FAILED: Level.WARNING,
    EndReason.INTERRUPTED: Level.WARNING,
    EndReason.BUG: Level.ERROR,
}

UNWRITABLE = (ValueError, TypeError, ArithmeticError, msgspec.MsgspecError)
"""What a record with a value that no encoder takes raises: it must not take its whole batch along."""


class Journal(Protocol):
    """Takes the record of each call, once, on the event loop: quick, and never raising."""

    def write(self, record: Record) -> None: ...


class LogJournal:
    """One line per record, with the record's own fields beside `at` (the end of the call), `level` and `event`. Never
    with what was asked and answered: logs go where that must not."""

    def __init__(self, write: Write, level: Level = Level.INFO) -> None:
        self._write = write
        self._heads = {
            end: b'","level":"%s","event":"call",' % shown.encode()
            for end, shown in LEVEL_OF_END.items()
            if WEIGHT[shown] >= WEIGHT[level]
        }

    def write(self, record: Record) -> None:
        """Write the line, unless the level of its end is below ours."""
        head = self._heads.get(record.end)
        if head is not None:
            at = instant(record.started_at + record.duration_s).encode()
            # Spliced, because encoding the record as a member of another object would nest or copy it.
            self._write(b'{"at":"' + at + head + encode(record)[1:] + b"\n")


class Journals:
    """Gives each record to all, in order."""

    def __init__(self, journals: Iterable[Journal]) -> None:
        self._journals = tuple(journals)

    def write(self, record: Record) -> None:
        """Pass the record on."""
        for journal in self._journals:
            journal.write(record)


class DeferredJournal(Gathered[Record]):
    """Gives records to another journal from a thread, many at a time: at the end of each call the loop only appends,
    and code that runs for a batch finds its own data in the processor's caches."""

    def __init__(self, journal: Journal) -> None:
        super().__init__("records", self._write_batch)
        self._journal = journal

    def write(self, record: Record) -> None:
        """Queue one record."""
        self.put(record)

    def _write_batch(self, records: list[Record], dropped: int) -> None:
        del dropped  # more records than the processor can count: the calls themselves are in trouble then
        for record in records:
            try:
                self._journal.write(record)
            except UNWRITABLE:
                write_all(2, traceback.format_exc().encode("utf-8", "replace"))
