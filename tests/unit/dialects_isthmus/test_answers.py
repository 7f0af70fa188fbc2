"""Whole answers: every field of them is written, and what is written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from isthmus.v1 import chat_pb2, completion_pb2, embedding_pb2, stream_pb2, usage_pb2
from isthmusd.core.call import Stamp
from isthmusd.core.chat import (
    ChatResponse,
    Choice,
    JsonText,
    Message,
    plain_text,
)
from isthmusd.core.embedding import Embedding
from isthmusd.core.errors import Garbled
from isthmusd.core.request import Operation
from isthmusd.core.usage import Usage
from isthmusd.dialects.isthmus import SERVED, name_provider, name_provider_of_stream

from tests.unit.dialects_isthmus.answers import (
    CHAT,
    COMPLETION,
    CONTENT,
    EMBEDDING,
    EVENTS,
    EXTRA_JSON,
    USAGE,
)
from tests.unit.dialects_isthmus.wire import Field, fields_of, set_fields

LEGACY_ONLY: set[Field] = {("TokenLogprob", "text_offset")}
CHAT_ONLY: set[Field] = {
    ("TokenLogprob", "token_bytes"),
    ("TokenLogprob", "extra_json"),
    ("TopLogprob", "token_bytes"),
    ("TopLogprob", "extra_json"),
}
STAMP = Stamp(id="0", created_at=0)
NO_PRICES: set[Field] = {("Usage", "cost_nano_usd")}
REQUEST_ONLY: set[Field] = {("Image", "raw_json"), ("File", "raw_json")}
"""An answer's unknown media is an unknown part: `Part.raw_json`."""


def encode(response: Any) -> Any:
    operations = {ChatResponse: Operation.CHAT, type(COMPLETION): Operation.COMPLETION}
    return SERVED[operations.get(type(response), Operation.EMBEDDING)].encode_response(response)


def stream(operation: Operation) -> Any:
    chunk = SERVED[operation].stream_encoder(STAMP, include_usage=False).feed(EVENTS)
    name_provider_of_stream(chunk, "openai")
    return chunk


def whole(response: Any) -> Any:
    message = encode(response)
    name_provider(message, "openai")
    return message


@pytest.mark.parametrize(
    ("messages", "absent"),
    [
        ([whole(CHAT)], NO_PRICES | REQUEST_ONLY | LEGACY_ONLY),
        ([stream(Operation.CHAT)], NO_PRICES | LEGACY_ONLY),
        ([whole(COMPLETION)], NO_PRICES | CHAT_ONLY),
        ([stream(Operation.COMPLETION)], NO_PRICES),
        ([whole(EMBEDDING), whole(replace(EMBEDDING, usage=USAGE))], NO_PRICES),
    ],
    ids=["chat", "chat stream", "completion", "completion stream", "embedding"],
)
def test_every_field_is_written(messages: list[Any], absent: set[Field]) -> None:
    written = set().union(*map(set_fields, messages))

    missing = fields_of(messages[0].DESCRIPTOR) - written
    assert missing == absent


def test_chat_answer() -> None:
    message = encode(CHAT)

    first, second = message.choices
    assert (message.id, message.model, message.created.seconds) == ("chatcmpl-1", "gpt", 1_700_000_000)
    assert (message.system_fingerprint, message.service_tier, message.extra_json) == ("fp", "default", EXTRA_JSON)
    assert (first.index, first.finish_reason, first.native_finish_reason) == (
        0,
        stream_pb2.FINISH_REASON_STOP,
        "end_turn",
    )
    assert second == chat_pb2.ChatChoice(index=1, message={"role": "assistant", "parts": [{"text": "Hi"}]})
    assert list(first.message.tool_calls) == [
        chat_pb2.ToolCall(id="c1", name="f", arguments='{"a": 1}', extra_json=EXTRA_JSON),
        chat_pb2.ToolCall(id="c2", type="custom", name="g", arguments="i", extra_json='{"y":1}'),
        chat_pb2.ToolCall(type="server", arguments="h"),
        chat_pb2.ToolCall(id="c4", type="function", name="f", arguments="i", extra_json='{"function":{"z":1}}'),
    ]
    assert [part.WhichOneof("kind") for part in first.message.parts[len(CONTENT) :]] == ["refusal", "audio"]
    audio = first.message.parts[-1].audio
    assert (audio.id, audio.data, audio.transcript, audio.expire_time.seconds) == ("a1", b"pcm", "hi", 9)
    assert first.message.parts[-1].extra_json == '{"y":1}'


