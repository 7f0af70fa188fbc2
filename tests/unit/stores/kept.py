"""A folder for journals and a store beside it, for tests of records. It holds no assertions."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
from isthmusd.core.administration import RecordQuery
from isthmusd.core.record import Record
from isthmusd.stores.database import Database
from isthmusd.stores.journal import RecordJournal
from isthmusd.stores.options import RecordsOptions, StoreOptions
from isthmusd.stores.provision import provision
from isthmusd.stores.recording import Recorder
from isthmusd.stores.records import query_records

from tests.fakes.callers import KEYRING, SECRET
from tests.unit.observe.sample import RECORD

EVERYTHING = RecordQuery(limit=1000)
SAMPLE_END = RECORD.started_at + RECORD.duration_s


def numbered(number: int, **facts: Any) -> Record:
    """The sample record with an id of its own; a higher number ends later."""
    return replace(RECORD, **{"id": f"record-{number:06d}", "started_at": RECORD.started_at + number, **facts})


@dataclass(slots=True)
class Kept:
    """A data directory of a test."""

    folder: Path
    options: RecordsOptions
    database: Database
    drops: list[int] = field(default_factory=list[int])
    now: float = SAMPLE_END

    def journal(self) -> RecordJournal:
        return RecordJournal(self.options, KEYRING, lambda: self.drops.append(1))

    def write(self, *records: Record) -> None:
        """Write records as a worker does that ends afterwards."""
        with self.journal() as journal:
            for record in records:
                journal.write(record)

    def recorder(self, **options: Any) -> Recorder:
        return Recorder(replace(self.options, **options), self.database, now=lambda: self.now)

    def sweep(self, times: int = 1, **options: Any) -> None:
        """Store what there is as a recorder does that starts, and ends afterwards."""
        with closing(self.recorder(**options)) as recorder:
            for _ in range(times):
                recorder.sweep()

    def segments(self) -> list[Path]:
        return sorted(path for path in self.options.journal.glob("*.jsonl") if path.name != "rejected.jsonl")

    def lines(self) -> list[dict[str, Any]]:
        """What stands in the journal."""
        return [msgspec.json.decode(line) for path in self.segments() for line in path.read_bytes().splitlines()]

    def ids(self, query: RecordQuery = EVERYTHING) -> list[str]:
        """The ids of what is stored, the newest first."""
        with self.database.reading() as connection:
            return [record.id for record in query_records(connection, query)]


@contextmanager
def kept_in(folder: Path, url: str | None = None, **options: Any) -> Generator[Kept]:
    """Open the store of a test: a file of its own, unless there is one."""
    url = url or provision(folder, url=None, secret=SECRET).url
    records = RecordsOptions(journal=folder / "journal", **options)
    with closing(Database(StoreOptions(url=url, timeout_s=0.2))) as database:
        yield Kept(folder, records, database)
