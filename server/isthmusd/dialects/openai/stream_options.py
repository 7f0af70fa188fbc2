"""`stream` and `stream_options`, shared by chat and completions, both ways through the hub. Splicing them into a body
that passes untouched is `identity.py`."""

from __future__ import annotations

import msgspec

from isthmusd.core.chat import Extra
from isthmusd.core.profile import Profile
from isthmusd.core.request import Loss
from isthmusd.framing.fields import Fields, drop_none, json_text

_NAME = "stream_options"


def decode_stream_options(fields: Fields) -> tuple[bool, Extra]:
    """Take `stream_options`: whether usage is wanted, and its other members as one extra of the same name."""
    options = fields.object(_NAME)
    if options is None:
        return False, ()
    include_usage = options.boolean("include_usage") or False
    rest = options.rest()
    return include_usage, ((_NAME, json_text(msgspec.json.encode(drop_none({}, rest)))),) if rest else ()


def encode_stream(stream: bool, extra: Extra, profile: Profile) -> dict[str, object | None]:
    """Write `stream` and `stream_options`. Usage is always asked for where the host allows it: it is counted even if
    the caller does not want to see it."""
    if not stream:
        return {}
    if not profile.accepts_stream_options:
        return {"stream": True}
    others = dict(extra).get(_NAME)
    rest: dict[str, msgspec.Raw] = msgspec.json.decode(others, type=dict[str, msgspec.Raw]) if others else {}
    return {"stream": True, _NAME: {"include_usage": True, **rest}}


def carried_extra(extra: Extra, profile: Profile, losses: list[Loss]) -> Extra:
    """Give the unknown members that the host takes; each of the others becomes a loss."""
    carried: list[tuple[str, str]] = []
    for name, text in extra:
        refused = not (profile.accepts_stream_options if name == _NAME else profile.accepts_unknown_fields)
        if refused:
            losses.append(Loss(field=name, reason="the provider does not accept this field"))
        else:
            carried.append((name, text))
    return tuple((name, json_text(text.encode())) for name, text in carried)
