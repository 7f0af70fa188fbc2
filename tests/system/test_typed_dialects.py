"""Typed callers and providers of other formats: what only such providers have must reach the caller through our
messages, and come back to them. The provider is scripted in its own words, by hand.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import grpc
import isthmus
import msgspec
import pytest
from isthmus.v1 import chat_pb2, completion_pb2, embedding_pb2, stream_pb2

from tests.fakes.wire_turn import body
from tests.system.native import CLAUDE_BLOCKS, Json, claude, gemini
from tests.system.pair import GRPC_OPTIONS, Pair, running_pair
from tests.system.wire import JSON_TYPE, ask

pytestmark = pytest.mark.edge
MODELS = {
    "claude": {"provider": "anthropic", "model": "claude-sonnet-4-5"},
    "gemini": {"provider": "google", "model": "gemini-2.5-flash"},
    "vectors": {"provider": "google", "model": "gemini-embedding-001"},
    "sturdy": {"targets": ["box/claude-sonnet-4-5", "google/gemini-2.5-flash"]},
}
PROVIDERS = {
    "anthropic": {"api_key": "a", "endpoint": "ours"},
    "google": {"api_key": "g", "endpoint": "theirs"},
    # A host of its own: one that was throttled in another test is asked last for a while.
    "box": {"dialect": "anthropic", "api_key": "b"},
}
PNG, PDF, WAV = b"\x89PNG\r\n\x1a\n", b"%PDF-1.7", b"RIFF"
MARK = '{"cache_control":{"type":"ephemeral"}}'
SCHEMA = '{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}'
WEATHER = {"name": "weather", "description": "Tells.", "parameters_json": SCHEMA}


@pytest.fixture(scope="module")
def typed_pair() -> Iterator[Pair]:
    with running_pair(providers=PROVIDERS, models=MODELS) as running:
        yield running


@pytest.fixture
def client(typed_pair: Pair) -> Iterator[isthmus.Client]:
    with grpc.insecure_channel(typed_pair.gateway.grpc_target, options=GRPC_OPTIONS) as channel:
        yield isthmus.Client(channel=channel)
    typed_pair.provider.reply_always(None)


def user(*parts: Json | str) -> chat_pb2.Message:
    return chat_pb2.Message(role="user", parts=[{"text": one} if isinstance(one, str) else one for one in parts])


def question(model: str, *messages: chat_pb2.Message, **fields: Any) -> chat_pb2.ChatRequest:
    return chat_pb2.ChatRequest(model=model, messages=messages or [isthmus.user("Hi")], **fields)


def put(client: isthmus.Client, request: chat_pb2.ChatRequest, *, stream: bool) -> chat_pb2.ChatResponse:
    """Ask, whole or streamed: the answer must be the same."""
    if stream:
        return isthmus.whole_of(client.chat.StreamChatCompletion(request, timeout=30))
    return client.chat.CreateChatCompletion(request, timeout=30)


@pytest.mark.parametrize("stream", [False, True])
def test_thinking_and_parallel_tools_of_claude_over_two_turns(
    typed_pair: Pair, client: isthmus.Client, stream: bool
) -> None:
    asked = {
        "reasoning": {"max_tokens": 2048, "include": True},
        "tools": [{"function": {**WEATHER, "strict": True}, "extra_json": MARK}, {"function": {"name": "other"}}],
        "max_completion_tokens": 4096,
        "parallel_tool_calls": False,
    }
    typed_pair.provider.reply_always(claude(CLAUDE_BLOCKS, "tool_use", stream=stream))

    answer = put(
        client, question("claude", user({"text": "Rome or Oslo?", "extra_json": MARK}), **asked), stream=stream
    )

    first, message = typed_pair.provider.last.json(), answer.choices[0].message
    assert first["thinking"]["budget_tokens"] == 2048
    assert first["tools"][0]["cache_control"] == {"type": "ephemeral"}
    assert first["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral"}
    assert first["tool_choice"]["disable_parallel_tool_use"] is True
    assert list(message.parts) == [
        chat_pb2.Part(thinking={"text": "Two towns.", "signature": b"c2lnbmVk"}),
        chat_pb2.Part(thinking={"signature": b"aGlkZGVu", "redacted": True}),
        chat_pb2.Part(text="I look."),
    ]
    assert [(call.id, call.name) for call in message.tool_calls] == [("toolu_1", "weather"), ("toolu_2", "weather")]
    assert [msgspec.json.decode(call.arguments) for call in message.tool_calls] == [{"city": "Rome"}, {"city": "Oslo"}]
    choice = answer.choices[0]
    assert (choice.finish_reason, choice.native_finish_reason) == (stream_pb2.FINISH_REASON_TOOL_CALLS, "tool_use")
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (23, 13, 36)
    assert (answer.usage.input_details.cached_tokens, answer.usage.input_details.cache_write_tokens) == (7, 11)
    assert (answer.provider, answer.service_tier, answer.id) == ("anthropic", "priority", "msg_1")

    results = [
        chat_pb2.Message(role="tool", tool_call_id=call.id, parts=[{"text": "sunny"}]) for call in message.tool_calls
    ]
    put(client, question("claude", isthmus.user("Rome or Oslo?"), message, *results, **asked), stream=stream)

    turns = typed_pair.provider.last.json()["messages"]
    assert turns[1] == {"role": "assistant", "content": CLAUDE_BLOCKS}
    assert [block["tool_use_id"] for block in turns[2]["content"]] == ["toolu_1", "toolu_2"]


@pytest.mark.parametrize("stream", [False, True])
def test_signed_calls_of_gemini_over_two_turns(typed_pair: Pair, client: isthmus.Client, stream: bool) -> None:
    parts: list[Json] = [
        {"text": "Two towns.", "thought": True},
        {"functionCall": {"name": "weather", "args": {"city": "Rome"}}, "thoughtSignature": "c2lnbmVk"},
        {"functionCall": {"name": "weather", "args": {"city": "Oslo"}}},
    ]
    asked = {
        "tools": [{"function": WEATHER}, {"function": {"name": "other"}}],
        "tool_choice": {"allowed_tools": {"mode": chat_pb2.TOOL_CHOICE_MODE_REQUIRED, "function_names": ["weather"]}},
        "reasoning": {"effort": "low"},
    }
    typed_pair.provider.reply_always(gemini(parts, stream=stream))

    answer = put(client, question("gemini", **asked), stream=stream)

    first, message = typed_pair.provider.last.json(), answer.choices[0].message
    assert first["generationConfig"]["thinkingConfig"] == {"thinkingBudget": 1024, "includeThoughts": True}
    called = first["toolConfig"]["functionCallingConfig"]
    assert (called["mode"], called["allowedFunctionNames"]) == ("ANY", ["weather"])
    assert list(message.parts) == [chat_pb2.Part(thinking={"text": "Two towns."})]
    signed, plain = message.tool_calls
    assert msgspec.json.decode(signed.extra_json) == {"extra_content": {"google": {"thought_signature": "c2lnbmVk"}}}
    assert plain.extra_json == ""
    assert answer.usage.output_details.reasoning_tokens == 11
    assert (answer.usage.output_tokens, answer.usage.input_details.cached_tokens) == (18, 3)

    results = [
        chat_pb2.Message(role="tool", tool_call_id=call.id, parts=[{"text": "sunny"}]) for call in message.tool_calls
    ]
    put(client, question("gemini", isthmus.user("Hi"), message, *results, **asked), stream=stream)

    turn = typed_pair.provider.last.json()["contents"][1]
    calls = [part for part in turn["parts"] if "functionCall" in part]
    assert [call["functionCall"]["args"] for call in calls] == [{"city": "Rome"}, {"city": "Oslo"}]
    assert [call.get("thoughtSignature") for call in calls] == ["c2lnbmVk", None]


def test_media_as_bytes(typed_pair: Pair, client: isthmus.Client) -> None:
    typed_pair.provider.reply_always(gemini([{"text": "Seen."}], stream=False))
    asked = user(
        "What is this?",
        {"image": {"inline": {"mime_type": "image/png", "data": PNG}}},
        {"file": {"inline": {"mime_type": "application/pdf", "data": PDF}, "filename": "a.pdf"}},
        {"audio": {"format": "wav", "data": WAV}},
    )

    put(client, question("gemini", asked), stream=False)

    blobs = [part["inlineData"] for part in typed_pair.provider.last.json()["contents"][0]["parts"][1:]]
    assert [blob["mimeType"] for blob in blobs] == ["image/png", "application/pdf", "audio/wav"]
    assert [base64.b64decode(blob["data"]) for blob in blobs] == [PNG, PDF, WAV]


def test_media_by_url(typed_pair: Pair, client: isthmus.Client) -> None:
    typed_pair.provider.reply_always(claude([{"type": "text", "text": "Seen."}], "end_turn", stream=False))
    image, file = {"image": {"url": "https://example.org/a.png"}}, {"file": {"url": "https://example.org/a.pdf"}}

    put(client, question("claude", user("What?", image, file)), stream=False)

    sources = [block["source"] for block in typed_pair.provider.last.json()["messages"][0]["content"][1:]]
    assert [source["url"] for source in sources] == ["https://example.org/a.png", "https://example.org/a.pdf"]


@pytest.mark.parametrize("stream", [False, True])
def test_sound_citations_and_probabilities(typed_pair: Pair, client: isthmus.Client, stream: bool) -> None:
    sound = {"inlineData": {"mimeType": "audio/wav", "data": base64.b64encode(WAV).decode()}}
    web = {"groundingChunks": [{"web": {"uri": "https://example.org", "title": "Example"}}]}
    found = {**web, "groundingSupports": [{"segment": {"endIndex": 4, "text": "Rome"}, "groundingChunkIndices": [0]}]}
    probable = {"token": "Rome", "logProbability": -0.5}
    chosen = {"chosenCandidates": [probable], "topCandidates": [{"candidates": [probable]}]}
    answered = gemini([{"text": "Rome"}, sound], stream=stream, groundingMetadata=found, logprobsResult=chosen)
    typed_pair.provider.reply_always(answered)

    choice = put(client, question("gemini", logprobs=True, top_logprobs=1), stream=stream).choices[0]

    spoken = choice.message.parts[-1]
    assert (choice.message.parts[0].text, spoken.audio.data) == ("Rome", WAV)
    assert msgspec.json.decode(spoken.extra_json)["mime_type"] == "audio/wav"
    (cited,) = msgspec.json.decode(choice.message.extra_json)["annotations"]
    assert (cited["url_citation"]["url"], cited["url_citation"]["end_index"]) == ("https://example.org", 4)
    (token,) = choice.logprobs.content
    assert (token.token, token.logprob, token.top[0].token) == ("Rome", -0.5, "Rome")


@pytest.mark.parametrize("stream", [False, True])
def test_answers_that_are_held_back(typed_pair: Pair, client: isthmus.Client, stream: bool) -> None:
    typed_pair.provider.reply_always(gemini([{"text": "He"}], stream=stream, finish="SAFETY"))

    choice = put(client, question("gemini"), stream=stream).choices[0]

    assert (choice.finish_reason, choice.native_finish_reason) == (stream_pb2.FINISH_REASON_CONTENT_FILTER, "SAFETY")


@pytest.mark.parametrize("stream", [False, True])
def test_json_by_a_tool_that_must_be_called(typed_pair: Pair, client: isthmus.Client, stream: bool) -> None:
    request = question("claude", response_format={"json_object": {}})
    typed_pair.provider.reply_always(claude([{"type": "text", "text": "-"}], "end_turn", stream=stream))
    put(client, request, stream=stream)
    tool = typed_pair.provider.last.json()["tools"][-1]["name"]
    called = {"type": "tool_use", "id": "toolu_1", "name": tool, "input": {"city": "Rome"}}
    typed_pair.provider.reply_always(claude([called], "tool_use", stream=stream))

    answer = put(client, request, stream=stream)

    assert msgspec.json.decode(isthmus.text_of(answer)) == {"city": "Rome"}
    assert answer.choices[0].finish_reason == stream_pb2.FINISH_REASON_STOP


def test_json_schema(typed_pair: Pair, client: isthmus.Client) -> None:
    typed_pair.provider.reply_always(gemini([{"text": '{"city":"Rome"}'}], stream=False))

    put(
        client,
        question("gemini", response_format={"json_schema": {"name": "s", "schema_json": SCHEMA, "strict": True}}),
        stream=False,
    )

    config = typed_pair.provider.last.json()["generationConfig"]
    assert config["responseMimeType"] == "application/json"
    assert config["responseJsonSchema"]["properties"] == {"city": {"type": "string"}}


LOSSY = {"logit_bias": {"1": 2.0}, "frequency_penalty": 0.5}


@pytest.mark.parametrize("stream", [False, True])
async def test_losses_are_told_as_they_are_over_http(typed_pair: Pair, client: isthmus.Client, stream: bool) -> None:
    typed_pair.provider.reply_always(claude([{"type": "text", "text": "-"}], "end_turn", stream=stream))
    request = question("claude", **LOSSY)
    if stream:
        call = client.chat.StreamChatCompletion(request, timeout=30)
        assert isthmus.text_of(isthmus.whole_of(call)) == "-"
    else:
        _, call = client.chat.CreateChatCompletion.with_call(request, timeout=30)
    said = {"model": "claude", "messages": [{"role": "user", "content": "Hi"}], "stream": stream, **LOSSY}

    http = await ask(typed_pair.url, "/v1/chat/completions", msgspec.json.encode(said))

    told = dict(call.initial_metadata())
    assert told["x-isthmus-losses"] == http.headers["x-isthmus-losses"]
    assert dict(call.trailing_metadata())["x-isthmus-losses"] == told["x-isthmus-losses"]
    assert set(told["x-isthmus-losses"].split(", ")) == {"logit_bias", "frequency_penalty"}
    assert told["x-isthmus-endpoint"] == "ours"


@pytest.mark.parametrize("stream", [False, True])
def test_strict_calls_refuse_losses(typed_pair: Pair, client: isthmus.Client, stream: bool) -> None:
    start = len(typed_pair.provider.requests)
    call = client.chat.StreamChatCompletion if stream else client.chat.CreateChatCompletion

    with pytest.raises(grpc.RpcError) as refused:
        answered = call(question("claude", **LOSSY), metadata=(("x-isthmus-strict", "true"),), timeout=30)
        list(answered)

    failure = isthmus.error_of(refused.value)
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNSUPPORTED_FEATURE")
    assert failure.violations[0].field in LOSSY
    assert len(typed_pair.provider.requests) == start


def test_second_target_answers_and_is_named(typed_pair: Pair, client: isthmus.Client) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    typed_pair.provider.reply_with(body(msgspec.json.encode(error), 503), gemini([{"text": "Hi"}], stream=False))

    answer, call = client.chat.CreateChatCompletion.with_call(question("sturdy"), timeout=30)

    told = dict(call.initial_metadata())
    assert (answer.provider, told["x-isthmus-endpoint"], told["x-isthmus-attempts"]) == ("google", "theirs", "2")


@pytest.mark.parametrize("stream", [False, True])
def test_errors_name_what_the_provider_said(typed_pair: Pair, client: isthmus.Client, stream: bool) -> None:
    error = {"type": "error", "error": {"type": "rate_limit_error", "message": "Slow down."}}
    headers = (("retry-after", "3"), ("request-id", "req_up"))
    typed_pair.provider.reply_always(body(msgspec.json.encode(error), 429, headers))
    call = client.chat.StreamChatCompletion if stream else client.chat.CreateChatCompletion

    with pytest.raises(grpc.RpcError) as refused:
        answered = call(question("claude"), metadata=(("x-request-id", "mine"),), timeout=30)
        list(answered)

    failure, told = isthmus.error_of(refused.value), dict(refused.value.trailing_metadata())
    assert failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (failure.metadata["upstream_status"], failure.metadata["upstream_request_id"]) == ("429", "req_up")
    assert (failure.retryable, failure.request_id) == (True, "mine")
    assert (failure.retry_after_s, told["retry-after"], told["x-should-retry"]) == (3.0, "3", "true")
    assert (told["x-isthmus-upstream-request-id"], told["x-request-id"]) == ("req_up", "mine")


@pytest.mark.parametrize(
    ("encoding", "form"),
    [
        (embedding_pb2.EMBEDDING_ENCODING_FLOATS, "floats"),
        (embedding_pb2.EMBEDDING_ENCODING_FLOAT32_LE, "float32_le"),
    ],
)
def test_vectors_in_the_form_asked_for(typed_pair: Pair, client: isthmus.Client, encoding: Any, form: str) -> None:
    given = {"embeddings": [{"values": [0.5, -1.0]}, {"values": [1.0, 0.0]}]}
    typed_pair.provider.reply_always(body(msgspec.json.encode(given)))
    request = embedding_pb2.EmbeddingRequest(model="vectors", input=[{"text": "a"}, {"text": "b"}], encoding=encoding)

    first = client.embeddings.CreateEmbedding(request, timeout=30).embeddings[0]

    assert first.WhichOneof("vector") == form
    assert list(first.floats.values) == [0.5, -1.0] or first.float32_le == b"\0\0\0?\0\0\x80\xbf"


@pytest.mark.parametrize("stream", [False, True])
def test_completion_of_a_model_that_chats(typed_pair: Pair, client: isthmus.Client, stream: bool) -> None:
    typed_pair.provider.reply_always(claude([{"type": "text", "text": "upon a time"}], "end_turn", stream=stream))
    request = completion_pb2.CompletionRequest(model="claude", prompt=[{"text": "Once"}], max_tokens=9)

    if stream:
        text = "".join(isthmus.texts_of(client.completions.StreamCompletion(request, timeout=30)))
    else:
        text = isthmus.text_of(client.completions.CreateCompletion(request, timeout=30))

    asked = typed_pair.provider.last.json()
    assert (text, asked["max_tokens"]) == ("upon a time", 9)


@pytest.mark.parametrize("members", [{"thinking": {"type": "enabled", "budget_tokens": 2048}}, {"top_k": 3}])
def test_members_of_the_providers_own(typed_pair: Pair, client: isthmus.Client, members: Json) -> None:
    typed_pair.provider.reply_always(claude([{"type": "text", "text": "-"}], "end_turn", stream=False))

    put(
        client,
        question("claude", max_tokens=4096, extra_json=msgspec.json.encode(members).decode()),
        stream=False,
    )

    assert typed_pair.provider.last.json().items() >= members.items()


async def test_members_mean_what_they_mean_over_http(typed_pair: Pair, client: isthmus.Client) -> None:
    typed_pair.provider.reply_always(gemini([{"text": "-"}], stream=False))
    members = {"temperature": 0.5, "seed": 7, "reasoning_effort": "low", "max_tokens": 64, "top_p": 0.25}
    said = {"model": "gemini", "messages": [{"role": "user", "content": "Hi"}], **members}
    await ask(typed_pair.url, "/v1/chat/completions", msgspec.json.encode(said), headers=JSON_TYPE)
    over_http = typed_pair.provider.last.json()

    put(client, question("gemini", extra_json=msgspec.json.encode(members).decode()), stream=False)

    assert typed_pair.provider.last.json() == over_http
