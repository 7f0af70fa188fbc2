"""The official OpenAI SDK for Python, unchanged and synchronous, against Envoy. Errors are `test_openai_errors.py`."""

from __future__ import annotations

import hashlib
import math

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.fakes.answers import TEXT, WORDS
from tests.system.pair import OUR_KEY, Pair

pytestmark = pytest.mark.edge
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello."}]
SPEECH = bytes(range(256)) * 64 * 4


def test_chat(client: openai.OpenAI, pair: Pair) -> None:
    answer = client.chat.completions.create(model="ok", messages=HELLO, temperature=0.5)

    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (5, 8)
    assert pair.provider.last.header("authorization") == f"Bearer {OUR_KEY}"
    assert pair.provider.last.json()["temperature"] == 0.5


def test_chat_by_alias_names_the_model_that_answered(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="fast", messages=HELLO)

    assert answer.model == "ok"


def test_chat_stream(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="ok", messages=HELLO, stream=True)

    chunks = list(stream)

    words = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content]
    assert words == list(WORDS)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)


def test_chat_stream_with_usage(client: openai.OpenAI) -> None:
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="ok", messages=HELLO, stream=True, stream_options=options))

    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 8


def test_chat_stream_helper_accumulates(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="ok", messages=HELLO) as stream:
        final = stream.get_final_completion()

    assert final.choices[0].message.content == TEXT


def test_raw_response_shows_headers(client: openai.OpenAI) -> None:
    headers = {"x-request-id": "sdk-test-1"}
    raw = client.chat.completions.with_raw_response.create(model="ok", messages=HELLO, extra_headers=headers)

    assert raw.status_code == 200
    assert raw.headers["x-request-id"] == "sdk-test-1"
    assert raw.headers["x-isthmus-upstream-request-id"] == "req-fake"
    assert raw.headers["x-isthmus-endpoint"] == "main"
    assert raw.headers["content-type"] == "application/json"
    assert raw.parse().choices[0].message.content == TEXT


def test_raw_streaming_response(client: openai.OpenAI) -> None:
    creating = client.chat.completions.with_streaming_response.create(model="ok", messages=HELLO, stream=True)
    with creating as response:
        lines = list(response.iter_lines())

    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "x-request-id" in response.headers
    assert [line for line in lines if line][-1] == "data: [DONE]"


def test_completion(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="ok", prompt="Say hello.", max_tokens=5)

    assert answer.choices[0].text == TEXT


def test_completion_stream(client: openai.OpenAI) -> None:
    chunks = list(client.completions.create(model="ok", prompt="Say hello.", stream=True))

    assert "".join(chunk.choices[0].text for chunk in chunks) == TEXT


def test_embeddings_default_is_base64_on_the_wire(client: openai.OpenAI, pair: Pair) -> None:
    answer = client.embeddings.create(model="ok", input=["one", "two"])

    assert pair.provider.last.json()["encoding_format"] == "base64"
    assert len(answer.data) == 2
    assert all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(answer.data[0].embedding, (0.6, 0.8, 0), strict=True))


def test_embeddings_as_floats(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="ok", input="one", encoding_format="float")

    assert answer.data[0].embedding == [0.6, 0.8, 0.0]
    assert answer.usage.total_tokens == 4


def test_models(client: openai.OpenAI) -> None:
    ids = [model.id for model in client.models.list()]

    assert "fast" in ids
    assert client.models.retrieve("fast").id == "fast"


def test_file_upload(client: openai.OpenAI, pair: Pair) -> None:
    content = bytes(range(256)) * 1000

    uploaded = client.files.create(file=("data.jsonl", content), purpose="batch")

    received = pair.provider.last
    assert uploaded.id == "file-fake"
    assert (received.method, received.path) == ("POST", "/v1/files")
    assert (received.header("content-type") or "").startswith("multipart/form-data; boundary=")
    assert content in received.body
    assert b'filename="data.jsonl"' in received.body
    assert received.header("authorization") == f"Bearer {OUR_KEY}"


def test_speech(client: openai.OpenAI) -> None:
    sound = client.audio.speech.create(model="ok", voice="alloy", input="Hello")

    assert sound.response.headers["content-type"] == "audio/mpeg"
    assert hashlib.sha256(sound.content).digest() == hashlib.sha256(SPEECH).digest()


def test_speech_streamed(client: openai.OpenAI) -> None:
    creating = client.audio.speech.with_streaming_response.create(model="ok", voice="alloy", input="Hello")
    with creating as response:
        pieces = list(response.iter_bytes(4096))

    assert b"".join(pieces) == SPEECH
    assert len(pieces) > 1


def test_extra_body_reaches_the_provider(client: openai.OpenAI, pair: Pair) -> None:
    client.chat.completions.create(model="ok", messages=HELLO, extra_body={"vendor_knob": {"z": 1, "a": None}})

    assert pair.provider.last.body.endswith(b'"vendor_knob":{"z":1,"a":null}}')
