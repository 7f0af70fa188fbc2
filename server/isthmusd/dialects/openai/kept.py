"""How answers in OpenAI's format are kept, and turned from one form into another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from isthmusd.core.call import Stamp
from isthmusd.core.entry import Form
from isthmusd.core.errors import GatewayError, UnsupportedFeature
from isthmusd.core.request import Operation, Peeked
from isthmusd.core.usage import Usage
from isthmusd.dialects.base import Kept
from isthmusd.dialects.openai.chunk_watch import chunk_failure
from isthmusd.dialects.openai.responses_watch import responses_failure
from isthmusd.framing.canonical import canonical_object

FORM = ("stream", "stream_options")
"""Members that say how an answer is given, not what it is."""
BLOCK_BYTES = 16_384
"""Events are kept together up to this size: to write each on its own costs more than to make it."""


@dataclass(frozen=True, slots=True)
class OpenAIKept:
    """One operation."""

    operation: Operation

    def canonical(self, body: bytes, peeked: Peeked) -> bytes | None:
        """Write a request in one form."""
        del peeked
        return canonical_object(body, FORM)

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
        return tuple(_blocks(pieces))

    def write_failure(self, error: GatewayError) -> bytes:
        """Write an error event in the shape that the operation has."""
        return FAILURES.get(self.operation, chunk_failure)(error)

    def recast(
        self, pieces: Sequence[bytes], was: Form, wanted: Form, stamp: Stamp, *, usage: Usage | None
    ) -> list[bytes]:
        """Give a complete answer in another form."""
        raise UnsupportedFeature("This answer cannot be given in another form.")


FAILURES = {Operation.RESPONSES: responses_failure}


def _blocks(pieces: Sequence[bytes]) -> Iterator[bytes]:
    block: list[bytes] = []
    size = 0
    for piece in pieces:
        if block and size + len(piece) > BLOCK_BYTES:
            yield b"".join(block)
            block, size = [], 0
        block.append(piece)
        size += len(piece)
    if block:
        yield b"".join(block)


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
