"""What passing events of the Responses API tell: its own terminators, usage and errors.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

import msgspec

from isthmusd.core.errors import Garbled, GatewayError
from isthmusd.core.usage import Usage
from isthmusd.dialects.openai.chunk_decoder import DONE
from isthmusd.dialects.openai.errors import decode_stream_error
from isthmusd.dialects.openai.usage import believed
from isthmusd.framing.sse import SseEvent, data_event

TERMINATORS = frozenset({"response.completed", "response.incomplete", "response.failed"})
"""`response.failed` is an answer of the protocol with its own error inside, so it passes like the others."""


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Response(msgspec.Struct):
    usage: _Usage | None = None


class _Event(msgspec.Struct):
    type: str | None = None
    response: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")
    delta: msgspec.Raw = msgspec.Raw(b'""')


_EVENT = msgspec.json.Decoder(_Event)
_RESPONSE = msgspec.json.Decoder(_Response | None)


class ResponsesWatch:
    """Watch of Responses streams."""

    def __init__(self) -> None:
        self.ended = False
        self.usage: Usage | None = None
        self.completion_bytes = 0

    def take(self, event: SseEvent) -> bytes:
        """Read an event."""
        if event.data.strip() == DONE:
            # Not of the protocol, but some compatible servers end with it.
            self.ended = True
            return event.raw
        read = _parse(event.data)
        if read.type == "error" or bytes(read.error) != b"null":
            raise decode_stream_error(event.data if bytes(read.error) == b"null" else read.error)
        if read.type in TERMINATORS:
            self.usage = usage_in(read.response)
            self.ended = True
        self.completion_bytes += len(bytes(read.delta)) - 2
        return event.raw

    def finish(self) -> bytes | None:
        """Nothing ends such a stream but its terminator."""
        return None

    def write_error(self, error: GatewayError) -> bytes:
        """Write an `error` event in the shape that this API has."""
        return responses_failure(error)


def responses_failure(error: GatewayError) -> bytes:
    """Write the event that ends a broken stream."""
    members = {"type": "error", "code": error.code, "message": error.message, "param": error.param}
    return data_event(msgspec.json.encode(members), "error")


def usage_in(response: msgspec.Raw | bytes) -> Usage | None:
    """Read the usage of a response object; None if it has none. Raises Garbled if it is no such object."""
    try:
        read = _RESPONSE.decode(response)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _garbled() from error
    usage = read.usage if read is not None else None
    if usage is None:
        return None
    cached = usage.input_tokens_details.cached_tokens if usage.input_tokens_details is not None else None
    reasoning = usage.output_tokens_details.reasoning_tokens if usage.output_tokens_details is not None else None
    return Usage(
        prompt_tokens=believed(usage.input_tokens),
        completion_tokens=believed(usage.output_tokens),
        total_tokens=believed(usage.total_tokens),
        cached_tokens=believed(cached),
        reasoning_tokens=believed(reasoning),
    )


def _parse(data: bytes) -> _Event:
    try:
        if not data.isascii():
            data.decode()
        return _EVENT.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _garbled() from error


def _garbled() -> Garbled:
    return Garbled("The provider's answer is not what the Responses API says; try again.")
