"""What is written is read back equal, over generated values: requests, answers, and answers as streams."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isthmusd.core.chat import ChatRequest, ChatResponse, FilePart, Message, Part, Reasoning, ThinkingPart
from isthmusd.core.collect import collect_chat, collect_completion
from isthmusd.core.completion import CompletionRequest, CompletionResponse
from isthmusd.core.embedding import EmbeddingRequest, EmbeddingResponse
from isthmusd.core.events import Event
from isthmusd.core.profile import EarlierThinking, Profile
from isthmusd.core.replay import replay
from isthmusd.core.request import Loss, Operation
from isthmusd.dialects.registry import called, served

from tests.golden.ledger import entry_of
from tests.unit.dialects.openai import values

PROFILE = Profile()

few = settings(max_examples=80, deadline=None)


def round_trip(operation: Operation, request: ChatRequest | CompletionRequest | EmbeddingRequest) -> object:
    encoded = called("openai", operation).encode_request(request, request.model, PROFILE)
    assert encoded.losses == ()
    return served("openai", operation).decode_request(encoded.body)


@few
@given(values.chat_requests())
def test_chat_requests(request: ChatRequest) -> None:
    assert round_trip(Operation.CHAT, request) == request


@few
@given(values.any_chat_requests())
def test_chat_requests_differ_by_what_is_in_the_ledger_and_nothing_else(request: ChatRequest) -> None:
    encoded = called("openai", Operation.CHAT).encode_request(request, request.model, PROFILE)

    assert [loss for loss in encoded.losses if entry_of("openai", loss.field, loss.reason) is None] == []
    assert served("openai", Operation.CHAT).decode_request(encoded.body) == without(request, encoded.losses)


@pytest.mark.parametrize("form", [EarlierThinking.BLOCKS, EarlierThinking.PARTS])
@few
@given(thought=values.signed_thinking, words=values.text)
def test_signed_thinking_comes_back_where_it_is_taken(form: EarlierThinking, thought: ThinkingPart, words: str) -> None:
    turn = Message(role="assistant", content=(thought, values.TextPart(text=words)))
    request = ChatRequest(model="m", messages=(turn,))

    encoded = called("openai", Operation.CHAT).encode_request(request, "m", Profile(earlier_thinking=form))

    assert encoded.losses == ()
    assert served("openai", Operation.CHAT).decode_request(encoded.body) == request


@few
@given(st.builds(Reasoning, max_tokens=values.maybe(values.count), include=values.maybe(st.booleans())))
def test_reasoning_comes_back_where_it_is_taken(reasoning: Reasoning) -> None:
    request = ChatRequest(model="m", messages=(Message(role="user"),), reasoning=reasoning)

    encoded = called("openai", Operation.CHAT).encode_request(request, "m", Profile(accepts_reasoning_object=True))
    read = served("openai", Operation.CHAT).decode_request(encoded.body).reasoning

    assert encoded.losses == ()
    assert dataclasses.replace(read or Reasoning(), source=()) == reasoning


@few
@given(values.completion_requests())
def test_completion_requests(request: CompletionRequest) -> None:
    assert round_trip(Operation.COMPLETION, request) == request


@few
@given(values.embedding_requests)
def test_embedding_requests(request: EmbeddingRequest) -> None:
    assert round_trip(Operation.EMBEDDING, request) == request


def without(request: ChatRequest, losses: tuple[Loss, ...]) -> ChatRequest:
    """Take out of a request what was lost of it."""
    lost = {loss.field for loss in losses}
    reasoning = request.reasoning
    if reasoning is not None:
        names = [name for name in ("max_tokens", "include") if f"reasoning.{name}" in lost]
        reasoning = dataclasses.replace(reasoning, **dict.fromkeys(names))
    messages = tuple(
        dataclasses.replace(message, content=_left(message, f"messages[{place}].content", lost))
        for place, message in enumerate(request.messages)
    )
    return dataclasses.replace(request, messages=messages, reasoning=None if reasoning == Reasoning() else reasoning)


def _left(message: Message, path: str, lost: set[str]) -> tuple[Part, ...] | None:
    if message.content is None:
        return None
    parts = [_part(part, f"{path}[{place}]", lost) for place, part in enumerate(message.content)]
    said = any(not isinstance(part, ThinkingPart) for part in message.content)
    left = tuple(part for part in parts if part is not None)
    # Where there was thinking only, and none of it is left, nothing is left to say.
    return left if left or said or not message.content else None


def _part(part: Part, path: str, lost: set[str]) -> Part | None:
    names = [field.name for field in dataclasses.fields(part) if f"{path}.{field.name}" in lost]
    kept = dataclasses.replace(part, **dict.fromkeys(names))
    match kept:
        case _ if path in lost:
            return None
        case ThinkingPart(text="") | FilePart(data_base64=None, file_id=None):
            return None
        case _:
            return kept


def reread(operation: Operation, response: ChatResponse | CompletionResponse | EmbeddingResponse) -> object:
    body = served("openai", operation).encode_response(response)
    return called("openai", operation).decode_response(body, values.STAMP)


@few
@given(values.chat_responses)
def test_chat_responses(response: ChatResponse) -> None:
    assert reread(Operation.CHAT, response) == response


@few
@given(values.completion_responses)
def test_completion_responses(response: CompletionResponse) -> None:
    assert reread(Operation.COMPLETION, response) == response


@few
@given(values.embedding_responses)
def test_embedding_responses(response: EmbeddingResponse) -> None:
    assert reread(Operation.EMBEDDING, response) == response


def restream(operation: Operation, events: list[Event], cuts: list[int]) -> list[Event]:
    stream = served("openai", operation).stream_encoder(values.STAMP, True).feed(events)
    decoder = called("openai", operation).stream_decoder(values.STAMP, PROFILE)
    read: list[Event] = []
    start = 0
    for cut in [*sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]:
        read += decoder.feed(stream[start:cut])
        start = cut
    assert decoder.ended
    assert decoder.failure is None
    assert decoder.close() == []
    return read


def without_nulls(response: ChatResponse) -> ChatResponse:
    """In a delta null says nothing, so a null of a message does not survive its stream."""
    choices = tuple(
        dataclasses.replace(
            choice,
            message=dataclasses.replace(
                choice.message,
                extra=tuple(member for member in choice.message.extra if member[1] != "null"),
                refusal=choice.message.refusal or None,
            ),
        )
        for choice in response.choices
    )
    return dataclasses.replace(response, choices=choices)


@few
@given(values.chat_responses, st.lists(st.integers(0, 10_000), max_size=6))
def test_streamed_chat_responses(response: ChatResponse, cuts: list[int]) -> None:
    response = without_nulls(response)

    assert collect_chat(restream(Operation.CHAT, replay(response), cuts)) == response


@few
@given(values.completion_responses, st.lists(st.integers(0, 10_000), max_size=6))
def test_streamed_completion_responses(response: CompletionResponse, cuts: list[int]) -> None:
    assert collect_completion(restream(Operation.COMPLETION, replay(response), cuts)) == response


@few
@given(values.chat_responses)
def test_collecting_a_replay_gives_the_answer(response: ChatResponse) -> None:
    assert collect_chat(replay(response)) == response


@few
@given(values.completion_responses)
def test_collecting_a_replayed_completion_gives_the_answer(response: CompletionResponse) -> None:
    assert collect_completion(replay(response)) == response
