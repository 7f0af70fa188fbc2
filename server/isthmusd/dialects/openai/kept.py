"""How answers in OpenAI's format are kept, and turned from one form into another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from isthmusd.core.call import Stamp
from isthmusd.core.entry import Form
from isthmusd.core.errors import GatewayError
from isthmusd.core.request import Operation, Peeked
from isthmusd.core.usage import Usage
from isthmusd.dialects.base import Kept
from isthmusd.dialects.openai.chunk_watch import chunk_failure
from isthmusd.dialects.openai.final import FINALS
from isthmusd.dialects.openai.kept_stream import blocks, compacted, events_of, garbled, unfaithful
from isthmusd.dialects.openai.recast_responses import streamed_response, whole_response
from isthmusd.dialects.openai.recast_stream import CHAT_CHUNKS, COMPLETION_CHUNKS, Chunks, unfold
from isthmusd.dialects.openai.recast_usage import with_usage, without_usage
from isthmusd.dialects.openai.recast_whole import fold
from isthmusd.dialects.openai.responses_watch import responses_failure
from isthmusd.framing.canonical import Exact, canonical_object

OPTIONS = frozenset({"include_usage", "include_obfuscation"})
SWITCH = (True, False, None)
"""By identity: 1 is none of them."""


def _says_form_only(options: Exact) -> bool:
    """Whether a stream's options say nothing else, so that no provider refuses what it would answer without them."""
    match options:
        case None:
            return True
        case dict():
            return options.keys() <= OPTIONS and all(any(value is one for one in SWITCH) for value in options.values())
        case _:
            return False


def _is_null(options: Exact) -> bool:
    return options is None


def _is_seen(stream: Exact) -> bool:
    del stream
    return True


STREAMED: Mapping[str, Callable[[Exact], bool]] = {"stream": _is_seen, "stream_options": _says_form_only}
"""Members that say how an answer is given, not what it is, and where that holds of them."""
WHOLE: Mapping[str, Callable[[Exact], bool]] = {"stream": _is_seen, "stream_options": _is_null}
"""Providers refuse options of a stream where there is none."""


@dataclass(frozen=True, slots=True)
class OpenAIKept:
    """One operation."""

    operation: Operation

    def canonical(self, body: bytes, peeked: Peeked) -> bytes | None:
        """Write a request in one form."""
        return canonical_object(body, STREAMED if peeked.stream else WHOLE)

    def freeze_request(self, body: bytes) -> bytes:
        """Bytes are their own written form, here and in the following."""
        return body

    def thaw_request(self, written: bytes) -> bytes:
        """Give the request."""
        return written

    def freeze(self, piece: bytes) -> bytes:
        """Give the piece."""
        return piece

    def thaw_whole(self, written: bytes) -> bytes:
        """Give the answer."""
        return written

    def thaw_piece(self, written: bytes) -> bytes:
        """Give the piece."""
        return written

    def compact(self, pieces: Sequence[bytes]) -> tuple[bytes, ...]:
        """Join events into blocks."""
        return tuple(compacted(pieces))

    def is_final(self, pieces: Sequence[bytes], streamed: bool) -> bool:
        """Tell whether a complete answer is one to give again."""
        return FINALS[self.operation](pieces, streamed)

    def write_failure(self, error: GatewayError) -> bytes:
        """Write an error event in the shape that the operation has."""
        return FAILURES.get(self.operation, chunk_failure)(error)

    def recast(
        self, pieces: Sequence[bytes], was: Form, wanted: Form, stamp: Stamp, *, usage: Usage | None
    ) -> list[bytes]:
        """Give a complete answer in another form."""
        if was == wanted:
            return list(pieces)
        try:
            match self.operation:
                case Operation.CHAT:
                    return _recast_chunks(CHAT_CHUNKS, pieces, was, wanted, stamp, usage=usage)
                case Operation.COMPLETION:
                    return _recast_chunks(COMPLETION_CHUNKS, pieces, was, wanted, stamp, usage=usage)
                case Operation.RESPONSES:
                    return _recast_response(pieces, was, wanted)
                case _:
                    raise unfaithful()
        except (ValueError, RecursionError) as error:
            # A text that is no Unicode.
            raise garbled() from error


FAILURES = {Operation.RESPONSES: responses_failure}


def _recast_chunks(
    chunks: Chunks, pieces: Sequence[bytes], was: Form, wanted: Form, stamp: Stamp, *, usage: Usage | None
) -> list[bytes]:
    match was.stream, wanted.stream:
        case True, True:
            return list(blocks(with_usage(pieces, usage) if wanted.include_usage else without_usage(pieces)))
        case True, False:
            return [msgspec.json.encode(fold(events_of(pieces), chunks.kind, stamp, usage))]
        case False, True:
            events = unfold(b"".join(pieces), chunks, stamp, usage=usage, include_usage=wanted.include_usage)
            return list(blocks(events))
        case _:
            # Of whole answers it is no question whether they tell their usage.
            return list(pieces)


def _recast_response(pieces: Sequence[bytes], was: Form, wanted: Form) -> list[bytes]:
    match was.stream, wanted.stream:
        case True, False:
            return [whole_response(pieces)]
        case False, True:
            return list(blocks(streamed_response(b"".join(pieces))))
        case _:
            return list(pieces)


KEPT: dict[Operation, Kept] = {
    operation: OpenAIKept(operation)
    for operation in (
        Operation.CHAT,
        Operation.COMPLETION,
        Operation.EMBEDDING,
        Operation.MODERATION,
        Operation.RESPONSES,
        Operation.AUTO,
    )
}
