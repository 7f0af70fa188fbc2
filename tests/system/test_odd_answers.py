"""Answers that providers do give, or could: each becomes an answer or an upstream error, over both protocols, and never
a bug of ours (500, INTERNAL, UNKNOWN).
"""

from __future__ import annotations

import gzip
from typing import Any

import grpc
import msgspec
import pytest

from tests.fakes.answers import Answer, chat_body, chat_events, raw, sse, stream, whole
from tests.system.pair import OUR_KEY, Pair, closed_port, eventually
from tests.system.typed import chat_stream, chat_whole, text_of
from tests.system.wire import ask, chat

pytestmark = pytest.mark.edge
CHAT = "/v1/chat/completions"
FINE, FAILED = {"OK"}, {"UNAVAILABLE"}
EITHER = FINE | FAILED
BODY = chat_body("ok", "Hi")
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def with_choice(**members: Any) -> dict[str, Any]:
    return BODY | {"choices": [CHOICE | members]}


def with_message(**members: Any) -> dict[str, Any]:
    return with_choice(message={"role": "assistant", "content": "Hi"} | members)


def with_usage(**members: Any) -> dict[str, Any]:
    return BODY | {"usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8} | members}


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in BODY.items() if name not in names}


ODD_BODIES: dict[str, tuple[Any, set[str]]] = {
    "no choices": (BODY | {"choices": []}, EITHER),
    "choices null": (BODY | {"choices": None}, EITHER),
    "choices missing": (without("choices"), EITHER),
    "choices object": (BODY | {"choices": {}}, EITHER),
    "choice null": (BODY | {"choices": [None]}, EITHER),
    "list": ([BODY], FAILED),
    "number": (7, FAILED),
    "null": (None, FAILED),
    "id missing": (without("id"), FINE),
    "id null": (BODY | {"id": None}, FINE),
    "id number": (BODY | {"id": 7}, EITHER),
    "created missing": (without("created"), FINE),
    "created float": (BODY | {"created": 1700000000.5}, FINE),
    "created huge": (BODY | {"created": 10**30}, EITHER),
    "created negative": (BODY | {"created": -1}, EITHER),
    "created text": (BODY | {"created": "2024-01-01"}, EITHER),
    "model missing": (without("model"), FINE),
    "model null": (BODY | {"model": None}, EITHER),
    "object missing": (without("object"), FINE),
    "usage missing": (without("usage"), FINE),
    "usage null": (BODY | {"usage": None}, FINE),
    "usage list": (BODY | {"usage": []}, EITHER),
    "usage empty": (BODY | {"usage": {}}, FINE),
    "usage null count": (with_usage(prompt_tokens=None), FINE),
    "usage float count": (with_usage(prompt_tokens=5.0), FINE),
    "usage text count": (with_usage(prompt_tokens="5"), EITHER),
    "usage negative count": (with_usage(completion_tokens=-1), EITHER),
    "usage huge count": (with_usage(total_tokens=10**30), EITHER),
    "usage details text": (with_usage(prompt_tokens_details="none"), EITHER),
    "index missing": (BODY | {"choices": [{k: v for k, v in CHOICE.items() if k != "index"}]}, EITHER),
    "index negative": (with_choice(index=-1), EITHER),
    "index huge": (with_choice(index=2**40), EITHER),
    "index text": (with_choice(index="0"), EITHER),
    "indexes equal": (BODY | {"choices": [CHOICE, CHOICE]}, EITHER),
    "finish missing": (BODY | {"choices": [{k: v for k, v in CHOICE.items() if k != "finish_reason"}]}, FINE),
    "finish null": (with_choice(finish_reason=None), FINE),
    "finish number": (with_choice(finish_reason=7), EITHER),
    "message null": (with_choice(message=None), EITHER),
    "message text": (with_choice(message="Hi"), EITHER),
    "role missing": (with_choice(message={"content": "Hi"}), FINE),
    "content missing": (with_choice(message={"role": "assistant"}), FINE),
    "content number": (with_message(content=7), EITHER),
    "content parts": (with_message(content=[{"type": "text", "text": "Hi"}]), FINE),
    "content odd parts": (with_message(content=["Hi", {"type": "text"}, {"type": 7}]), EITHER),
    "calls null": (with_message(tool_calls=None), FINE),
    "calls empty": (with_message(tool_calls=[]), FINE),
    "calls object": (with_message(tool_calls={}), EITHER),
    "call without id": (with_message(tool_calls=[{k: v for k, v in CALL.items() if k != "id"}]), FINE),
    "call without type": (with_message(tool_calls=[{k: v for k, v in CALL.items() if k != "type"}]), FINE),
    "call without function": (with_message(tool_calls=[{"id": "c", "type": "function"}]), EITHER),
    "call with arguments as object": (
        with_message(tool_calls=[CALL | {"function": {"name": "f", "arguments": {"a": 1}}}]),
        EITHER,
    ),
    "call with null arguments": (
        with_message(tool_calls=[CALL | {"function": {"name": "f", "arguments": None}}]),
        EITHER,
    ),
    "reasoning null": (with_message(reasoning_content=None), FINE),
    "reasoning object": (with_message(reasoning_content={"steps": []}), EITHER),
    "audio with bad base64": (with_message(audio={"id": "a", "data": "!!", "expires_at": 1, "transcript": ""}), EITHER),
    "audio without data": (with_message(audio={"id": "a"}), EITHER),
    "logprobs with bad bytes": (
        with_choice(logprobs={"content": [{"token": "a", "logprob": -1, "bytes": [300, -1], "top_logprobs": []}]}),
        EITHER,
    ),
    "logprobs null members": (with_choice(logprobs={"content": None, "refusal": None}), FINE),
    "logprobs minus infinity": (
        with_choice(logprobs={"content": [{"token": "a", "logprob": -9999.0, "bytes": None, "top_logprobs": []}]}),
        FINE,
    ),
    "system fingerprint null": (BODY | {"system_fingerprint": None, "service_tier": None}, FINE),
    "error member beside choices": (BODY | {"error": None}, FINE),
    "error with status 200": ({"error": {"message": "Out of capacity.", "type": "server_error"}}, FAILED),
}

