"""Typed answers that came to a clean end and still are none to give again."""

from __future__ import annotations

import pytest
from isthmus.v1 import chat_pb2, chat_stream_pb2, embedding_pb2
from isthmus.v1.stream_pb2 import ChoiceEnd, FinishReason
from isthmusd.core.request import Operation
from isthmusd.dialects import registry

KEPT = registry.kept("isthmus", Operation.CHAT)


@pytest.mark.parametrize(
    ("reason", "final"),
    [
        (FinishReason.FINISH_REASON_STOP, True),
        (FinishReason.FINISH_REASON_LENGTH, True),
        (FinishReason.FINISH_REASON_ERROR, False),
        (FinishReason.FINISH_REASON_CANCELLED, False),
    ],
)
def test_a_choice_that_broke_makes_no_answer(reason: FinishReason.ValueType, final: bool) -> None:
    whole = chat_pb2.ChatResponse(choices=[chat_pb2.ChatChoice(finish_reason=reason)])
    end = chat_stream_pb2.ChatEvent(choice_end=ChoiceEnd(finish_reason=reason))
    chunks = (chat_stream_pb2.ChatChunk(), chat_stream_pb2.ChatChunk(events=[end]))

    assert KEPT.is_final((KEPT.freeze(whole),), False) is final
    assert KEPT.is_final([KEPT.freeze(chunk) for chunk in chunks], True) is final


def test_a_stream_that_only_ends_says_nothing() -> None:
    assert not KEPT.is_final([], True)
    assert not KEPT.is_final([KEPT.freeze(chat_stream_pb2.ChatChunk())], True)


def test_embeddings_are_final() -> None:
    kept = registry.kept("isthmus", Operation.EMBEDDING)

    assert kept.is_final((kept.freeze(embedding_pb2.EmbeddingResponse()),), False)
