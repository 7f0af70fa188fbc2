"""A kept stream of chunks with the usage that callers of `include_usage` see, or without it. Every other byte stays.

Source: https://platform.openai.com/docs/api-reference/chat/create#chat-create-stream_options
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from isthmusd.core.errors import UpstreamError
from isthmusd.core.usage import Usage
from isthmusd.dialects.openai.chunk_decoder import DONE
from isthmusd.dialects.openai.chunk_watch import ChunkWatch
from isthmusd.dialects.openai.kept_stream import events_of, garbled, members_of, unfaithful
from isthmusd.dialects.openai.recast_whole import HEAD, Members, written_usage
from isthmusd.framing.sse import SseEvent, data_event

_ABSENT = msgspec.Raw(b"")


class _Chunk(msgspec.Struct, gc=False):
    usage: msgspec.Raw = _ABSENT


_decode = msgspec.json.Decoder(_Chunk).decode


def without_usage(pieces: Sequence[bytes]) -> list[bytes]:
    """Leave out the chunk that tells the usage, and the `"usage": null` of the others. Raises Garbled."""
    watch = ChunkWatch(hides_usage=True, ends_with_done=True)
    try:
        kept = [_hidden(watch, event) if event.data else event.raw for event in events_of(pieces)]
    except UpstreamError as error:
        raise garbled() from error
    return [event for event in kept if event]


def with_usage(pieces: Sequence[bytes], usage: Usage | None) -> list[bytes]:
    """Add the chunk that tells the usage, if only a guess of it, and `"usage": null` to the others. A stream that tells
    it of its own accord stays as it is. Raises Garbled or UnsupportedFeature."""
    events = events_of(pieces)
    said: list[bytes] = []
    told: list[bytes] = []
    for event in events:
        data = event.data.strip()
        if data == DONE:
            if usage is None or not said:
                raise unfaithful()
            return [*told, _usage_event(said, usage), event.raw]
        if not data:
            told.append(event.raw)
            continue
        said.append(data)
        found = _usage_in(data)
        if found is not _ABSENT and bytes(found) != b"null":
            return [each.raw for each in events]
        told.append(_with_null(event) if found is _ABSENT else event.raw)
    raise garbled()


def _usage_in(data: bytes) -> msgspec.Raw:
    try:
        return _decode(data).usage
    except (msgspec.DecodeError, RecursionError) as error:
        raise garbled() from error


def _hidden(watch: ChunkWatch, event: SseEvent) -> bytes:
    """Give an event without the usage. The watch writes some of them anew: of these only its data is taken."""
    raw, data, hidden = event.raw, event.data, watch.take(event)
    if hidden in {b"", raw} or raw.count(data) != 1 or not hidden.startswith(b"data: "):
        return hidden
    return raw.replace(data, hidden[6:].splitlines()[0])


def _usage_event(said: Sequence[bytes], usage: Usage) -> bytes:
    chunk = members_of(said[0]) | members_of(said[-1])
    head: Members = {name: chunk[name] for name in HEAD if name in chunk}
    return data_event(msgspec.json.encode(head | {"choices": [], "usage": written_usage(usage)}))


def _with_null(event: SseEvent) -> bytes:
    """Add the member at the end of an event's object, which lies on one line as every provider sends it."""
    raw, data = event.raw, event.data
    if raw.count(data) != 1 or not data.endswith(b"}") or not data[1:-1].strip():
        raise unfaithful()
    end = raw.index(data) + data.rindex(b"}")
    return raw[:end] + b',"usage":null' + raw[end:]