def test_content_of_an_answer() -> None:
    parts = encode(CHAT).choices[0].message.parts

    assert parts[0] == chat_pb2.Part(text="Look:", extra_json=EXTRA_JSON)
    assert parts[2].image.inline == chat_pb2.Blob(mime_type="image/png", data=b"\x89PNG")
    assert parts[4].audio == chat_pb2.Audio(format="wav", data=b"RIFF")
    assert parts[9].thinking == chat_pb2.Thinking(text="Hm.", signature=b"c2ln")
    assert parts[10].thinking == chat_pb2.Thinking(signature=b"aGlkZGVu", redacted=True)
    assert parts[11].raw_json == '{"type":"video"}'


@pytest.mark.parametrize(
    ("reason", "native", "expected", "word"),
    [
        ("stop", None, stream_pb2.FINISH_REASON_STOP, "stop"),
        ("length", "max_tokens", stream_pb2.FINISH_REASON_LENGTH, "max_tokens"),
        ("tool_calls", None, stream_pb2.FINISH_REASON_TOOL_CALLS, "tool_calls"),
        ("function_call", None, stream_pb2.FINISH_REASON_TOOL_CALLS, "function_call"),
        ("content_filter", None, stream_pb2.FINISH_REASON_CONTENT_FILTER, "content_filter"),
        ("error", None, stream_pb2.FINISH_REASON_ERROR, "error"),
        ("cancelled", None, stream_pb2.FINISH_REASON_CANCELLED, "cancelled"),
        ("eos", None, stream_pb2.FINISH_REASON_OTHER, "eos"),
        (None, None, stream_pb2.FINISH_REASON_UNSPECIFIED, ""),
    ],
)
def test_finish_reasons(reason: str | None, native: str | None, expected: Any, word: str) -> None:
    message = Message(role="assistant", content=plain_text("Hi"))
    choice = Choice(index=0, message=message, finish_reason=reason, native_finish_reason=native)

    wire = encode(replace(CHAT, choices=(choice,))).choices[0]

    assert (wire.finish_reason, wire.native_finish_reason) == (expected, word)


def test_usage() -> None:
    assert encode(CHAT).usage == usage_pb2.Usage(
        input_tokens=1,
        output_tokens=2,
        total_tokens=3,
        input_details={
            "cached_tokens": 4,
            "cache_write_tokens": 5,
            "audio_tokens": 6,
            "image_tokens": 11,
            "text_tokens": 12,
            "tool_use_tokens": 13,
            "extra_json": '{"video_tokens":1.5}',
        },
        output_details={
            "reasoning_tokens": 7,
            "audio_tokens": 8,
            "text_tokens": 14,
            "accepted_prediction_tokens": 9,
            "rejected_prediction_tokens": 10,
            "extra_json": '{"image_tokens":-1}',
        },
        estimated=True,
        extra_json='{"cost":0.10}',
    )


def test_usage_says_zero_and_nothing_apart() -> None:
    usage = Usage(prompt_tokens=0, cached_tokens=0, extra=(("completion_tokens_details", "null"),))

    wire = encode(replace(CHAT, usage=usage)).usage

    assert wire == usage_pb2.Usage(
        input_tokens=0, input_details={"cached_tokens": 0}, extra_json='{"completion_tokens_details":null}'
    )


