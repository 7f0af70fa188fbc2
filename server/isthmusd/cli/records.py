"""`isthmus records`: what is kept of finished calls, read from the store itself, whether or not the gateway runs. How
long it is kept is in the settings."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer

from isthmusd.cli.durations import DURATION, parse_duration
from isthmusd.cli.printing import moment, print_facts, print_json, print_table
from isthmusd.cli.store import Config, Data, Json, Store, opened
from isthmusd.core.administration import MAX_LISTED, RecordQuery, StoredRecord
from isthmusd.core.request import Surface

HEADINGS = ("ENDED", "TENANT", "PROJECT", "KEY", "OPERATION", "MODEL", "TARGET", "STATUS", "END", "TOKENS", "SECONDS")
WITH_BODIES = 20
"""Records read at a time where their bodies come along."""

TYPED = {
    "chat": ("chat_pb2", "ChatRequest", "ChatResponse", "ChatChunk"),
    "completion": ("completion_pb2", "CompletionRequest", "CompletionResponse", "CompletionChunk"),
    "embedding": ("embedding_pb2", "EmbeddingRequest", "EmbeddingResponse", "EmbeddingResponse"),
}
"""Operation to the messages of typed calls: the module, what is asked, and what is answered whole and streamed."""

View = dict[str, Any]


def register(app: typer.Typer) -> None:
    """Add this command to the application."""
    app.command()(records)


def parse_moment(text: str) -> float:
    """Read `1h` as an hour ago, or a moment in ISO 8601; a parser of options. Raises typer.BadParameter."""
    if DURATION.fullmatch(text.strip()):
        return time.time() - parse_duration(text)
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no moment; write how long ago it is, like 1h, 15m or 7d, or like 2026-01-31T10:00:00Z"
        ) from None
    return (read if read.tzinfo is not None else read.replace(tzinfo=UTC)).timestamp()


def records(
    *,
    project: Annotated[str | None, typer.Option(metavar="NAME", help="Only this project's.")] = None,
    tenant: Annotated[str | None, typer.Option(metavar="TENANT", help="Only this tenant's.")] = None,
    key: Annotated[str | None, typer.Option(metavar="ID", help="Only calls by this key or credential.")] = None,
    since: Annotated[
        float | None, typer.Option(parser=parse_moment, metavar="1h", help="Ended so long ago, or later. Or a moment.")
    ] = None,
    until: Annotated[
        float | None, typer.Option(parser=parse_moment, metavar="5m", help="Ended longer ago. Or a moment.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    bodies: Annotated[
        bool, typer.Option("--bodies", help="With what was asked and answered, where it is kept.")
    ] = False,
    config: Config = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Show finished calls, the newest first."""
    query = RecordQuery(
        tenant=tenant, project=project, key_id=key, since=since, until=until, limit=limit, bodies=bodies
    )
    with opened(config, data) as store:
        views = [_view(found, bodies=bodies) for found in _pages(store, query)]
    if json:
        print_json(views)
    elif bodies:
        for view in views:
            _show(view)
    else:
        print_table(HEADINGS, map(_row, views))


def _pages(store: Store, query: RecordQuery) -> Iterator[StoredRecord]:
    at_a_time, left = WITH_BODIES if query.bodies else MAX_LISTED, query.limit
    while left > 0:
        limit = min(left, at_a_time)
        page = store.administration.records(replace(query, limit=limit))
        yield from page
        if len(page) < limit:
            return
        left -= limit
        query = replace(query, before=(page[-1].ended_at, page[-1].id))


def _view(stored: StoredRecord, *, bodies: bool) -> View:
    """Give a record as plain data."""
    view: View = {"ended_at": stored.ended_at, **msgspec.json.decode(stored.data)}
    if bodies:
        asked, whole, streamed = _types(view)
        view["asked"] = _text(stored.asked, asked)
        view["answered"] = _text(stored.answered, streamed if view.get("stream") else whole)
    return view


def _types(view: View) -> tuple[Any, Any, Any]:
    """Give the messages of a typed call; None: its bodies are what HTTP carried."""
    names = TYPED.get(view.get("operation", "")) if view.get("surface") == Surface.TYPED else None
    if names is None:
        return None, None, None
    from importlib import import_module  # noqa: PLC0415 only who looks at typed bodies needs protobuf

    from google.protobuf import message_factory  # noqa: PLC0415 see above

    module: Any = import_module(f"isthmus.v1.{names[0]}")
    find = module.DESCRIPTOR.pool.FindMessageTypeByName
    asked, whole, streamed = (message_factory.GetMessageClass(find(f"isthmus.v1.{name}")) for name in names[1:])
    return asked, whole, streamed


def _text(body: bytes | None, message: Any) -> str | None:
    """Write a body: text as it is, a message as JSON, anything else in base64."""
    if body is None:
        return None
    if message is not None and body:
        from google.protobuf import json_format  # noqa: PLC0415 see above
        from google.protobuf import message as protobuf  # noqa: PLC0415 see above

        try:
            return json_format.MessageToJson(message.FromString(body), preserving_proto_field_name=True, indent=None)
        except protobuf.DecodeError:
            return f"base64:{base64.b64encode(body).decode()}"  # it was cut
    try:
        return body.decode()
    except UnicodeDecodeError:
        return f"base64:{base64.b64encode(body).decode()}"


def _row(view: View) -> tuple[object, ...]:
    usage: View = view.get("usage") or {}
    target = "/".join(name for name in (view.get("provider"), view.get("target_model")) if name)
    facts = (view.get(name) for name in ("tenant", "project", "key_id", "operation", "model"))
    ending = (view.get(name) for name in ("status", "end"))
    return (
        moment(view["ended_at"]),
        *facts,
        target,
        *ending,
        usage.get("total_tokens"),
        f"{view.get('duration_s', 0.0):.3f}",
    )


def _show(view: View) -> None:
    names = ("id", "request_id", "surface", "error_code", "bodies")
    print_facts(
        [
            *((heading.lower(), value) for heading, value in zip(HEADINGS, _row(view), strict=True)),
            *((name.replace("_", " "), view.get(name)) for name in names),
        ]
    )
    for side in ("asked", "answered"):
        typer.echo(f"{side}:")
        typer.echo("".join(_harmless(char) for char in view[side] or "-"))
    typer.echo()


def _harmless(char: str) -> str:
    """What others wrote must not reach the terminal as commands to it."""
    return char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}"
