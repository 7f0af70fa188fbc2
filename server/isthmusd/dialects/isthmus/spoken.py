"""Spoken answers: OpenAI's audio object, as the hub keeps it, taken apart. Sound that a caller gives is `parts.py`."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp

from isthmusd.core.chat import Extra, JsonText
from isthmusd.dialects.isthmus.fields import NOT_JSON, from_base64, instant, split


class _Audio(msgspec.Struct):
    id: str | None = None
    data: str | None = None
    transcript: str | None = None
    expires_at: int | None = None


_DECODER = msgspec.json.Decoder(_Audio)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    id: str | None
    data: bytes
    transcript: str | None
    expire_time: Timestamp | None
    extra: Extra


def read_spoken(text: JsonText) -> Spoken | None:
    """Take a spoken answer, or a piece of one, apart; None if it has another shape."""
    try:
        audio = _DECODER.decode(text)
        data, expire_time = from_base64(audio.data or ""), instant(audio.expires_at)
    except (ValueError, *NOT_JSON):
        return None
    return Spoken(
        id=audio.id,
        data=data,
        transcript=audio.transcript,
        expire_time=expire_time,
        extra=tuple(member for member in split(text) if member[0] not in _Audio.__struct_fields__),
    )
