"""Which headers travel, both ways over the real Envoy: every kind of route has its list, and a snapshot of a whole
request shows that nothing else joins it unnoticed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from isthmus.v1 import forward_pb2, forward_pb2_grpc

from tests.fakes.answers import chat_body, chat_events, stream, whole
from tests.fakes.received import Received
from tests.system.callers import Office
from tests.system.pair import Pair, running_pair
from tests.system.ways import CALLS, Heard, Pairs, Wish, heard, over_http, wishing

pytestmark = pytest.mark.edge
OWN_KEY = "sk-acmes-own"

MODEL_ROUTES = ("http chat", "http chat stream", "http completion", "http embedding", "http responses", "grpc chat")
PASSING = ("http forward", "http tenant forward", "typed forward")

NEVER_SENT = (
    "proxy-authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "ocp-apim-some-api-key",
    "x-auth-token",
    "x-amz-security-token",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-client-cert",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "x-host",
    "x-original-url",
    "x-rewrite-url",
    "referer",
    "sec-fetch-site",
    "sec-websocket-protocol",
    "cf-connecting-ip",
    "x-amzn-trace-id",
    "x-bt-parent",
    "x-bt-use-cache",
    "x-isthmus-cache",
    "x-isthmus-anything",
    "x-isthmus-int-authority",
    "x-isthmus-int-surface",
    "x-envoy-original-path",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-retry-on",
    "x-http-code",
    "grpc-accept-encoding",
    "grpc-anything",
    "openai-organization",
    "openai-project",
    "x-goog-user-project",
    "x-request-id",
)
"""Of a caller's headers, on no route. `x-http-code`, `x-isthmus-int-*` and `x-envoy-*` end in Envoy."""
ALWAYS_SENT = ("openai-beta", "anthropic-beta", "idempotency-key", "accept-language")
PASSED_ON = ("x-custom", "x-stainless-os", "range", "if-none-match", "traceparent", "anthropic-version", "priority")
"""By routes that pass all on, and by no other."""
SAID = {"te": "trailers", "x-isthmus-cache": "never", "x-bt-parent": "project_name:p", "x-bt-use-cache": "never"}
"""Where a marker would be refused."""

NEVER_RETURNED = (
    "set-cookie",
    "server",
    "via",
    "alt-svc",
    "keep-alive",
    "proxy-authenticate",
    "strict-transport-security",
    "location",
    "content-location",
    "operation-location",
    "link",
    "report-to",
    "nel",
    "cf-ray",
    "x-envoy-upstream-service-time",
    "x-envoy-decorator-operation",
    "x-isthmus-forged",
    "x-bt-cached",
    "x-http-code",
    "grpc-message",
    "grpc-status-details-bin",
    "something-bin",
    "access-control-allow-origin",
    "x-litellm-model-api-base",
)
ALWAYS_RETURNED = ("openai-version", "openai-processing-ms", "anthropic-ratelimit-x", "x-ratelimit-limit-requests")
PASSED_BACK = ("x-custom", "etag", "x-stainless", "content-disposition", "last-modified")
MARK = "marked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    pair: Pair
    key: str


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    data: Path = tmp_path_factory.mktemp("headers")
    with Office(data) as office:
        office.tenant("acme")
        office.provider_key("acme", "openai", OWN_KEY)
        office.project("acme", "p")
        key = office.key("acme").token
        with running_pair(data=str(data), auth={"anonymous": False}) as pair:
            yield Stage(pair=pair, key=key)


@pytest.fixture
async def wish(stage: Stage) -> AsyncIterator[Callable[..., Wish]]:
    stage.pair.provider.reply_always(None)
    async with wishing(stage.pair.url, stage.pair.gateway.grpc_target) as made:
        yield lambda **given: made(token=stage.key, **given)
    stage.pair.provider.reply_always(None)


async def typed_forward(wish: Wish) -> Heard:
    """The wish's headers are those of the forwarded call; beside them it has metadata of its own, which stay here."""
    named = [forward_pb2.Header(name=name, value=value) for name, value in wish.more]
    head = forward_pb2.ForwardRequestHead(method="POST", path="/v1/images/generations", headers=named)
    body = forward_pb2.ForwardRequest(body=b'{"model":"ok"}')
    metadata = (("authorization", f"Bearer {wish.token}"), ("x-metadata", MARK))
    stub = forward_pb2_grpc.ForwardServiceStub(wish.channel)
    return await heard(stub.Forward(iter([forward_pb2.ForwardRequest(head=head), body]), metadata=metadata, timeout=10))


WAYS = {**CALLS, "typed forward": typed_forward}


def names_in(received: Received) -> set[str]:
    return {name.lower() for name, _ in received.headers}