ODD_BYTES: dict[str, tuple[bytes, set[str]]] = {
    "byte order mark": (b"\xef\xbb\xbf" + msgspec.json.encode(BODY), EITHER),
    "spaces around": (b"\n\n  " + msgspec.json.encode(BODY) + b"\n", FINE),
    "trailing bytes": (msgspec.json.encode(BODY) + b"}", FAILED),
    "invalid UTF-8": (msgspec.json.encode(BODY).replace(b'"Hi"', b'"\xff\xfe"'), EITHER),
    "lone surrogate": (msgspec.json.encode(BODY).replace(b'"Hi"', rb'"\ud83d"'), EITHER),
    "repeated key": (msgspec.json.encode(BODY).replace(b'{"id"', b'{"id":"first","id"'), FINE),
    "NaN": (msgspec.json.encode(BODY).replace(b'"Hi"', b'"Hi","score":NaN'), EITHER),
    "deep": (msgspec.json.encode(BODY)[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", EITHER),
}


def status_of(channel: grpc.Channel, model: str = "ok") -> str:
    try:
        chat_whole(channel, model)
    except grpc.RpcError as error:
        code: str = error.code().name
        return code
    return "OK"


async def demand_same(pair: Pair, channel: grpc.Channel, answer: Answer, allowed: set[str]) -> None:
    """Both protocols do what is allowed. HTTP may pass through what the typed contract cannot hold."""
    pair.provider.reply_always(answer)

    over_http = await ask(pair.url, CHAT, chat())
    over_grpc = status_of(channel)

    assert over_grpc in allowed
    assert over_http.status in {"OK": (200,), "UNAVAILABLE": (502,)}[over_grpc] or allowed == EITHER
    assert over_http.status in (200, 502)
    if over_http.status == 502:
        assert over_http.error["type"] in ("upstream_error", "server_error")


@pytest.mark.parametrize(("body", "allowed"), ODD_BODIES.values(), ids=ODD_BODIES.keys())
async def test_odd_body(pair: Pair, channel: grpc.Channel, body: Any, allowed: set[str]) -> None:
    await demand_same(pair, channel, whole(body), allowed)


@pytest.mark.parametrize(("content", "allowed"), ODD_BYTES.values(), ids=ODD_BYTES.keys())
async def test_odd_bytes(pair: Pair, channel: grpc.Channel, content: bytes, allowed: set[str]) -> None:
    await demand_same(pair, channel, whole(content), allowed)


BASE = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "ok"}


def chunk(choice: Any = None, **members: Any) -> bytes:
    choices = [] if choice is None else [{"index": 0, "delta": {}, "finish_reason": None} | choice]
    return sse(BASE | {"choices": choices} | members)


TEXT, STOP, DONE = chunk({"delta": {"content": "Hi"}}), chunk({"finish_reason": "stop"}), sse(b"[DONE]")

ODD_EVENTS: dict[str, bytes] = {
    "choices null": chunk(choices=None),
    "choices missing": sse(BASE),
    "choice null": chunk(choices=[None]),
    "delta null": chunk({"delta": None}),
    "delta text": chunk({"delta": "Hi"}),
    "content number": chunk({"delta": {"content": 7}}),
    "content parts": chunk({"delta": {"content": [{"type": "text", "text": "Hi"}]}}),
    "index missing": chunk(choices=[{"delta": {"content": "Hi"}}]),
    "index negative": chunk({"index": -1, "delta": {"content": "Hi"}}),
    "index huge": chunk({"index": 2**40, "delta": {"content": "Hi"}}),
    "finish number": chunk({"finish_reason": 7}),
    "finish empty": chunk({"finish_reason": ""}),
    "call without index": chunk({"delta": {"tool_calls": [CALL]}}),
    "call without id": chunk({"delta": {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]}}),
    "call without name": chunk({"delta": {"tool_calls": [{"index": 0, "id": "c", "function": {"arguments": "{}"}}]}}),
    "call arguments first": chunk({"delta": {"tool_calls": [{"index": 3, "function": {"arguments": "{}"}}]}}),
    "call function null": chunk({"delta": {"tool_calls": [{"index": 0, "id": "c", "function": None}]}}),
    "calls null": chunk({"delta": {"tool_calls": None}}),
    "usage odd": chunk(usage={"prompt_tokens": "many", "total_tokens": 10**30}),
    "usage list": chunk(usage=[]),
    "other id": sse(BASE | {"id": "chatcmpl-2", "choices": []}),
    "no head": sse({"choices": [{"index": 0, "delta": {"content": "Hi"}}]}),
    "empty object": sse({}),
    "list": sse([]),
    "null": sse(None),
    "text": sse("ping"),
    "error null": chunk(error=None),
    "lone surrogate": chunk({"delta": {"content": "XY"}}).replace(b"XY", rb"\ud83d"),
    "invalid UTF-8": chunk({"delta": {"content": "XY"}}).replace(b"XY", b"\xff\xfe"),
    "null character": chunk({"delta": {"content": "\x00"}}),
    "other event": b"event: ping\ndata: {}\n\n",
    "only a name": b"event: ping\n\n",
    "no colon": b"data\n\n",
    "carriage returns": TEXT.replace(b"\n", b"\r"),
    "byte order mark": b"\xef\xbb\xbf" + TEXT,
    "long": chunk({"delta": {"content": "x" * 3_000_000}}),
    "text after the end": STOP + TEXT,
    "two ends": STOP,
}


