"""How requests and answers of our own API are kept. How an answer takes another form is `whole_chat.py`'s,
`whole_completion.py`'s and `streamed.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from isthmus.v1 import chat_pb2, chat_stream_pb2, completion_pb2, embedding_pb2
from isthmus.v1.stream_pb2 import FinishReason

from isthmusd.core.call import Stamp
from isthmusd.core.entry import Form
from isthmusd.core.errors import GatewayError
from isthmusd.core.request import Operation, Peeked
from isthmusd.core.usage import Usage
from isthmusd.dialects.base import Kept
from isthmusd.dialects.isthmus.steps import UNWRITABLE, garbled
from isthmusd.dialects.isthmus.streamed import streamed_chat, streamed_completion
from isthmusd.dialects.isthmus.whole import unsaid
from isthmusd.dialects.isthmus.whole_chat import whole_chat
from isthmusd.dialects.isthmus.whole_completion import whole_completion


@dataclass(frozen=True, slots=True)
class Forms:
    """How an operation that has two forms turns one into the other."""

    whole: Callable[[Sequence[Any]], Message]
    streamed: Callable[[Any], Sequence[Message]]


@dataclass(frozen=True, slots=True)
class IsthmusKept:
    """One operation, by the classes of its messages."""

    request: type[Message]
    whole: type[Message]
    piece: type[Message]
    forms: Forms | None = None

    def canonical(self, body: Message, peeked: Peeked) -> bytes | None:
        """Write a request in one form. JSON within it counts by its text."""
        del peeked
        return body.SerializeToString(deterministic=True)

    def freeze_request(self, body: Message) -> bytes:
        """Write a message."""
        return body.SerializeToString()

    def thaw_request(self, written: bytes) -> Message:
        """Read a request."""
        return self.request.FromString(written)

    def freeze(self, piece: Message) -> bytes:
        """Write a message."""
        return piece.SerializeToString()

    def thaw_whole(self, written: bytes) -> Message:
        """Read a whole answer."""
        return self.whole.FromString(written)

    def thaw_piece(self, written: bytes) -> Message:
        """Read a message of a stream."""
        return self.piece.FromString(written)

    def compact(self, pieces: Sequence[bytes]) -> tuple[bytes, ...]:
        """Messages stay apart."""
        return tuple(pieces)

    def is_final(self, pieces: Sequence[bytes], streamed: bool) -> bool:
        """Tell whether a complete answer is one to give again. A stream that only ends says nothing."""
        if streamed and not any(pieces):
            return False
        if self.forms is None:
            return True
        reasons = _reasons_of_stream if streamed else _reasons
        thaw = self.thaw_piece if streamed else self.thaw_whole
        return all(BROKEN.isdisjoint(reasons(thaw(piece))) for piece in pieces)

    def write_failure(self, error: GatewayError) -> None:
        """Failures are statuses here."""
        del error

    def recast(
        self, pieces: Sequence[Message], was: Form, wanted: Form, stamp: Stamp, *, usage: Usage | None
    ) -> list[Message]:
        """Give a complete answer in another form. Its messages say all that there is, the usage too."""
        del stamp, usage
        if was.stream == wanted.stream:
            return list(pieces)
        if self.forms is None:
            raise unsaid()
        try:
            return _streamed(self.forms, pieces) if wanted.stream else [self.forms.whole(pieces)]
        except UNWRITABLE:
            raise garbled() from None


BROKEN = frozenset({FinishReason.FINISH_REASON_ERROR, FinishReason.FINISH_REASON_CANCELLED})
"""How a choice ends that did not come to its end."""


def _reasons(answer: Any) -> set[int]:
    return {choice.finish_reason for choice in answer.choices}


def _reasons_of_stream(chunk: Any) -> set[int]:
    return {event.choice_end.finish_reason for event in chunk.events if event.HasField("choice_end")}


def _streamed(forms: Forms, pieces: Sequence[Message]) -> list[Message]:
    (whole,) = pieces
    return list(forms.streamed(whole))


KEPT: dict[Operation, Kept] = {
    Operation.CHAT: IsthmusKept(
        chat_pb2.ChatRequest,
        chat_pb2.ChatResponse,
        chat_stream_pb2.ChatChunk,
        Forms(whole=whole_chat, streamed=streamed_chat),
    ),
    Operation.COMPLETION: IsthmusKept(
        completion_pb2.CompletionRequest,
        completion_pb2.CompletionResponse,
        completion_pb2.CompletionChunk,
        Forms(whole=whole_completion, streamed=streamed_completion),
    ),
    Operation.EMBEDDING: IsthmusKept(
        embedding_pb2.EmbeddingRequest, embedding_pb2.EmbeddingResponse, embedding_pb2.EmbeddingResponse
    ),
}
