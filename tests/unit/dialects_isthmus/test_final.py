"""Typed answers that came to a clean end and still are none to give again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.message import Message
from isthmus.v1 import chat_pb2, chat_stream_pb2, completion_pb2, embedding_pb2
from isthmus.v1.stream_pb2 import ChoiceEnd, FinishReason
from isthmusd.core.request import Operation
from isthmusd.dialects import registry
from isthmusd.dialects.base import Kept

from tests.unit.dialects.openai.values import STAMP

KEPT = registry.kept("isthmus", Operation.CHAT)
COMPLETION = registry.kept("isthmus", Operation.COMPLETION)


def is_final(**end: Any) -> bool:
    """Tell whether a chat and a completion that end so are final, whole or streamed."""
    chat = [chat_pb2.ChatChoice(index=0), chat_pb2.ChatChoice(index=1, **end)]
    chat_end = chat_stream_pb2.ChatEvent(choice_end=ChoiceEnd(**end))
    completion = completion_pb2.CompletionChoice(**end)
    completion_end = completion_pb2.CompletionEvent(choice_end=ChoiceEnd(**end))
    told = {
        KEPT.is_final((KEPT.freeze(chat_pb2.ChatResponse(choices=chat)),), False),
        streamed(KEPT, chat_stream_pb2.ChatChunk(), chat_stream_pb2.ChatChunk(events=[chat_end])),
        COMPLETION.is_final((COMPLETION.freeze(completion_pb2.CompletionResponse(choices=[completion])),), False),
        streamed(COMPLETION, completion_pb2.CompletionChunk(events=[completion_end])),
    }
    (final,) = told
    return final


def streamed(kept: Kept, *chunks: Message) -> bool:
    return kept.is_final([kept.freeze(chunk) for chunk in chunks], True)


@pytest.mark.parametrize(
    ("end", "final"),
    [
        ({}, True),
        ({"finish_reason": FinishReason.FINISH_REASON_STOP}, True),
        ({"finish_reason": FinishReason.FINISH_REASON_LENGTH, "native_finish_reason": "max_tokens"}, True),
        ({"finish_reason": FinishReason.FINISH_REASON_OTHER, "native_finish_reason": "eos"}, True),
        ({"finish_reason": FinishReason.FINISH_REASON_ERROR}, False),
        ({"finish_reason": FinishReason.FINISH_REASON_CANCELLED}, False),
        ({"finish_reason": FinishReason.FINISH_REASON_OTHER, "native_finish_reason": "abort"}, False),
        ({"native_finish_reason": "insufficient_system_resource"}, False),
        ({"finish_reason": FinishReason.FINISH_REASON_STOP, "native_finish_reason": "USER_CANCEL"}, False),
        ({"extra_json": '{"error":{"code":502}}'}, False),
        ({"extra_json": '{"error": null,"x":{"error":1}}'}, True),
    ],
)
def test_a_choice_that_broke_off_makes_no_answer(end: dict[str, Any], final: bool) -> None:
    assert is_final(**end) is final


@pytest.mark.parametrize("word", ["error", "cancelled", "abort", "insufficient_system_resource", "stop", None])
def test_words_of_providers_mean_the_same_in_both_formats(word: str | None) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "so f"}, "finish_reason": word}
    body = json.dumps({"choices": [choice]}).encode()
    answer = registry.called("openai", Operation.CHAT).decode_response(body, STAMP)
    typed = registry.served("isthmus", Operation.CHAT).encode_response(answer)

    final = word in ("stop", None)
    assert KEPT.is_final((KEPT.freeze(typed),), False) is final
    assert registry.kept("openai", Operation.CHAT).is_final((body,), False) is final


def test_an_answer_without_choices_says_nothing() -> None:
    assert not KEPT.is_final((KEPT.freeze(chat_pb2.ChatResponse(id="a")),), False)


def test_a_stream_that_only_ends_says_nothing() -> None:
    assert not KEPT.is_final([], True)
    assert not KEPT.is_final([KEPT.freeze(chat_stream_pb2.ChatChunk())], True)


@pytest.mark.parametrize(
    ("vectors", "final"),
    [
        ([], False),
        ([embedding_pb2.Embedding(index=0)], False),
        ([embedding_pb2.Embedding(floats=embedding_pb2.FloatVector(values=[0.5]))], True),
        ([embedding_pb2.Embedding(index=0), embedding_pb2.Embedding(index=1, float32_le=b"\0\0\0?")], True),
        ([embedding_pb2.Embedding(raw_json="[1]")], True),
    ],
)
def test_embeddings_are_final_that_hold_a_vector(vectors: list[embedding_pb2.Embedding], final: bool) -> None:
    kept = registry.kept("isthmus", Operation.EMBEDDING)

    assert kept.is_final((kept.freeze(embedding_pb2.EmbeddingResponse(embeddings=vectors)),), False) is final