@pytest.mark.parametrize("event", ODD_EVENTS.values(), ids=ODD_EVENTS.keys())
async def test_odd_event(pair: Pair, channel: grpc.Channel, event: bytes) -> None:
    pair.provider.reply_always(stream(TEXT, event, STOP, DONE))

    answer = await ask(pair.url, CHAT, chat(stream=True))
    typed = stream_status(channel)

    assert typed in EITHER
    assert answer.status == 200
    clean = answer.body.rstrip().endswith(b"data: [DONE]")
    assert clean != (b'data: {"error":{' in answer.body), answer.body[-500:]
    assert b'"type":"server_error"' not in answer.body
    assert b'"code":"internal"' not in answer.body


def stream_status(channel: grpc.Channel) -> str:
    try:
        text_of(chat_stream(channel))
    except grpc.RpcError as error:
        code: str = error.code().name
        return code
    return "OK"


async def test_redirects_are_not_followed(pair: Pair) -> None:
    target = f"http://127.0.0.1:{closed_port()}/v1/chat/completions"
    pair.provider.reply_always(whole(b"{}", 307, (("location", target),)))
    start = len(pair.provider.requests)

    answer = await ask(pair.url, CHAT, chat())
    forwarded = await ask(pair.url, "/v1/files", method="GET", headers=())

    assert answer.status == 502
    assert forwarded.status == 307
    assert len(pair.provider.requests) == start + 2


async def test_compressed_answer_that_nobody_asked_for(pair: Pair, channel: grpc.Channel) -> None:
    headers = (("content-type", "application/json"), ("content-encoding", "gzip"))
    pair.provider.reply_always(Answer(headers=headers, pieces=(gzip.compress(msgspec.json.encode(BODY)),)))

    answer = await ask(pair.url, CHAT, chat())

    assert answer.status == 502 or msgspec.json.decode(answer.body) == BODY, answer
    assert status_of(channel) in EITHER


