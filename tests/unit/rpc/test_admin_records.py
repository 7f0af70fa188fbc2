"""AdminService shows what was kept of calls: every field, page by page, and never more than a client takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from isthmus.v1 import admin_pb2 as pb
from isthmusd.core.administration import RecordQuery, StoredRecord
from isthmusd.core.record import Attempt, EndReason, Record, encode
from isthmusd.core.request import Loss
from isthmusd.core.usage import Usage
from isthmusd.rpc.admin_records import PAGE_BYTES, UNREADABLE, WITH_BODIES

from tests.unit.rpc.administering import administering

STARTED = 1_700_000_000.25
FULL = Record(
    id="r1",
    request_id="req_1",
    surface="openai",
    operation="chat",
    started_at=STARTED,
    duration_s=1.5,
    first_event_s=0.25,
    tenant="acme",
    key_id="k1",
    auth="gateway_key",
    project="web",
    model="fast",
    provider="openai",
    target_model="gpt",
    attempts=(
        Attempt(
            provider="openai",
            model="gpt",
            status=200,
            duration_s=1.25,
            error="none",
            upstream_request_id="up",
            endpoint="main",
        ),
    ),
    cache="MISS",
    status=200,
    error_code="odd",
    end=EndReason.COMPLETE,
    stream=True,
    usage=Usage(prompt_tokens=3, completion_tokens=2**40, cached_tokens=1),
    losses=(Loss(field="seed", reason="has no place"),),
    action="did",
    detail="said",
)


class Shelf:
    """Keeps what was asked, and gives what a test put there."""

    def __init__(self, *kept: StoredRecord) -> None:
        self.kept = kept
        self.queries: list[RecordQuery] = []

    def records(self, query: RecordQuery) -> Sequence[StoredRecord]:
        self.queries.append(query)
        start = 0 if query.before is None else [(each.ended_at, each.id) for each in self.kept].index(query.before) + 1
        return self.kept[start : start + query.limit]


def stored(number: int, size: int = 0, data: bytes | None = None) -> StoredRecord:
    body = bytes(size) if size else None
    return StoredRecord(
        id=f"r{number}",
        ended_at=STARTED - number / 3,
        data=data or encode(FULL),
        asked=body,
        answered=b"answer" if size else None,
    )


async def test_a_record_is_shown_whole(tmp_path: Path) -> None:
    async with administering(tmp_path, Shelf(stored(1))) as admin:
        page = await admin.call("ListRecords", pb.ListRecordsRequest())

    (shown,) = page.records
    given = {field.name for field, _ in shown.ListFields()}
    assert given == set(pb.Record.DESCRIPTOR.fields_by_name) - {"bodies"}
    assert (shown.start_time.seconds, shown.start_time.nanos) == (1_700_000_000, 250_000_000)
    assert (shown.duration.seconds, shown.duration.nanos) == (1, 500_000_000)
    assert (shown.usage.input_tokens, shown.usage.output_tokens) == (3, 2**40)
    assert shown.usage.input_details.cached_tokens == 1
    (attempt,) = shown.attempts
    assert {field.name for field, _ in attempt.ListFields()} == set(pb.RecordAttempt.DESCRIPTOR.fields_by_name)
    assert [(loss.field, loss.reason) for loss in shown.losses] == [("seed", "has no place")]
    assert (shown.tenant, shown.key_id, shown.end, shown.action) == ("acme", "k1", "complete", "did")


async def test_a_record_of_another_version_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    old = stored(1, data=b'{"id":"r1","operation":"chat","status":200,"newer":{"x":1}}')

    async with administering(tmp_path, Shelf(old)) as admin:
        page = await admin.call("ListRecords", pb.ListRecordsRequest())

    (shown,) = page.records
    assert (shown.id, shown.operation, shown.status, shown.HasField("tenant")) == ("r1", "chat", 200, False)


@pytest.mark.parametrize(
    "data",
    [
        b"garbage",
        b'{"usage":{"prompt_tokens":99999999999999999999999999}}',
        b'{"usage":{"prompt_tokens":9223372036854775808}}',
        b'{"started_at":1e300}',
        b'{"status":"odd"}',
        b'{"status":99999999999}',
    ],
)
async def test_a_record_that_cannot_be_shown_hides_no_other(tmp_path: Path, data: bytes) -> None:
    shelf = Shelf(stored(1), stored(2, data=data), stored(3))

    async with administering(tmp_path, shelf) as admin:
        page = await admin.call("ListRecords", pb.ListRecordsRequest())

    assert [record.id for record in page.records] == ["r1", "r2", "r3"]
    assert [record.detail for record in page.records] == ["said", UNREADABLE, "said"]


async def test_all_filters_reach_the_store(tmp_path: Path) -> None:
    shelf = Shelf()
    request = pb.ListRecordsRequest(
        page_size=5,
        tenant="acme",
        project="web",
        key_id="k1",
        since=Timestamp(seconds=10, nanos=500_000_000),
        until=Timestamp(seconds=20),
        include_bodies=True,
    )

    async with administering(tmp_path, shelf) as admin:
        await admin.call("ListRecords", request)
        await admin.call("ListRecords", pb.ListRecordsRequest())
        await admin.call("ListRecords", pb.ListRecordsRequest(page_size=2000))
        await admin.call("ListRecords", pb.ListRecordsRequest(page_size=2000, include_bodies=True))

    assert shelf.queries == [
        RecordQuery(tenant="acme", project="web", key_id="k1", since=10.5, until=20.0, limit=5, bodies=True),
        RecordQuery(limit=100),
        RecordQuery(limit=1000),
        RecordQuery(limit=WITH_BODIES, bodies=True),
    ]


async def test_pages_give_each_record_once(tmp_path: Path) -> None:
    shelf = Shelf(*(stored(number) for number in range(7)))
    seen, token, count = list[str](), "", 0

    async with administering(tmp_path, shelf) as admin:
        while not count or token:
            page = await admin.call("ListRecords", pb.ListRecordsRequest(page_size=3, page_token=token))
            seen += [record.id for record in page.records]
            token, count = page.next_page_token, count + 1

    assert seen == [f"r{number}" for number in range(7)]
    assert count == 3


async def test_a_page_with_bodies_stays_below_what_clients_take(tmp_path: Path) -> None:
    shelf = Shelf(*(stored(number, size=PAGE_BYTES // 3) for number in range(4)), stored(4, size=PAGE_BYTES + 1))
    seen, token = list[list[str]](), ""

    async with administering(tmp_path, shelf) as admin:
        while not seen or token:
            page = await admin.call("ListRecords", pb.ListRecordsRequest(include_bodies=True, page_token=token))
            seen.append([record.id for record in page.records])
            token = page.next_page_token
        whole = page.records[0].bodies

    assert seen == [["r0", "r1"], ["r2", "r3"], ["r4"]]
    assert (len(whole.asked), whole.answered, whole.cut) == (PAGE_BYTES + 1, b"answer", False)


async def test_bodies_are_shown_only_to_who_asks_for_them(tmp_path: Path) -> None:
    cut = stored(1, size=8, data=encode(FULL)[:-1] + b',"bodies":"cut"}')

    async with administering(tmp_path, Shelf(cut)) as admin:
        without = await admin.call("ListRecords", pb.ListRecordsRequest())
        with_bodies = await admin.call("ListRecords", pb.ListRecordsRequest(include_bodies=True))
    async with administering(tmp_path, Shelf(stored(1))) as admin:
        none_kept = await admin.call("ListRecords", pb.ListRecordsRequest(include_bodies=True))

    assert not without.records[0].HasField("bodies")
    assert with_bodies.records[0].bodies.cut
    assert not none_kept.records[0].HasField("bodies")
