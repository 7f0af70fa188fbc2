"""Records in the database: found by whom they are of, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from isthmusd.core.administration import RecordQuery
from isthmusd.core.keyring import Keyring
from isthmusd.core.record import Bodies
from isthmusd.stores.records import delete_before, first_beyond, query_records

from tests.fakes.callers import KEYRING
from tests.unit.stores.kept import SAMPLE_END, Kept, kept_in, numbered

BODIES = Bodies(asked=b"the question", answered=b"the answer")


@pytest.fixture
def kept(tmp_path: Path, store_url: str) -> Iterator[Kept]:
    with kept_in(tmp_path, store_url) as made:
        made.write(
            numbered(1, tenant="acme", project="alpha", key_id="k1", bodies=BODIES),
            numbered(2, tenant="acme", project="beta", key_id="k2"),
            numbered(3, tenant="globex", project="alpha", key_id="k3"),
            numbered(4, tenant=None, project=None, key_id=None),
        )
        made.sweep()
        yield made


def ids(*numbers: int) -> list[str]:
    return [f"record-{number:06d}" for number in numbers]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (RecordQuery(), ids(4, 3, 2, 1)),
        (RecordQuery(tenant="acme"), ids(2, 1)),
        (RecordQuery(project="alpha"), ids(3, 1)),
        (RecordQuery(tenant="acme", project="alpha"), ids(1)),
        (RecordQuery(key_id="k2"), ids(2)),
        (RecordQuery(since=SAMPLE_END + 2), ids(4, 3, 2)),
        (RecordQuery(until=SAMPLE_END + 2), ids(1)),
        (RecordQuery(since=SAMPLE_END + 2, until=SAMPLE_END + 4), ids(3, 2)),
        (RecordQuery(limit=2), ids(4, 3)),
        (RecordQuery(limit=0), ids(4)),
        (RecordQuery(before=(SAMPLE_END + 3, "record-000003")), ids(2, 1)),
        (RecordQuery(tenant="nobody"), []),
        (RecordQuery(project="' OR 1=1 --"), []),
        (RecordQuery(tenant="acme'; DROP TABLE records; --"), []),
        (RecordQuery(key_id="%"), []),
    ],
    ids=str,
)
def test_a_query_finds_what_is_wanted_the_newest_first(kept: Kept, query: RecordQuery, found: list[str]) -> None:
    assert kept.ids(query) == found


def test_pages_follow_each_other_although_ends_are_equal(tmp_path: Path, store_url: str) -> None:
    with kept_in(tmp_path, store_url) as kept:
        kept.write(*(numbered(number, started_at=1.0) for number in range(7)))
        kept.sweep(retention_s=1e12)
        pages, before = list[list[str]](), None

        while page := kept.ids(RecordQuery(limit=3, before=before)):
            pages.append(page)
            before = (2.25, page[-1])

        assert pages == [ids(6, 5, 4), ids(3, 2, 1), ids(0)]


def test_a_record_is_given_as_it_was_written(kept: Kept) -> None:
    with kept.database.reading() as connection:
        record = query_records(connection, RecordQuery(limit=1))[0]

    told = msgspec.json.decode(record.data)
    assert (record.id, record.ended_at) == ("record-000004", SAMPLE_END + 4)
    assert told["usage"]["cached_tokens"] == 3
    assert told["attempts"][0]["model"] == "gpt-4o-mini"


def test_bodies_are_opened_only_when_they_are_wanted(kept: Kept) -> None:
    acme = RecordQuery(key_id="k1")
    with kept.database.reading() as connection:
        (plain,) = query_records(connection, acme, KEYRING)
        (closed,) = query_records(connection, replace(acme, bodies=True))
        (opened,) = query_records(connection, replace(acme, bodies=True), KEYRING)
        (without,) = query_records(connection, RecordQuery(key_id="k2", bodies=True), KEYRING)

    assert (plain.asked, plain.answered) == (None, None)
    assert (closed.asked, closed.answered) == (None, None)
    assert (opened.asked, opened.answered) == (b"the question", b"the answer")
    assert (without.asked, without.answered) == (None, None)


def test_bodies_that_a_lost_secret_sealed_are_left_out(kept: Kept) -> None:
    stranger = Keyring.parse("another-secret-of-tests-9876543210-zyxwvu")

    with kept.database.reading() as connection:
        (record,) = query_records(connection, RecordQuery(key_id="k1", bodies=True), stranger)

    assert (record.asked, record.answered) == (None, None)
    assert msgspec.json.decode(record.data)["bodies"] == "kept"


def test_a_deletion_tells_how_many_went(kept: Kept) -> None:
    with kept.database.writing() as connection:
        assert first_beyond(connection, 3) == (SAMPLE_END + 1, "record-000001")
        assert first_beyond(connection, 4) is None
        assert delete_before(connection, SAMPLE_END + 3) == 2

    assert kept.ids() == ids(4, 3)
