"""The streamed completion: texts of a choice, both ways. Chunks around them are `chunk_decoder.py` and
`chunk_encoder.py`.

Source: https://platform.openai.com/docs/api-reference/completions/create#completions-create-stream
"""

from __future__ import annotations

from isthmusd.core.call import Stamp
from isthmusd.core.events import Event, TextDelta
from isthmusd.core.profile import Profile
from isthmusd.dialects.openai.chunk_decoder import ChunkDecoder
from isthmusd.dialects.openai.chunk_encoder import ChunkEncoder, Delta, unstarted
from isthmusd.framing.fields import Fields


def completion_decoder(stamp: Stamp, profile: Profile) -> ChunkDecoder:
    """Make the decoder of one streamed completion."""
    return ChunkDecoder(_read_delta, fallback_id=f"cmpl-{stamp.id}", stamp=stamp, profile=profile)


def completion_encoder(stamp: Stamp, include_usage: bool) -> ChunkEncoder:
    """Make the encoder of one streamed completion."""
    start = unstarted(stamp, "cmpl")
    return ChunkEncoder("text_completion", _write_delta, nothing={"text": ""}, start=start, include_usage=include_usage)


def _read_delta(choice: int, fields: Fields) -> list[Event]:
    text = fields.text("text")
    return [TextDelta(choice=choice, text=text)] if text else []


def _write_delta(event: Delta) -> dict[str, object] | None:
    match event:
        case TextDelta():
            return {"text": event.text}
        case _:
            # The wire knows nothing but text.
            return None
