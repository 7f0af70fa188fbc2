"""What AdminService shows of finished calls. Keeping and finding records is the store's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from isthmus.v1 import admin_pb2 as pb

from isthmusd.core.administration import RecordQuery, StoredRecord
from isthmusd.core.usage import Usage
from isthmusd.dialects.isthmus.usage import encode_usage
from isthmusd.pipeline.ports import Administration
from isthmusd.rpc.admin_fields import (
    decode_time,
    encode_duration,
    encode_time,
    optional,
    page_limit,
    page_start,
    page_token,
    wrong_page,
)
from isthmusd.rpc.admin_method import Method

PAGE_BYTES = 3 * 1024 * 1024
"""Below the 4 MiB that gRPC's clients take by default."""
WITH_BODIES = 32
"""Records of a page with bodies: the store reads all of it at once."""
CUT = "cut"
UNREADABLE = "this record cannot be shown: it holds what no record of this version does"


class _Attempt(msgspec.Struct):
    provider: str = ""
    model: str = ""
    status: int | None = None
    duration_s: float = 0.0
    error: str | None = None
    upstream_request_id: str | None = None
    endpoint: str | None = None


class _Loss(msgspec.Struct):
    field: str = ""
    reason: str = ""


class _Kept(msgspec.Struct):
    """A record as it was written, perhaps by an older gateway: what it did not know has its default."""

    request_id: str = ""
    surface: str = ""
    operation: str = ""
    action: str | None = None
    started_at: float = 0.0
    duration_s: float = 0.0
    first_event_s: float | None = None
    tenant: str | None = None
    key_id: str | None = None
    auth: str | None = None
    project: str | None = None
    model: str | None = None
    provider: str | None = None
    target_model: str | None = None
    attempts: tuple[_Attempt, ...] = ()
    cache: str | None = None
    status: int = 0
    error_code: str | None = None
    end: str = ""
    stream: bool = False
    usage: Usage | None = None
    losses: tuple[_Loss, ...] = ()
    detail: str | None = None
    bodies: Any = None
    """Whether one of them was cut."""


_decode = msgspec.json.Decoder(_Kept).decode


def _list(store: Administration, request: pb.ListRecordsRequest) -> pb.ListRecordsResponse:
    limit = page_limit(request.page_size)
    query = RecordQuery(
        tenant=optional("tenant", request.tenant),
        project=optional("project", request.project),
        key_id=optional("key_id", request.key_id),
        since=decode_time("since", request.since) if request.HasField("since") else None,
        until=decode_time("until", request.until) if request.HasField("until") else None,
        before=_before(request.page_token),
        limit=min(limit, WITH_BODIES) if request.include_bodies else limit,
        bodies=request.include_bodies,
    )
    return _page(store.records(query), query.limit, request.include_bodies)


RECORDS: Mapping[str, Method] = {"ListRecords": Method(_list, ("tenant", "project", "key_id"))}


def _page(found: Sequence[StoredRecord], limit: int, include_bodies: bool) -> pb.ListRecordsResponse:
    """Write as many as fit, at least one."""
    page = pb.ListRecordsResponse()
    size = 0
    for stored in found:
        record = _shown(stored, include_bodies)
        size += record.ByteSize()
        if page.records and size > PAGE_BYTES:
            break
        page.records.append(record)
    shown = len(page.records)
    if shown and (shown < len(found) or shown >= limit):
        last = found[shown - 1]
        page.next_page_token = page_token(msgspec.json.encode((last.ended_at, last.id)).decode())
    return page


def _before(token: str) -> tuple[float, str] | None:
    start = page_start(token)
    if start is None:
        return None
    try:
        return msgspec.json.decode(start, type=tuple[float, str])
    except msgspec.MsgspecError:
        raise wrong_page() from None


def _shown(stored: StoredRecord, include_bodies: bool) -> pb.Record:
    """Write a record, whatever is in it: callers and providers chose some of it, and one must not hide the others."""
    try:
        return _record(stored, include_bodies)
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError):
        return pb.Record(id=stored.id, detail=UNREADABLE)


def _record(stored: StoredRecord, include_bodies: bool) -> pb.Record:
    kept = _decode(stored.data)
    return pb.Record(
        id=stored.id,
        request_id=kept.request_id,
        surface=kept.surface,
        operation=kept.operation,
        action=kept.action,
        start_time=encode_time(kept.started_at),
        duration=encode_duration(kept.duration_s),
        first_event=encode_duration(kept.first_event_s),
        tenant=kept.tenant,
        key_id=kept.key_id,
        auth=kept.auth,
        project=kept.project,
        model=kept.model,
        provider=kept.provider,
        target_model=kept.target_model,
        attempts=[_attempt(each) for each in kept.attempts],
        cache=kept.cache,
        status=kept.status,
        error_code=kept.error_code,
        end=kept.end,
        streamed=kept.stream,
        usage=None if kept.usage is None else encode_usage(kept.usage),
        losses=[pb.RecordLoss(field=each.field, reason=each.reason) for each in kept.losses],
        detail=kept.detail,
        bodies=_bodies(stored, kept) if include_bodies else None,
    )


def _attempt(attempt: _Attempt) -> pb.RecordAttempt:
    return pb.RecordAttempt(
        provider=attempt.provider,
        model=attempt.model,
        status=attempt.status,
        duration=encode_duration(attempt.duration_s),
        error_code=attempt.error,
        upstream_request_id=attempt.upstream_request_id,
        endpoint=attempt.endpoint,
    )


def _bodies(stored: StoredRecord, kept: _Kept) -> pb.RecordBodies | None:
    if stored.asked is None and stored.answered is None:
        return None
    return pb.RecordBodies(asked=stored.asked or b"", answered=stored.answered or b"", cut=kept.bodies == CUT)
