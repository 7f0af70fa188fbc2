"""`/api/openai`: every path of OpenAI's with the tenant's own key, asked for by curl, as its documentation shows it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from isthmusd.core.tenants import ForwardGrant

from tests.fakes.answers import CUT, STALL, Answer, chat_body, chat_events, raw, stream, whole
from tests.fakes.provider import FakeProvider
from tests.fakes.received import Received
from tests.system.callers import Office
from tests.system.curl import curl
from tests.system.pair import OUR_KEY, Pair, eventually, running_pair
from tests.system.wire import JSON_TYPE, connected, request

pytestmark = pytest.mark.edge
JSON = ("-H", "Content-Type: application/json")
HELLO = '{"messages":[{"role":"user","content":"Hello"}]}'
OWN_KEY = "sk-acmes-own"
SECOND_KEY = "sk-acmes-second"
BINARY = bytes(range(256)) * 1024
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenants:
    """A gateway whose tenants differ in what they have."""

    pair: Pair
    acme: str
    poor: str
    """Of a tenant without a key at OpenAI."""
    bound: str
    """Of acme, for one model."""
    closed: str
    """Of acme, without Forward."""
    narrow: str
    """Of a tenant that may make no call at all at a time."""

    def url(self, path: str) -> str:
        return f"{self.pair.url}/api/openai{path}"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    data: Path = tmp_path_factory.mktemp("tenants")
    with Office(data) as office:
        office.tenant("acme")
        office.provider_key("acme", "openai", OWN_KEY, "main")
        office.provider_key("acme", "openai", SECOND_KEY, "second")
        office.tenant("poor", forward=ForwardGrant.SHARED)
        office.tenant("narrow", calls=1)
        office.provider_key("narrow", "openai", "sk-narrow")
        keys = {
            "acme": office.key("acme").token,
            "poor": office.key("poor").token,
            "bound": office.key("acme", models={"ok"}).token,
            "closed": office.key("acme", forward=ForwardGrant.NONE).token,
            "narrow": office.key("narrow").token,
        }
        with running_pair(data=str(data), limits={"upload_bytes": 4 * 1024 * 1024}) as pair:
            yield Tenants(pair=pair, **keys)


@pytest.fixture
def tenants(running: Tenants) -> Iterator[Tenants]:
    running.pair.provider.reply_always(None)
    yield running
    running.pair.provider.reply_always(None)


@pytest.fixture
def provider(tenants: Tenants) -> FakeProvider:
    return tenants.pair.provider


def bearer(token: str) -> tuple[str, str]:
    return "-H", f"Authorization: Bearer {token}"


def lowered(received: Received) -> dict[str, str]:
    return {name.lower(): value for name, value in received.headers}


def test_the_documented_streaming_request(tenants: Tenants, provider: FakeProvider) -> None:
    events = chat_events("gpt-4o")
    provider.reply_with(stream(*events))

    answer = curl("-N", *bearer(tenants.acme), *JSON, tenants.url("/v1/chat/completions"), "-d", HELLO)

    received = provider.last
    assert (received.method, received.path, received.body) == ("POST", "/v1/chat/completions", HELLO.encode())
    assert lowered(received)["authorization"] == f"Bearer {OWN_KEY}"
    assert (answer.status, answer.body) == (200, b"".join(events))
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["x-request-id"] == "req-fake"


def test_json_answers_pass_as_they_are(tenants: Tenants, provider: FakeProvider) -> None:
    body = b' {"id" : "x", "n": 1.10, "u": "\\u00e9" }\n'
    named = (("openai-version", "2020-10-01"), ("x-ratelimit-remaining-requests", "9"), ("set-cookie", "__cf=1"))
    provider.reply_with(whole(body, headers=(*named, ("openai-organization", "org-acme"))))

    answer = curl(*bearer(tenants.acme), *JSON, tenants.url("/v1/responses"), "-d", '{"model":"m","input":"hi"}')

    assert (answer.status, answer.body) == (200, body)
    assert answer.headers["openai-version"] == "2020-10-01"
    assert answer.headers["openai-organization"] == "org-acme"
    assert answer.headers["x-ratelimit-remaining-requests"] == "9"
    assert "set-cookie" not in answer.headers


def test_audio_is_binary(tenants: Tenants, provider: FakeProvider) -> None:
    provider.reply_with(Answer(headers=(("content-type", "audio/mpeg"),), pieces=(BINARY,), framing="chunked"))
    asked = '{"model":"tts-1","input":"Hello","voice":"alloy"}'

    answer = curl(*bearer(tenants.acme), *JSON, tenants.url("/v1/audio/speech"), "-d", asked)

    assert (answer.status, answer.headers["content-type"]) == (200, "audio/mpeg")
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(BINARY).digest()


@pytest.mark.parametrize(("path", "query"), [("", ""), ("/", ""), ("?a=%2Fb", "?a=%2Fb"), ("/?a=1&a=2", "?a=1&a=2")])
def test_an_empty_path_is_responses(tenants: Tenants, provider: FakeProvider, path: str, query: str) -> None:
    answer = curl(*bearer(tenants.acme), *JSON, tenants.url(path), "-d", '{"model":"ok","input":"hi"}')

    assert answer.status == 200
    assert provider.last.path == f"/v1/responses{query}"


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_path_query_and_body(tenants: Tenants, provider: FakeProvider, method: str) -> None:
    path = "/v1/files/a%2Fb%20c%C3%A9/content?limit=2&after=%2e%2e&url=https://x.example//y"
    body = ["--data-binary", "\x01 body"] if method in {"POST", "PUT", "PATCH"} else []
    provider.reply_with(whole(b"\x00answer", headers=(("x-thing", "1"),)))

    answer = curl("-X", method, *bearer(tenants.acme), "-H", "X-Custom: kept", *body, tenants.url(path))

    received = provider.last
    assert (received.method, received.path) == (method, path)
    assert received.body == (b"\x01 body" if body else b"")
    assert lowered(received)["x-custom"] == "kept"
    assert (answer.status, answer.body, answer.headers["x-thing"]) == (200, b"\x00answer", "1")


def test_head_has_no_body(tenants: Tenants, provider: FakeProvider) -> None:
    answer = curl("-I", *bearer(tenants.acme), tenants.url("/v1/files"))

    assert (answer.status, provider.last.method) == (200, "HEAD")


def test_a_multipart_upload_keeps_its_bytes(tenants: Tenants, provider: FakeProvider, tmp_path: Path) -> None:
    file = tmp_path / "speech.mp3"
    file.write_bytes(BINARY)

    answer = curl(
        *bearer(tenants.acme), tenants.url("/v1/audio/transcriptions"), "-F", f"file=@{file}", "-F", "model=whisper-1"
    )

    received = provider.last
    assert answer.status == 200
    assert lowered(received)["content-type"].startswith("multipart/form-data; boundary=")
    assert BINARY in received.body
    assert b'name="model"\r\n\r\nwhisper-1' in received.body


def test_r14_secrets_and_names_of_this_hop_never_leave(tenants: Tenants, provider: FakeProvider) -> None:
    private = (
        "Cookie: session=1",
        "X-Api-Key: k",
        "Api-Key: k",
        "X-Auth-Token: t",
        "X-Goog-Api-Key: k",
        "Proxy-Authorization: Basic x",
        "OpenAI-Organization: org-other",
        "OpenAI-Project: proj",
        "X-Forwarded-For: 203.0.113.9",
        "Forwarded: for=203.0.113.9",
        "X-Real-IP: 203.0.113.9",
        "Referer: http://127.0.0.1/x",
        "Sec-Fetch-Site: none",
        "CF-Ray: 1",
        "X-Amzn-Trace-Id: 1",
        "X-BT-Parent: project_name:p",
        "X-Isthmus-Cache: never",
        "Trace-Bin: AA",
        "Grpc-Timeout: 1m",
    )
    kept = {"openai-beta": "assistants=v2", "idempotency-key": "i-1", "user-agent": "mine/1"}
    named = [part for line in private for part in ("-H", line)]
    named += [part for name, value in kept.items() for part in ("-H", f"{name}: {value}")]

    answer = curl(*bearer(tenants.acme), *named, *JSON, tenants.url("/v1/assistants"), "-d", "{}")

    seen = lowered(provider.last)
    assert answer.status == 200
    assert seen.pop("authorization") == f"Bearer {OWN_KEY}"
    assert not {line.split(":")[0].lower() for line in private} & seen.keys()
    assert not [name for name in seen if name.startswith(("x-envoy", "grpc-", "x-isthmus", "x-forwarded"))]
    assert {name: seen[name] for name in kept} == kept


def test_a_key_may_be_picked_by_its_name(tenants: Tenants, provider: FakeProvider) -> None:
    answer = curl(*bearer(tenants.acme), "-H", "X-Isthmus-Endpoint: second", tenants.url("/v1/files"))

    assert lowered(provider.last)["authorization"] == f"Bearer {SECOND_KEY}"
    assert answer.headers["x-isthmus-endpoint"] == "second"


def test_errors_of_the_provider_keep_status_and_body(tenants: Tenants, provider: FakeProvider) -> None:
    for status in (400, 401, 404, 429, 500, 503):
        body = b'{ "error" : {"message":"no", "extra": %d} }' % status
        provider.reply_with(whole(body, status, (("retry-after", "7"),)))

        answer = curl(*bearer(tenants.acme), *JSON, tenants.url("/v1/chat/completions"), "-d", HELLO)

        assert (answer.status, answer.body, answer.headers["retry-after"]) == (status, body, "7")


def test_redirects_of_the_provider_are_not_followed(tenants: Tenants, provider: FakeProvider) -> None:
    count = len(provider.requests)
    elsewhere = (("location", f"http://127.0.0.1:{provider.port}/v1/stolen"),)
    provider.reply_with(whole(b"moved", 307, elsewhere))

    answer = curl(*bearer(tenants.acme), *JSON, tenants.url("/v1/files"), "-d", "{}")

    assert (answer.status, answer.body) == (307, b"moved")
    assert "location" not in answer.headers
    assert len(provider.requests) == count + 1


def refused(tenants: Tenants, *arguments: str, path: str = "/v1/chat/completions") -> tuple[int, bytes]:
    """Make a call that must not reach the provider."""
    count = len(tenants.pair.provider.requests)
    answer = curl(*arguments, *(() if "-d" in arguments else ("-d", HELLO)), *JSON, tenants.url(path))
    assert len(tenants.pair.provider.requests) == count
    assert answer.headers["content-type"] == "application/json"
    return answer.status, answer.body


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("-H", "Authorization: Bearer sk-a-providers-key"),
        ("-H", "Authorization: Bearer isk_eyJhbGciOiJFZERTQSJ9.e30.c2ln"),
        ("-H", "Authorization: Bearer eyJhbGciOiJub25lIn0.e30."),
        ("-H", "Authorization: Basic eDp5"),
        ("-H", "X-Api-Key: sk-a-providers-key"),
    ],
)
def test_authentication_failures_are_exact(tenants: Tenants, arguments: tuple[str, ...]) -> None:
    assert refused(tenants, *arguments) == (401, b'{"error":"Authentication failed"}')


def test_a_tenant_without_a_key_gets_the_documented_error(tenants: Tenants) -> None:
    assert refused(tenants, *bearer(tenants.poor)) == (500, b'{"error":"OpenAI API key not found"}')


def test_refusals_of_the_gateway_are_text(tenants: Tenants) -> None:
    other = ("-d", '{"model":"other"}')
    twice = ("-d", '{"model":"ok","model":"other"}')

    assert refused(tenants, *bearer(tenants.bound), *other)[0] == 403
    assert refused(tenants, *bearer(tenants.bound)) == (
        403,
        b'{"error":"your key is bound to models: send a JSON body of at most one mebibyte, uncompressed, that names '
        b'one of them"}',
    )
    assert refused(tenants, *bearer(tenants.acme), *twice) == (
        400,
        b'{"error":"The request body repeats the key \'model\': write each key once."}',
    )
    assert refused(tenants, *bearer(tenants.closed))[0] == 403
    assert refused(tenants, *bearer(tenants.acme), "--path-as-is", path="/v1/../admin") == (
        400,
        b"{\"error\":\"the path must not hold '..', '.', '//' or backslashes\"}",
    )
    assert refused(tenants, *bearer(tenants.acme), "-H", "X-Isthmus-Endpoint: nobody's")[0] == 400


def test_a_bound_key_calls_its_model(tenants: Tenants, provider: FakeProvider) -> None:
    answer = curl(*bearer(tenants.bound), *JSON, tenants.url("/v1/chat/completions"), "-d", '{"model":"ok"}')

    assert answer.status == 200
    assert provider.last.body == b'{"model":"ok"}'


def test_an_upload_over_the_limit_is_413(tenants: Tenants) -> None:
    answer = curl(
        *bearer(tenants.acme), "--data-binary", "@-", tenants.url("/v1/files"), stdin=b"x" * (5 * 1024 * 1024)
    )

    assert answer.status == 413
    assert msgspec.json.decode(answer.body).keys() == {"error"}
    assert "limit" in msgspec.json.decode(answer.body)["error"]


def test_a_provider_that_cannot_be_reached_is_an_internal_error(tenants: Tenants, provider: FakeProvider) -> None:
    provider.reply_always(raw(CUT))

    answer = curl(*bearer(tenants.acme), *JSON, tenants.url("/v1/chat/completions"), "-d", HELLO)

    told = msgspec.json.decode(answer.body)
    assert answer.status == 500
    assert answer.body.startswith(b'{"error":"OpenAI proxy internal error","details":"')
    assert told.keys() == {"error", "details"}
    for secret in ("127.0.0.1", str(provider.port), OWN_KEY):
        assert secret not in told["details"]


async def test_a_tenant_at_its_limit_is_429(tenants: Tenants, provider: FakeProvider) -> None:
    count = len(provider.requests)
    provider.reply_with(stream(b"data: {}\n\n", STALL))
    headers = (*JSON_TYPE, ("authorization", f"Bearer {tenants.narrow}"))
    async with connected(tenants.pair.url) as exchange:
        await exchange.send(request(tenants.pair.url, "/api/openai/v1/responses", b"{}", headers=headers))
        assert await exchange.head() == 200
        answer = await asyncio.to_thread(curl, *bearer(tenants.narrow), tenants.url("/v1/files"))

    assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    assert answer.body == b'{"error":"your tenant\'s limit of 1 calls at once is reached; wait for one to end"}'
    assert len(provider.requests) == count + 1

    def admitted() -> bool:
        return curl(*bearer(tenants.narrow), tenants.url("/v1/files")).status == 200

    assert await asyncio.to_thread(eventually, admitted), "the place is free again when the caller has left"


def test_the_record_names_the_tenant_and_what_was_used(tenants: Tenants, provider: FakeProvider) -> None:
    provider.reply_with(whole(chat_body("gpt-4o")))

    named = ("-H", "X-Request-Id: recorded-1")
    curl(*bearer(tenants.acme), *JSON, *named, tenants.url("/v1/chat/completions"), "-d", HELLO)

    def record() -> list[dict[str, object]]:
        lines = tenants.pair.gateway.log.read_text().splitlines()
        return [msgspec.json.decode(line) for line in lines if "recorded-1" in line and line.startswith("{")]

    assert eventually(lambda: bool(record()))
    (line,) = record()
    assert (line["operation"], line["tenant"], line["status"]) == ("tenant_forward", "acme", 200)
    assert OUR_KEY not in msgspec.json.encode(line).decode()
