"""What passing chunks of chat and completions tell: errors, usage, finish reasons, `[DONE]`. It runs once per event of
every passed stream, so it decodes no more than that.
"""

from __future__ import annotations

import msgspec

from isthmusd.core.errors import Garbled, GatewayError, InvalidRequest
from isthmusd.core.usage import Usage
from isthmusd.dialects.openai.chunk_decoder import DONE
from isthmusd.dialects.openai.errors import decode_stream_error, encode_error
from isthmusd.dialects.openai.usage import decode_usage
from isthmusd.framing.members import find_spans
from isthmusd.framing.sse import SseEvent, data_event

_ABSENT = msgspec.Raw(b"")
_NULL = msgspec.Raw(b"null")


class _Delta(msgspec.Struct, gc=False):
    content: msgspec.Raw = _ABSENT
    reasoning_content: msgspec.Raw = _ABSENT
    reasoning: msgspec.Raw = _ABSENT
    refusal: msgspec.Raw = _ABSENT
    tool_calls: msgspec.Raw = _ABSENT


class _Choice(msgspec.Struct, gc=False):
    index: int | None = None
    finish_reason: str | None = None
    delta: _Delta | None = None
    text: msgspec.Raw = _ABSENT


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _NULL
    object: msgspec.Raw = _ABSENT


class _Sloppy(msgspec.Struct):
    """A chunk whose choices have types that the format does not allow: their bytes pass, they tell nothing."""

    choices: msgspec.Raw = _ABSENT
    usage: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _NULL
    object: msgspec.Raw = _ABSENT


_decode = msgspec.json.Decoder(_Chunk).decode
_decode_sloppy = msgspec.json.Decoder(_Sloppy).decode


class ChunkWatch:
    """Watch of chat and completion streams.

    `hides_usage`: only the gateway asked for usage, so the chunk that holds nothing else is dropped and the
    `"usage": null` of all others is cut out. `ends_with_done`: `[DONE]` may not be missing.
    """

    def __init__(self, *, hides_usage: bool, ends_with_done: bool) -> None:
        self.ended = False
        self.usage: Usage | None = None
        self.completion_bytes = 0
        self._hides_usage = hides_usage
        self._ends_with_done = ends_with_done
        self._open: set[int] = set()
        self._finished: set[int] = set()

    def take(self, event: SseEvent) -> bytes:
        """Read a chunk."""
        data = event.data
        if data == DONE or data.strip() == DONE:
            self.ended = True
            return event.raw
        chunk = _parse(data)
        if chunk.error is not _NULL and bytes(chunk.error) != b"null":
            raise decode_stream_error(chunk.error)
        # vLLM's older form is the bare error object.
        if b'"error"' in data and bytes(chunk.object) == b'"error"':
            raise decode_stream_error(data)
        choices = chunk.choices
        match choices:
            case list():
                self._count(choices)
            case _:
                pass
        if chunk.usage is not _ABSENT:
            return self._take_usage(event, chunk.usage, has_choices=choices != [])
        return event.raw

    def finish(self) -> bytes | None:
        """Add the `[DONE]` that some servers leave out, if every choice has its finish reason."""
        if self._ends_with_done or not self._finished or self._open - self._finished:
            return None
        return data_event(DONE)

    def write_error(self, error: GatewayError) -> bytes:
        """Write an error event."""
        return chunk_failure(error)

    def _count(self, choices: list[_Choice]) -> None:
        for place, choice in enumerate(choices):
            index = place if choice.index is None else choice.index
            self._open.add(index)
            if choice.finish_reason:
                self._finished.add(index)
            delta = choice.delta
            self.completion_bytes += _size(choice.text) if delta is None else _written(delta)

    def _take_usage(self, event: SseEvent, usage: msgspec.Raw, *, has_choices: bool) -> bytes:
        reported = None if bytes(usage) == b"null" else decode_usage(usage)
        if reported is None:
            return _without_usage(event) if self._hides_usage else event.raw
        self.usage = reported
        return b"" if self._hides_usage and not has_choices else event.raw


def _parse(data: bytes) -> _Chunk | _Sloppy:
    try:
        # The decoder does not look at the encoding of values that it skips.
        if not data.isascii():
            data.decode()
        return _decode(data)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Garbled("The provider's stream holds an event that is not valid JSON; try again.") from error
    try:
        return _decode_sloppy(data)
    except msgspec.ValidationError as error:
        raise Garbled("The provider's stream holds an event that is not a JSON object; try again.") from error
    except (msgspec.DecodeError, RecursionError) as error:
        # The first reading stopped at a wrong type, before what is no JSON at all.
        raise Garbled("The provider's stream holds an event that is not valid JSON; try again.") from error


def _written(delta: _Delta) -> int:
    written = _size(delta.content)
    if delta.reasoning is not _ABSENT or delta.reasoning_content is not _ABSENT:
        written += max(_size(delta.reasoning_content), _size(delta.reasoning))
    if delta.refusal is not _ABSENT:
        written += _size(delta.refusal)
    if delta.tool_calls is not _ABSENT:
        written += _size(delta.tool_calls)
    return written


def _size(raw: msgspec.Raw) -> int:
    """Give the size of a value without its quotes."""
    if raw is _ABSENT:
        return 0
    text = bytes(raw)
    return 0 if text == b"null" else len(text) - 2


_PLAIN = b',"usage":null'


def _without_usage(event: SseEvent) -> bytes:
    """Cut the top-level `"usage": null` out of an event."""
    data = event.data
    if data.count(b'"usage"') == 1 and data.count(_PLAIN) == 1:
        # The one key of that name in the event, so it is the one that was read as null.
        return event.raw.replace(_PLAIN, b"")
    try:
        start, end = find_spans(data)["usage"]
    except InvalidRequest:
        # A key repeats, so that nothing tells which one clients read: it passes as it is.
        return event.raw
    start = data.rindex(b'"', 0, data.rindex(b'"', 0, start))
    before, after = data[:start].rstrip(), data[end:].lstrip()
    if before.endswith(b","):
        before = before[:-1]
    else:
        after = after.removeprefix(b",")
    lines = (before + after).split(b"\n")
    return b"".join(b"data: " + line + b"\n" for line in lines) + b"\n"


def chunk_failure(error: GatewayError) -> bytes:
    """Write the event that ends a broken stream."""
    return data_event(encode_error(error))
