"""What the hub holds survives our messages, both ways, whole and streamed; where an answer comes in many pieces, the
client puts together what the whole answer would have been.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from itertools import pairwise
from typing import Any, get_args

import isthmus
import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from isthmus.v1 import chat_pb2, chat_stream_pb2
from isthmusd.core.call import Stamp
from isthmusd.core.chat import (
    ChatRequest,
    ChatResponse,
    JsonText,
    Message,
    Part,
    RawToolCall,
    RefusalPart,
    ThinkingPart,
)
from isthmusd.core.completion import CompletionRequest, CompletionResponse
from isthmusd.core.embedding import EmbeddingRequest, EmbeddingResponse
from isthmusd.core.replay import replay
from isthmusd.core.request import Operation
from isthmusd.dialects.isthmus import SERVED

from tests.unit.dialects_isthmus.asking import ask_chat, ask_completion, ask_embedding
from tests.unit.dialects_isthmus.hub import (
    CHAT_REQUESTS,
    CHAT_RESPONSES,
    COMPLETION_REQUESTS,
    COMPLETION_RESPONSES,
    EMBEDDING_REQUESTS,
    EMBEDDING_RESPONSES,
    MESSAGES,
    PARTS,
)
from tests.unit.dialects_isthmus.reading import read_chat, read_completion, read_embedding

CHAT, COMPLETION, EMBEDDING = (SERVED[one] for one in (Operation.CHAT, Operation.COMPLETION, Operation.EMBEDDING))
slow = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def meant(value: Any) -> Any:
    """Give a value of the hub with its JSON read, since the order of members says nothing."""
    if is_dataclass(value) and not isinstance(value, type):
        return type(value).__name__, {field.name: _meant(value, field.name) for field in fields(value)}
    return [meant(item) for item in value] if isinstance(value, tuple) else value


def _meant(holder: Any, name: str) -> Any:
    value = getattr(holder, name)
    match name, value:
        case "extra", tuple():
            return {key: msgspec.json.decode(text) for key, text in value}
        case (("json" | "logprobs" | "audio" | "schema" | "parameters" | "prediction"), str()):
            return msgspec.json.decode(value)
        case _:
            return meant(value)


def said(message: Message) -> Message:
    """Give an answer's message as it comes back: its refusal as a part, thinking that is redacted in part as two."""
    content: list[Part] = []
    for part in message.content or ():
        match part:
            case ThinkingPart(signature=str(), redacted_data=str(hidden)):
                content += [replace(part, redacted_data=None), ThinkingPart(redacted_data=hidden)]
            case _:
                content.append(part)
    if message.refusal is not None:
        content.append(RefusalPart(text=message.refusal))
    return replace(message, content=tuple(content) or None, refusal=None)


def answered(response: ChatResponse) -> ChatResponse:
    return replace(
        response, choices=tuple(replace(choice, message=said(choice.message)) for choice in response.choices)
    )


def chunks_of(response: ChatResponse, cuts: list[int]) -> list[chat_stream_pb2.ChatChunk]:
    """Stream an answer, cut into chunks at some places."""
    events = replay(response)
    encoder = CHAT.stream_encoder(Stamp(id="0", created_at=0), include_usage=True)
    places = sorted({0, len(events), *(cut % len(events) for cut in cuts)})
    fed = [encoder.feed(events[start:end]) for start, end in pairwise(places)]
    return [chunk for chunk in fed if chunk is not None]


def test_every_kind_of_part_is_generated() -> None:
    assert set(PARTS) == set(get_args(Part))


@slow
@given(CHAT_REQUESTS)
def test_chat_request(request: ChatRequest) -> None:
    assert meant(CHAT.decode_request(ask_chat(request))) == meant(request)


@slow
@given(COMPLETION_REQUESTS)
def test_completion_request(request: CompletionRequest) -> None:
    assert meant(COMPLETION.decode_request(ask_completion(request))) == meant(request)


@slow
@given(EMBEDDING_REQUESTS)
def test_embedding_request(request: EmbeddingRequest) -> None:
    assert meant(EMBEDDING.decode_request(ask_embedding(request))) == meant(request)


@slow
@given(CHAT_RESPONSES)
def test_chat_response(response: ChatResponse) -> None:
    assert meant(read_chat(CHAT.encode_response(response))) == meant(answered(response))


@slow
@given(COMPLETION_RESPONSES)
def test_completion_response(response: CompletionResponse) -> None:
    assert meant(read_completion(COMPLETION.encode_response(response))) == meant(response)


@slow
@given(EMBEDDING_RESPONSES)
def test_embedding_response(response: EmbeddingResponse) -> None:
    assert meant(read_embedding(EMBEDDING.encode_response(response))) == meant(response)


@slow
@given(CHAT_RESPONSES, st.lists(st.integers(min_value=0), max_size=4))
def test_stream_is_put_together_again(response: ChatResponse, cuts: list[int]) -> None:
    whole = isthmus.whole_of(chunks_of(response, cuts))

    assert meant(read_chat(whole)) == meant(answered(response))


@slow
@given(MESSAGES)
def test_message_goes_back_as_it_came(message: Message) -> None:
    sent = ask_chat(ChatRequest(model="m", messages=(message,)))

    back = CHAT.decode_request(chat_pb2.ChatRequest(model="m", messages=sent.messages)).messages

    assert meant(back) == meant((message,))


def test_thinking_that_is_redacted_in_part_is_two_parts() -> None:
    part = ThinkingPart(text="Hm.", signature="c2ln", redacted_data="aGk=")
    request = ChatRequest(model="m", messages=(Message(role="assistant", content=(part,)),))

    content = CHAT.decode_request(ask_chat(request)).messages[0].content

    assert content == (ThinkingPart(text="Hm.", signature="c2ln"), ThinkingPart(redacted_data="aGk="))


def test_sound_of_an_unknown_shape_stays_json() -> None:
    for text in ('{"data":"c"}', '{"id":1}', '{"data":"AA=="}', "[]"):
        message = Message(role="assistant", audio=JsonText(text))

        sent = ask_chat(ChatRequest(model="m", messages=(message,))).messages[0]

        assert (list(sent.parts), sent.extra_json) == ([], f'{{"audio":{text}}}')


def test_calls_of_odd_shapes_keep_their_members() -> None:
    odd = [
        ('{"type":3,"id":null}', '{"type":3,"id":null}'),
        ('{"id":"c","type":"custom","custom":7}', '{"custom":7}'),
        ('{"id":"c","type":"custom","custom":{"name":"f","input":1}}', '{"custom":{"input":1}}'),
    ]
    for text, kept in odd:
        message = Message(role="assistant", tool_calls=(RawToolCall(json=JsonText(text)),))

        (call,) = ask_chat(ChatRequest(model="m", messages=(message,))).messages[0].tool_calls

        assert call.extra_json == kept
