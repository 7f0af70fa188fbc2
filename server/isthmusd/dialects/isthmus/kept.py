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

from isthmusd.core.caching import BROKEN_OFF
from isthmusd.core.call import Stamp
from isthmusd.core.entry import Form
from isthmusd.core.errors import GatewayError
from isthmusd.core.request import Operation, Peeked
from isthmusd.core.usage import Usage
from isthmusd.dialects.base import Kept
from isthmusd.dialects.isthmus.steps import UNWRITABLE, garbled
from isthmusd.dialects.isthmus.streamed import streamed_chat, streamed_completion
from isthmusd.dialects.isthmus.whole import members_of, unsaid
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
        if self.forms is None:
            return any(_has_vectors(self.thaw_whole(piece)) for piece in pieces)
        if streamed:
            return any(pieces) and not any(_breaks(self.thaw_piece(piece)) for piece in pieces)
        return all(_has_choices(self.thaw_whole(piece)) for piece in pieces)

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


def _has_vectors(answer: Any) -> bool:
    return any(embedding.WhichOneof("vector") is not None for embedding in answer.embeddings)


def _has_choices(answer: Any) -> bool:
    return bool(answer.choices) and not any(_is_broken(choice) for choice in answer.choices)


def _breaks(chunk: Any) -> bool:
    return any(_is_broken(event.choice_end) for event in chunk.events if event.HasField("choice_end"))


def _is_broken(end: Any) -> bool:
    """Whether a choice, or its end, says that its generation broke off."""
    return end.finish_reason in BROKEN or end.native_finish_reason in BROKEN_OFF or _tells_error(end.extra_json)


def _tells_error(members: str) -> bool:
    """Whether a choice has an error of its own: https://openrouter.ai/docs/api-reference/overview"""
    return '"error"' in members and any(name == "error" and value != "null" for name, value in members_of(members))


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
