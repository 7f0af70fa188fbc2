"""A gateway of two workers whose calls are kept, and what its store holds of them. It asserts nothing."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator, Iterable
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from isthmusd.core.tenants import ForwardGrant

from tests.system.callers import Office
from tests.system.pair import Pair, eventually, running_pair
from tests.system.wire import JSON_TYPE, Headers

DIARY = "diary"
"""The project that keeps what is asked and answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The gateway, the data directory, and the key of a tenant that may do everything."""

    pair: Pair
    data: Path
    key: str
    key_id: str

    def headers(self, request_id: str, *more: tuple[str, str]) -> Headers:
        return (*JSON_TYPE, ("authorization", f"Bearer {self.key}"), ("x-request-id", request_id), *more)

    def metadata(self, request_id: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.key}"), ("x-request-id", request_id), *more)

    def record(self, request_id: str) -> dict[str, Any]:
        """The one record of a call that has ended, from the store."""
        assert eventually(lambda: bool(stored(self.data, request_id))), "the call left no record in the store"
        (record,) = stored(self.data, request_id)
        return record


@contextmanager
def keeping(data: Path, workers: int = 2, **settings: Any) -> Generator[Kept]:
    """Run a gateway whose data are here, with a tenant made the first time."""
    with Office(data) as office:
        if not office.desk.tenants(after=None, limit=1):
            office.tenant("acme", forward=ForwardGrant.SHARED)
            office.project("acme", DIARY, record_bodies=True)
        issued = office.key("acme")
    with running_pair(workers, data=str(data), **settings) as pair:
        yield Kept(pair=pair, data=data, key=issued.token, key_id=issued.key.id)


def rows(data: Path, query: str) -> list[tuple[Any, ...]]:
    """Read from the store's file as nobody else does."""
    with closing(sqlite3.connect(f"file:{data}/isthmus.db?mode=ro", uri=True, timeout=10)) as connection:
        return connection.execute(query).fetchall()


def stored(data: Path, request_id: str | None = None) -> list[dict[str, Any]]:
    """The records in the store, of one call or of all."""
    records = (msgspec.json.decode(row[0]) for row in rows(data, "SELECT data FROM records"))
    return [record for record in records if request_id in (None, record["request_id"])]


def counts(data: Path, request_ids: Iterable[str]) -> dict[str, int]:
    """How many records each of these calls has in the store."""
    found = dict.fromkeys(request_ids, 0)
    for record in stored(data):
        if record["request_id"] in found:
            found[record["request_id"]] += 1
    return found


def settled(data: Path, within_s: float = 10.0) -> bool:
    """Wait until the store takes no more records for a while."""
    until, before = time.monotonic() + within_s, -1
    while time.monotonic() < until:
        ((count,),) = rows(data, "SELECT count(*) FROM records")
        if count == before:
            return True
        before = count
        time.sleep(0.6)
    return False