def given(*names: str) -> Pairs:
    return tuple((name, SAID.get(name, MARK)) for name in names)


def over(way: str, *names: str) -> tuple[str, ...]:
    """What a client of gRPC can write at all."""
    of_grpc = ("grpc-", "te", "keep-alive", "proxy-connection", "trailer")
    return tuple(name for name in names if not (way.startswith("grpc") and name.startswith(of_grpc)))


@pytest.mark.parametrize("way", [*MODEL_ROUTES, *PASSING])
async def test_r14_a_provider_gets_the_headers_of_the_list(stage: Stage, wish: Callable[..., Wish], way: str) -> None:
    stopped, passing = over(way, *NEVER_SENT), way in PASSING

    answer = await WAYS[way](wish(more=given(*stopped, *ALWAYS_SENT, *PASSED_ON)))

    seen = names_in(stage.pair.provider.last)
    assert answer.is_good, answer
    assert stage.pair.provider.last.header("authorization") == f"Bearer {OWN_KEY}"
    assert seen & set(stopped) == set()
    assert seen >= set(ALWAYS_SENT)
    assert seen & set(PASSED_ON) == (set(PASSED_ON) if passing else set())
    assert "x-metadata" not in seen


@pytest.mark.parametrize("way", [way for way in (*MODEL_ROUTES, *PASSING) if not way.startswith("grpc")])
async def test_r14_a_provider_gets_no_header_that_a_caller_ties_to_his_hop(
    stage: Stage, wish: Callable[..., Wish], way: str
) -> None:
    await WAYS[way](wish(more=(("connection", "x-custom, openai-beta"), *given("x-custom", "openai-beta", "range"))))

    assert "x-custom" not in names_in(stage.pair.provider.last)
    assert "connection" not in names_in(stage.pair.provider.last)


@pytest.mark.parametrize("way", [*MODEL_ROUTES, *PASSING])
@pytest.mark.parametrize("status", [200, 400])
async def test_r13_r14_a_caller_gets_the_headers_of_the_list(
    stage: Stage, wish: Callable[..., Wish], way: str, status: int
) -> None:
    headers = tuple((name, MARK) for name in (*NEVER_RETURNED, *ALWAYS_RETURNED, *PASSED_BACK))
    streams = stream(*chat_events("ok"), headers=headers)
    stage.pair.provider.reply_always(
        streams if way.endswith("stream") and status == 200 else whole(chat_body("ok"), status, headers)
    )

    answer = await WAYS[way](wish(more=(("x-isthmus-cache", "never"),)))

    # What a typed Forward returns is in its first message.
    got = {name for name, value in answer.headers if MARK in value}
    got |= {name for name in (*NEVER_RETURNED, *ALWAYS_RETURNED, *PASSED_BACK) if name.encode() in answer.body}
    assert got & set(NEVER_RETURNED) == set()
    if status == 200 or way in PASSING:
        assert got >= set(ALWAYS_RETURNED)
    assert got & set(PASSED_BACK) == (set(PASSED_BACK) if way in PASSING else set())


OURS = {
    "accept-encoding": "identity",
    "authorization": f"Bearer {OWN_KEY}",
    "content-type": "application/json",
    "user-agent": "isthmus/0.1",
}
SNAPSHOTS = {
    **dict.fromkeys(MODEL_ROUTES, OURS),
    "http forward": {"authorization": f"Bearer {OWN_KEY}", "content-type": "application/json"},
    "http tenant forward": {"authorization": f"Bearer {OWN_KEY}", "content-type": "application/json"},
    "typed forward": {"authorization": f"Bearer {OWN_KEY}"},
}
OF_HTTP = {"host", "content-length", "transfer-encoding"}


@pytest.mark.parametrize("way", SNAPSHOTS)
async def test_r14_a_small_call_reaches_its_provider_with_exactly_these_headers(
    stage: Stage, wish: Callable[..., Wish], way: str
) -> None:
    assert (await WAYS[way](wish(more=(("x-isthmus-cache", "never"),)))).is_good

    received = stage.pair.provider.last
    names = [name.lower() for name, _ in received.headers]
    assert len(names) == len(set(names)), "none twice"
    assert {name.lower(): value for name, value in received.headers if name.lower() not in OF_HTTP} == SNAPSHOTS[way]
    assert received.header("host") == f"127.0.0.1:{stage.pair.provider.port}"


@pytest.mark.parametrize("path", ["/v1/files", "/api/openai/v1/files"])
async def test_r14_a_call_without_a_body_brings_no_header_of_one(
    stage: Stage, wish: Callable[..., Wish], path: str
) -> None:
    assert (await over_http(path, "GET")(wish())).is_good

    assert names_in(stage.pair.provider.last) == {"authorization", "content-type", "host"}