def test_logprobs() -> None:
    chosen = {"token": "a", "logprob": -0.5, "token_bytes": b"a"}
    top = [{**chosen, "extra_json": '{"rank":1}'}, {"token": "b", "logprob": -1.5}]

    assert encode(CHAT).choices[0].logprobs == usage_pb2.Logprobs(
        content=[{**chosen, "top": top, "extra_json": '{"token_ids":[7,8]}'}],
        refusal=[{"token": "n"}],
        extra_json='{"z":1}',
    )


def test_legacy_logprobs() -> None:
    top = [{"token": "b", "logprob": -1.5}, {"token": "c", "logprob": -2.5}]

    assert encode(COMPLETION).choices[0].logprobs == completion_pb2.CompletionLogprobs(
        tokens=[{"token": "a", "text_offset": 0}, {"token": "b", "logprob": -1.5, "top": top, "text_offset": 1}],
        extra_json='{"z":1}',
    )


def test_completion_in_the_shape_of_chat_has_logprobs_too() -> None:
    text = JsonText('{"content":[{"token":"a","logprob":-0.5,"bytes":[97]}],"z":1}')

    choice = encode(replace(COMPLETION, choices=(replace(COMPLETION.choices[0], logprobs=text),))).choices[0]

    assert choice.logprobs == completion_pb2.CompletionLogprobs(
        tokens=[{"token": "a", "logprob": -0.5, "token_bytes": b"a"}], extra_json='{"z":1}'
    )


@pytest.mark.parametrize("text", ["[1]", '{"content":[{"token":"a","bytes":[256]}]}', '{"content":3}'])
def test_chat_logprobs_of_another_shape_stay_json(text: str) -> None:
    choice = replace(CHAT.choices[1], logprobs=JsonText(text))

    wire = encode(replace(CHAT, choices=(choice,))).choices[0]

    assert (wire.HasField("logprobs"), wire.extra_json) == (False, f'{{"logprobs":{text}}}')


@pytest.mark.parametrize("text", ["[1]", '{"tokens":["a"],"text_offset":[1,2]}', '{"content":1}', '{"z":1}'])
def test_completion_logprobs_of_another_shape_stay_json(text: str) -> None:
    choice = replace(COMPLETION.choices[1], logprobs=JsonText(text))

    wire = encode(replace(COMPLETION, choices=(choice,))).choices[0]

    assert (wire.HasField("logprobs"), wire.extra_json) == (False, f'{{"logprobs":{text}}}')


def test_vectors_keep_their_form() -> None:
    floats, packed, raw, empty = encode(EMBEDDING).embeddings

    assert floats == embedding_pb2.Embedding(index=0, floats={"values": [0.5, -1.0]}, extra_json=EXTRA_JSON)
    assert packed == embedding_pb2.Embedding(index=1, float32_le=b"\0\0\0?\0\0\x80\xbf")
    assert raw == embedding_pb2.Embedding(index=2, raw_json="[1,-1]", extra_json=EXTRA_JSON)
    assert empty == embedding_pb2.Embedding(index=3, floats={})


def test_unknown_instant_is_unset() -> None:
    assert not encode(replace(CHAT, created_at=0)).HasField("created")


@pytest.mark.parametrize(
    "response",
    [
        replace(CHAT, id="\ud800"),
        replace(CHAT, created_at=2**70),
        replace(CHAT, choices=(replace(CHAT.choices[1], index=2**31),)),
        replace(COMPLETION, usage=Usage(prompt_tokens=2**63)),
        replace(EMBEDDING, embeddings=(Embedding(index=0, base64="AAA"),)),
    ],
)
def test_values_that_no_answer_has_are_the_providers_fault(response: Any) -> None:
    with pytest.raises(Garbled):
        encode(response)


def test_provider_is_named_only_where_the_stream_starts() -> None:
    chunk = completion_pb2.CompletionChunk(events=[{"text_delta": {"text": "a"}}])

    name_provider_of_stream(chunk, "openai")

    assert chunk == completion_pb2.CompletionChunk(events=[{"text_delta": {"text": "a"}}])
