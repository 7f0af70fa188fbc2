"""Which path goes where, which headers go along, and that one connection carries many answers in order."""

from __future__ import annotations

import http.client

import pytest

from tests.system.pair import OUR_KEY, Pair
from tests.system.wire import JSON_TYPE, UNCACHED, Headers, ask, chat

pytestmark = pytest.mark.edge
CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/chat/completions"),
        ("GET", "/v1/chat/completions/chatcmpl-1"),
        ("POST", "/v1/chat/completions/chatcmpl-1"),
        ("DELETE", "/v1/chat/completions/chatcmpl-1"),
        ("GET", "/v1/chat/completions/chatcmpl-1/messages?limit=2"),
        ("GET", "/v1/responses/resp_1"),
        ("DELETE", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/resp_1/cancel"),
        ("DELETE", "/v1/models/ft:gpt-4o:acme::abc"),
        ("POST", "/v1/images/generations"),
        ("GET", "/v1/fine_tuning/jobs?limit=1"),
    ],
)
async def test_path_that_is_openais_is_forwarded(pair: Pair, method: str, path: str) -> None:
    body = b"{}" if method == "POST" else b""

    answer = await ask(pair.url, path, body, method=method, headers=JSON_TYPE if body else ())

    assert answer.status == 200, answer
    assert (pair.provider.last.method, pair.provider.last.path) == (method, path)
    assert pair.provider.last.header("authorization") == f"Bearer {OUR_KEY}"


@pytest.mark.parametrize("prefix", ["/v1", "/v1/proxy"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat/completions", chat()),
        ("completions", b'{"model":"ok","prompt":"x"}'),
        ("embeddings", b'{"model":"ok","input":"x"}'),
        ("moderations", b'{"model":"ok","input":"x"}'),
        ("responses", b'{"model":"ok","input":"x"}'),
    ],
)
async def test_both_prefixes_lead_to_the_same_operation(pair: Pair, prefix: str, path: str, body: bytes) -> None:
    answer = await ask(pair.url, f"{prefix}/{path}", body, headers=UNCACHED)

    assert answer.status == 200
    assert pair.provider.last.path == f"/v1/{path}"
    assert pair.provider.last.body == body


@pytest.mark.parametrize("path", ["/api/openai/v1/models", "/api/openai", "/api/openai/v1/chat/completions"])
async def test_tenants_proxy_is_closed_to_the_unauthenticated(pair: Pair, path: str) -> None:
    start = len(pair.provider.requests)

    anonymous = await ask(pair.url, path, chat())
    keyed = await ask(pair.url, path, chat(), headers=(*JSON_TYPE, ("authorization", "Bearer sk-callers")))

    assert (anonymous.status, anonymous.json()) == (401, {"error": "Authentication failed"})
    assert (keyed.status, keyed.json()) == (401, {"error": "Authentication failed"})
    assert len(pair.provider.requests) == start


async def test_headers_that_model_routes_pass_on(pair: Pair) -> None:
    passed: Headers = (("openai-beta", "x=v1"), ("idempotency-key", "i-1"))
    stopped: Headers = (
        ("x-custom", "1"),
        ("cookie", "a=b"),
        ("user-agent", "curl/8"),
        ("accept-encoding", "gzip, br"),
        ("x-isthmus-timeout", "20"),
        ("x-bt-parent", "project_name:p"),
        ("openai-organization", "org-other"),
        ("openai-project", "proj-other"),
        ("x-forwarded-for", "203.0.113.9"),
        ("origin", "http://127.0.0.1"),
        ("x-stainless-lang", "python"),
    )

    answer = await ask(pair.url, CHAT, chat(), headers=(*JSON_TYPE, *passed, *(h for h in stopped if h[0] != "origin")))

    seen = {name.lower(): value for name, value in pair.provider.last.headers}
    assert answer.status == 200
    assert {name: seen.get(name) for name, _ in passed} == dict(passed)
    assert seen["accept-encoding"] == "identity"
    assert "isthmus" in seen["user-agent"].lower()
    leaked = {name for name, _ in stopped if name not in ("user-agent", "accept-encoding")} & seen.keys()
    assert not leaked
    assert seen["content-type"] == "application/json"
    assert int(seen["content-length"]) == len(pair.provider.last.body)


def test_one_connection_carries_answers_of_every_kind(pair: Pair) -> None:
    connection = http.client.HTTPConnection(pair.gateway.grpc_target, timeout=30)
    asked = [
        ("POST", CHAT, b"{", 400),
        ("POST", CHAT, chat(), 200),
        ("POST", CHAT, chat(stream=True), 200),
        ("GET", "/nowhere", b"", 404),
        ("HEAD", "/v1/files", b"", 200),
        ("POST", CHAT, chat("cut", stream=True), 200),
        ("PUT", "/v1/embeddings", b"{}", 405),
        ("POST", CHAT, chat("r429"), 429),
        ("POST", "/v1/files", b"x" * 200_000, 200),
        ("POST", CHAT, chat(), 200),
    ]
    seen: list[int] = []
    try:
        for method, path, body, _ in asked:
            connection.request(method, path, body or None, {"content-type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            seen.append(answer.status)
    finally:
        connection.close()

    assert seen == [status for *_, status in asked]
