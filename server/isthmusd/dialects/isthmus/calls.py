"""Tool calls in messages, both ways. Tools that may be called are `tools.py`, calls in a stream `chat_stream.py`."""

from __future__ import annotations

from typing import Any

from isthmus.v1 import chat_pb2 as pb

from isthmusd.core.chat import Extra, JsonText, RawToolCall, ToolCall
from isthmusd.dialects.isthmus.fields import NOT_JSON, join, members, merge, quote, split, take_text

FUNCTION = "function"
BODIES = {FUNCTION: "arguments", "custom": "input"}
"""The kinds of calls that have an object of the same name, and the member of it that says what the call says."""


def decode_tool_call(call: pb.ToolCall) -> ToolCall | RawToolCall:
    """Read one call. Raises BadField."""
    extra = members("extra_json", call.extra_json)
    kind = call.type or FUNCTION
    inner, rest = _take_object(extra, kind)
    if kind == FUNCTION and not inner:
        return ToolCall(id=call.id, name=call.name, arguments=call.arguments, extra=extra)
    own: Extra = (("id", quote(call.id)), ("type", quote(kind)))
    if kind in BODIES:
        called = (("name", quote(call.name)), (BODIES[kind], quote(call.arguments)))
        return _raw((*own, (kind, JsonText(join(merge(called, inner))))), rest)
    named = (("name", call.name), ("arguments", call.arguments))
    return _raw((*own, *((name, quote(text)) for name, text in named if text)), extra)


def write_tool_call(call: ToolCall | RawToolCall, calls: Any) -> None:
    """Append one call."""
    match call:
        case ToolCall():
            calls.add(id=call.id, name=call.name, arguments=call.arguments, extra_json=join(call.extra))
        case RawToolCall(json=json):
            calls.add(**_fields(json))


def _fields(text: JsonText) -> dict[str, str | None]:
    """Take a call that is no plain function's apart: what has a field goes there, the rest stays as it was."""
    id_, rest = take_text(split(text), "id")
    kind, rest = take_text(rest, "type")
    body = BODIES.get(kind or FUNCTION)
    if body is None:
        name, rest = take_text(rest, "name")
        arguments, rest = take_text(rest, "arguments")
    else:
        inner, rest = _take_object(rest, kind or FUNCTION)
        name, inner = take_text(inner, "name")
        arguments, inner = take_text(inner, body)
        rest = (*(((kind or FUNCTION, JsonText(join(inner))),) if inner else ()), *rest)
    return {"id": id_, "type": kind, "name": name, "arguments": arguments, "extra_json": join(rest)}


def _take_object(extra: Extra, name: str) -> tuple[Extra, Extra]:
    """Take the members of an object out of the extras; none, and all extras, if there is no such object."""
    found = dict(extra).get(name)
    try:
        inner = () if found is None else split(found)
    except NOT_JSON:
        inner = ()
    return (inner, tuple(member for member in extra if member[0] != name)) if inner else ((), extra)


def _raw(own: Extra, extra: Extra) -> RawToolCall:
    return RawToolCall(json=JsonText(join(merge(own, extra))))