async def test_provider_that_closes_after_each_answer(pair: Pair) -> None:
    pair.provider.reply_always(whole(BODY, closes=True))

    answers = [await ask(pair.url, CHAT, chat()) for _ in range(20)]

    assert [answer.status for answer in answers] == [200] * 20


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"\x16\x03\x01",
    ],
    ids=["nothing", "garbage", "no reason", "other version", "no number", "TLS"],
)
async def test_provider_that_speaks_no_http(pair: Pair, channel: grpc.Channel, content: bytes) -> None:
    pair.provider.reply_always(raw(content))

    answer = await ask(pair.url, CHAT, chat())

    assert answer.status == 502
    assert status_of(channel) == "UNAVAILABLE"


async def test_headers_of_the_provider_are_cleaned(pair: Pair) -> None:
    headers = (
        ("set-cookie", "a=b"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("grpc-status", "13"),
        ("x-http-code", "418"),
        ("x-envoy-upstream", "1"),
        ("openai-processing-ms", "12"),
        ("x-ratelimit-remaining-tokens", "7"),
        ("server", "secret-host"),
    )
    pair.provider.reply_always(whole(BODY, headers=headers))

    for path, method in ((CHAT, "POST"), ("/v1/files/f", "GET")):
        answer = await ask(pair.url, path, chat() if method == "POST" else b"", method=method)

        assert answer.status == 200, answer
        assert answer.headers["openai-processing-ms"] == "12"
        assert answer.headers["x-ratelimit-remaining-tokens"] == "7"
        assert not {"set-cookie", "x-hop", "grpc-status", "x-http-code", "x-envoy-upstream"} & answer.headers.keys()
        assert answer.headers["server"] == "isthmus"
        assert OUR_KEY not in repr(answer)


async def test_provider_with_very_long_headers(pair: Pair) -> None:
    pair.provider.reply_always(whole(BODY, headers=(("openai-note", "x" * 60_000),)))

    answer = await ask(pair.url, CHAT, chat())

    assert answer.status in (200, 502), answer


@pytest.mark.parametrize(("count", "size"), [(105, 10), (15, 7_000)])
async def test_provider_with_many_headers(pair: Pair, count: int, size: int) -> None:
    headers = tuple((f"openai-note-{number}", "x" * size) for number in range(count))
    pair.provider.reply_always(whole(BODY, headers=headers))

    for path, method in ((CHAT, "POST"), ("/v1/files/f", "GET")):
        answer = await ask(pair.url, path, chat() if method == "POST" else b"", method=method)

        # A paid answer must not become a 503, which clients take for an advice to send the call again.
        assert answer.status == 200, answer
        assert sum(name.startswith("openai-note-") for name in answer.headers) == count


@pytest.mark.parametrize(("value", "named"), [(b"caf\xe9", "caf%E9"), ("café".encode(), "caf%C3%A9")])
async def test_provider_whose_own_words_in_headers_are_not_ascii(
    pair: Pair, channel: grpc.Channel, value: bytes, named: str
) -> None:
    headers = (("content-type", b"application/json; note=" + value), ("x-request-id", value))
    pair.provider.reply_always(Answer(headers=headers, pieces=(msgspec.json.encode(BODY),)))

    answer = await ask(pair.url, CHAT, chat())
    forwarded = await ask(pair.url, "/v1/files/f", b"", method="GET")

    assert (answer.status, forwarded.status) == (200, 200), (answer, forwarded)
    assert status_of(channel) == "OK"
    pair.provider.reply_always(Answer(status=429, headers=headers, pieces=(b"{}",)))
    assert (await ask(pair.url, CHAT, chat())).status == 429
    assert status_of(channel) == "RESOURCE_EXHAUSTED"
    recorded = f'"upstream_request_id":"{named}"'
    assert eventually(lambda: pair.gateway.log.read_text().count(recorded) == 5)  # one record per call


async def test_stream_answered_with_json(pair: Pair, channel: grpc.Channel) -> None:
    pair.provider.reply_always(whole(BODY))

    answer = await ask(pair.url, CHAT, chat(stream=True))

    assert answer.status in (200, 502)
    assert answer.body.rstrip().endswith(b"[DONE]") or b'"error"' in answer.body
    assert stream_status(channel) in EITHER


async def test_whole_answered_with_a_stream(pair: Pair, channel: grpc.Channel) -> None:
    pair.provider.reply_always(stream(*chat_events("ok")))

    answer = await ask(pair.url, CHAT, chat())

    assert answer.status in (200, 502)
    assert answer.json()
    assert status_of(channel) in EITHER
