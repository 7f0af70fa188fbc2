"""The few fields that decisions need, read in one parse of a body. Everything else is the decoders', or the provider's.

On the identity path the provider judges the body, so only what the gateway acts on is refused here.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from isthmusd.core.errors import InvalidRequest
from isthmusd.core.request import Operation, Peeked
from isthmusd.dialects.openai.errors import request_fault
from isthmusd.framing.fields import Fields, kind_of
from isthmusd.framing.members import Members, read_members

DEFAULT_MODERATION_MODEL = "omni-moderation-latest"
"""https://platform.openai.com/docs/api-reference/moderations/create#moderations-create-model"""


def peek(body: bytes, operation: Operation) -> Peeked:
    """Read the deciding fields of a body of one operation. Raises InvalidRequest."""
    members = read_members(body)
    known = ("model", "stream", "stream_options", "temperature", "seed")
    fields = Fields({name: members.values[name] for name in known if name in members.values}, "", request_fault)
    model = _model(fields, operation)
    stream = fields.boolean("stream") or False
    peeked = Peeked(
        model=model,
        stream=stream,
        include_usage=_include_usage(fields),
        temperature=_temperature(fields),
        seed=fields.json("seed"),
        has_messages=_is_given(members, "messages"),
        has_prompt=_is_given(members, "prompt"),
        spans=members.spans,
        size=len(body),
    )
    check = _CHECKS.get(operation)
    if check is not None:
        check(members)
    return peeked


def _model(fields: Fields, operation: Operation) -> str:
    if operation is Operation.MODERATION and not fields.has("model"):
        return DEFAULT_MODERATION_MODEL
    model = fields.required_text("model")
    if not model.strip():
        raise fields.fault("'model' is empty: name the model to call.", "model")
    return model


def _include_usage(fields: Fields) -> bool:
    """Read the wish for usage."""
    if not fields.has("stream_options"):
        return False
    options = fields.required_object("stream_options")
    return options.boolean("include_usage") or False


def _temperature(fields: Fields) -> float | None:
    """Only a number is a temperature: `"0"` and `false` are not 0, and whether they are errors the target says."""
    return fields.number("temperature") if fields.kind("temperature") == "a number" else None


def _is_given(members: Members, name: str) -> bool:
    raw = members.values.get(name)
    return raw is not None and kind_of(raw) != "null"


def _needs(name: str) -> Callable[[Members], None]:
    def check(members: Members) -> None:
        if not _is_given(members, name):
            raise InvalidRequest(f"{name!r} is missing.", param=name)
        if _is_empty_array(members.values[name]):
            raise InvalidRequest(f"{name!r} must not be empty.", param=name)

    return check


def _is_empty_array(raw: msgspec.Raw) -> bool:
    view = memoryview(raw)
    # What follows the bracket tells, so that a large array is not copied; 64 spaces are nobody's style.
    return view[0] == 0x5B and bytes(view[1:65]).lstrip()[:1] == b"]"


def _needs_one(members: Members) -> None:
    given = [name for name in ("messages", "prompt") if _is_given(members, name)]
    if len(given) != 1:
        raise InvalidRequest("Send either 'messages' or 'prompt', not both or neither.", param="messages")
    _needs(given[0])(members)


_CHECKS: dict[Operation, Callable[[Members], None]] = {
    Operation.CHAT: _needs("messages"),
    Operation.COMPLETION: _needs("prompt"),
    Operation.EMBEDDING: _needs("input"),
    Operation.AUTO: _needs_one,
}
