"""The OpenAI surface as Envoy sees it: always gRPC OK, the HTTP status beside it, the body's bytes untouched."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from isthmusd.core.record import EndReason

from tests.fakes import answers
from tests.fakes.answers import CUT, TEXT, chat_events
from tests.unit.pipeline.gateway import chat_request
from tests.unit.rpc.serving import Answered, serving

PATH = "x-envoy-original-path"
CHAT = chat_request(model="ok")
STREAM = chat_request(model="ok", stream=True)


async def posted(method: str, body: Any, *metadata: tuple[str, str], **settings: Any) -> Answered:
    async with serving(**settings) as gateway:
        answered = await gateway.post(method, body, *metadata)
        assert len(gateway.journal.records) == 1
        return answered


def fault(answered: Answered) -> dict[str, Any]:
    assert answered.content_type == "application/json"
    assert set(answered.json()) == {"error"}
    return answered.json()["error"]


async def test_a_chat_is_the_providers_bytes() -> None:
    body = b'{ "odd":   "spacing",\n "choices": [], "usage": {"total_tokens": 3} }'

    async with serving() as gateway:
        gateway.provider.reply_with(answers.whole(body))
        answered = await gateway.post("ChatCompletions", CHAT, ("x-request-id", "my-id"))

    assert (answered.status, answered.content_type, answered.body) == (200, "application/json", body)
    assert "x-http-code" not in answered.metadata
    assert "x-request-id" not in answered.metadata, "Envoy adds it"
    assert answered.metadata["x-isthmus-upstream-request-id"] == "req-fake"
    assert gateway.provider.last.body == CHAT
    assert (gateway.record.surface, gateway.record.usage is not None) == ("openai", True)


async def test_a_stream_ends_with_done() -> None:
    answered = await posted("ChatCompletions", STREAM)

    assert answered.content_type == "text/event-stream; charset=utf-8"
    events = [line.removeprefix(b"data: ") for line in answered.body.split(b"\n\n") if line]
    assert events[-1] == b"[DONE]"
    deltas = [msgspec.json.decode(event)["choices"][0]["delta"] for event in events[:-1]]
    assert "".join(delta.get("content", "") for delta in deltas) == TEXT
    assert b"usage" not in answered.body


@pytest.mark.parametrize(
    ("method", "body", "path"),
    [
        ("Completions", {"model": "ok", "prompt": "hi"}, "/v1/completions"),
        ("Auto", {"model": "ok", "prompt": "hi"}, "/v1/completions"),
        ("Auto", {"model": "ok", "messages": [{"role": "user", "content": "hi"}]}, "/v1/chat/completions"),
        ("Embeddings", {"model": "ok", "input": "hi"}, "/v1/embeddings"),
        ("Responses", {"model": "ok", "input": "hi"}, "/v1/responses"),
        ("Moderations", {"input": "hi"}, "/v1/moderations"),
    ],
)
async def test_every_model_route_reaches_its_path(method: str, body: Any, path: str) -> None:
    async with serving() as gateway:
        answered = await gateway.post(method, body)

    assert answered.status == 200
    assert gateway.provider.last.path == path
    assert gateway.record.end is EndReason.COMPLETE


@pytest.mark.parametrize(
    ("body", "status", "type_", "code", "param"),
    [
        (b"{", 400, "invalid_request_error", "invalid_request", None),
        (b"", 400, "invalid_request_error", "invalid_request", None),
        (b"[]", 400, "invalid_request_error", "invalid_request", None),
        ({"messages": []}, 400, "invalid_request_error", "invalid_request", "model"),
        ({"model": "ok"}, 400, "invalid_request_error", "invalid_request", "messages"),
        (chat_request(model="nobody/x"), 404, "invalid_request_error", "model_not_found", "model"),
        (chat_request(model="groq/x"), 401, "authentication_error", "no_provider_credential", None),
        (chat_request(model="n404"), 404, "invalid_request_error", "model_not_found", None),
        (chat_request(model="e401"), 502, "upstream_error", "upstream_misconfigured", None),
        (chat_request(model="r429"), 429, "rate_limit_error", "rate_limit_exceeded", None),
        (chat_request(model="badjson"), 502, "upstream_error", "upstream_garbled", None),
    ],
)
async def test_errors_have_openais_shape(
    body: Any, status: int, type_: str, code: str | None, param: str | None
) -> None:
    answered = await posted("ChatCompletions", body)

    error = fault(answered)
    assert answered.status == status
    assert (error["type"], error["code"], error["param"]) == (type_, code, param)
    assert set(error) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(("model", "retry"), [("e500", "true"), ("r429", "true"), ("n404", "false"), ("e401", "false")])
async def test_errors_tell_clients_whether_to_come_again(model: str, retry: str) -> None:
    answered = await posted("ChatCompletions", chat_request(model=model))

    assert answered.metadata["x-should-retry"] == retry
    assert answered.metadata.get("retry-after") == ("7" if model == "r429" else None)
    assert answered.metadata["x-isthmus-upstream-request-id"] == "req-fake"
    assert answered.metadata["x-request-id"].startswith("req_")


async def test_a_stream_that_breaks_tells_so_in_band() -> None:
    async with serving() as gateway:
        gateway.provider.reply_with(answers.stream(*chat_events("ok")[:3], 0.05, CUT))
        answered = await gateway.post("ChatCompletions", STREAM)

    *_, last = [event for event in answered.body.split(b"\n\n") if event]
    assert answered.status == 200
    assert msgspec.json.decode(last.removeprefix(b"data: "))["error"]["code"] == "upstream_interrupted"
    assert b"[DONE]" not in answered.body
    assert gateway.record.end is EndReason.INTERRUPTED


@pytest.mark.parametrize("body", [CHAT, STREAM])
async def test_a_provider_that_hangs_up_before_its_answer_is_an_error_answer(body: bytes) -> None:
    async with serving() as gateway:
        gateway.provider.reply_with(answers.stream(CUT))
        answered = await gateway.post("ChatCompletions", body)

    assert answered.status == 502
    assert fault(answered)["code"] == "upstream_unreachable"


async def test_a_silent_stream_gets_comments() -> None:
    async with serving(limits__keep_alive_s=0.1) as gateway:
        events = chat_events("ok")
        gateway.provider.reply_with(answers.stream(0.25, events[0], 0.15, *events[1:]))
        answered = await gateway.post("ChatCompletions", STREAM)

    assert answered.body.startswith(b": keep-alive\n\n")
    assert answered.body.count(b": keep-alive\n\n") >= 2
    assert answered.body.endswith(b"data: [DONE]\n\n")


async def test_bodies_that_are_no_json_are_refused() -> None:
    async with serving() as gateway:
        answered = await gateway.post("ChatCompletions", CHAT, content_type="text/plain")

    assert answered.status == 415
    assert gateway.provider.requests == []


async def test_large_bodies_are_refused() -> None:
    answered = await posted("ChatCompletions", b" " * 101, limits__request_bytes=100)

    assert (answered.status, fault(answered)["code"]) == (413, "request_too_large")


async def test_headers_count_by_their_bytes_from_the_first_call_of_a_connection() -> None:
    async with serving() as gateway:
        # Past grpcio's own limit, if that was not far above ours, the first of these would be served.
        statuses = [
            (await gateway.post("Models", b"", ("x-a", "v" * size))).status for size in (200_000, 66_000, 65_000)
        ]
        binary = await gateway.post("Models", b"", ("x-a-bin", b"v" * 66_000))

    assert statuses == [431, 431, 200]
    assert (binary.status, fault(binary)["code"]) == (431, "headers_too_large")
    assert gateway.provider.requests == []


@pytest.mark.parametrize("path", ["/v1/models", "/v1/proxy/models", "/v1/models/", "/v1/models?limit=3", ""])
async def test_models_are_listed(path: str) -> None:
    answered = await posted("Models", b"", (PATH, path), providers__openai__models=["gpt-1"])

    assert (answered.status, answered.json()["object"]) == (200, "list")
    assert "gpt-1" in [model["id"] for model in answered.json()["data"]]


@pytest.mark.parametrize("path", ["/v1/models/box/a%20b", "/v1/proxy/models/box%2Fa%20b?x=1"])
async def test_a_model_is_shown(path: str) -> None:
    box = {"base_url": "http://127.0.0.1:9/v1", "models": ["a b"]}

    answered = await posted("Models", b"", (PATH, path), providers__box=box)

    assert (answered.json()["id"], answered.json()["object"]) == ("box/a b", "model")


async def test_a_model_that_does_not_exist_is_not_found() -> None:
    answered = await posted("Models", b"", (PATH, "/v1/models/none"))

    assert (answered.status, fault(answered)["code"]) == (404, "model_not_found")


async def test_what_envoy_alone_may_say_is_believed_on_its_own_socket_only() -> None:
    rebound = ("x-isthmus-int-authority", "evil.example")

    believed = await posted("ChatCompletions", CHAT, rebound)
    ignored = await posted("ChatCompletions", CHAT, rebound, edge=False)

    assert (believed.status, fault(believed)["code"]) == (403, "host_denied")
    assert ignored.status == 200


async def test_headers_outside_ascii_are_encoded() -> None:
    answer = answers.whole(b"{}", headers=(("openai-note", "café".encode()), ("openai-latin", b"caf\xe9")))

    async with serving() as gateway:
        gateway.provider.reply_with(answer)
        answered = await gateway.post("ChatCompletions", CHAT)

    assert answered.metadata["openai-note"] == "caf%C3%A9"
    assert answered.metadata["openai-latin"] == "caf%E9"
