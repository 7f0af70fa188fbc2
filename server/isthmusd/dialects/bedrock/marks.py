"""Members beside a part, message or tool that the hub has no field for: the marks of the prompt cache, and what Bedrock
knows under the same name. Everything else is a loss.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from isthmusd.core.chat import Extra, JsonText
from isthmusd.core.request import Loss

Block = dict[str, object]

CACHE_MARKS = frozenset({"cache_control", "cachePoint"})
"""Anthropic's name, which callers know, and Bedrock's own."""

NO_POINT = "the model takes no cache point there"

_SAYS_NOTHING = frozenset({"null", "[]", "{}", '""', "false"})


class _CacheControl(msgspec.Struct):
    ttl: str | None = None


def cache_point(extra: Extra, *, lasting: bool = True) -> list[Block]:
    """Give the block that follows what is marked: none or one. `lasting`: the model can be told how long it counts.

    Source: https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html
    """
    for name, text in extra:
        if name in CACHE_MARKS and text != "null":
            return [{"cachePoint": {"type": "default", **(_ttl(text) if lasting else {})}}]
    return []


def lose_members(extra: Extra, path: str, losses: list[Loss], known: Collection[str] = CACHE_MARKS) -> None:
    """Tell of members that Bedrock has no place for; empty ones ask for nothing."""
    losses += [
        Loss(field=f"{path}.{name}" if path else name, reason="Bedrock has no such field")
        for name, text in extra
        if name not in known and text not in _SAYS_NOTHING
    ]


def only_member(json: JsonText) -> tuple[str, msgspec.Raw] | None:
    """Open an object that is a union in Bedrock's style: one member, whose name says what it is. OpenAI's shape wants a
    `type` beside it, which is ignored. None if it is no such object."""
    try:
        members = msgspec.json.decode(json, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return None
    members.pop("type", None)
    return next(iter(members.items())) if len(members) == 1 else None


def _ttl(text: JsonText) -> Block:
    try:
        ttl = msgspec.json.decode(text, type=_CacheControl).ttl
    except msgspec.DecodeError:
        return {}
    return {"ttl": ttl} if ttl in ("5m", "1h") else {}
