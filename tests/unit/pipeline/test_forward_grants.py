"""Forward: whose credentials it may use, and which models bound callers may name."""

from __future__ import annotations

from dataclasses import replace

import pytest
from isthmusd.core.errors import Misconfigured, PermissionDenied
from isthmusd.core.record import EndReason
from isthmusd.core.request import Operation
from isthmusd.core.tenants import ForwardGrant, Grants
from isthmusd.pipeline.run import run

from tests.unit.pipeline.gateway import Built, chat_request, error, whole
from tests.unit.pipeline.tenants import arriving, carried, key_of, refused
from tests.unit.pipeline.world import play

JSON = "application/json"
OWN = Grants(forward=ForwardGrant.OWN)
NONE = Grants(forward=ForwardGrant.NONE)


def test_without_the_grant_nothing_is_carried() -> None:
    built = Built.saying()

    refusal = refused(built, arriving(Operation.FORWARD, "/v1/files", key_of(built, own=("sk-a",), grants=NONE)))

    assert (refusal.http_status, refusal.code) == (403, "forward_not_allowed")
    assert built.upstream.sent == []
    assert (built.journal.only.end, built.journal.only.tenant) == (EndReason.REFUSED, "acme")


def test_own_credentials_may_be_used_where_there_are_some() -> None:
    built = Built.saying(whole(b"{}"))

    play(carried(built, arriving(Operation.FORWARD, "/v1/files", key_of(built, own=("sk-a",), grants=OWN), "GET")))

    (sent,) = built.upstream.sent
    assert (sent.url, sent.headers) == ("http://o/v1/files", (("authorization", "Bearer sk-a"),))
    assert built.journal.only.attempts[0].endpoint == "a"


@pytest.mark.parametrize("body", [b"{}", b'{"model":"old/m"}'])
def test_the_gateways_credentials_are_not_ones_own(body: bytes) -> None:
    built = Built.saying()
    token = key_of(built, own=("sk-a",) if b"old" in body else (), grants=OWN)

    refusal = refused(built, arriving(Operation.FORWARD, "/v1/x", token, content_type=JSON), body)

    assert isinstance(refusal, PermissionDenied)
    assert refusal.code == "forward_not_allowed"
    assert "of your tenant's own" in refusal.message


def test_a_refusal_of_a_tenants_own_key_is_told_as_that() -> None:
    built = Built.saying(error(401, "Incorrect API key provided"))
    arrival = replace(
        arriving(Operation.CHAT, "/v1/chat/completions", key_of(built, own=("sk-a",))), body=chat_request()
    )

    async def scene() -> None:
        async with run(built.gateway, arrival):
            pytest.fail("it was answered")

    with pytest.raises(Misconfigured, match="your tenant's own credential"):
        play(scene())


def test_with_the_shared_grant_the_gateways_credentials_may_be_used() -> None:
    built = Built.saying(whole(b"{}"))

    play(carried(built, arriving(Operation.FORWARD, "/v1/files", key_of(built))))

    assert built.upstream.sent[0].headers == (("authorization", "Bearer sk-ours"),)


@pytest.mark.parametrize("path", ["/v1/files", "/v1/files?model=gpt"])
@pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data; boundary=b", ""])
def test_a_bound_caller_needs_a_body_that_names_a_model(path: str, content_type: str) -> None:
    built = Built.saying()
    token = key_of(built, grants=Grants(models=frozenset({"gpt"}), forward=ForwardGrant.SHARED))

    refusal = refused(built, arriving(Operation.FORWARD, path, token, content_type=content_type), b'{"model":"gpt"}')

    assert (refusal.http_status, refusal.code) == (403, "model_not_allowed")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"model":"gpt","x":1}', None),
        (b'{"model":"gpt-2"}', 403),
        (b'{"model":"openai/gpt"}', 403),
        (b'{"model":""}', 403),
        (b'{"model":"gpt","model":"gpt-2"}', 400),
        (b'{"model":"gpt","Model":"gpt-2"}', 400),
        (b'{"model":"gpt"', 400),
        (b'{"model":"gpt","x":"' + b"x" * 2**20 + b'","model":"gpt-2"}', 403),
    ],
)
def test_a_bound_caller_names_his_models_and_no_other(body: bytes, status: int | None) -> None:
    built = Built.saying(whole(b"{}"))
    token = key_of(built, grants=Grants(models=frozenset({"gpt"}), forward=ForwardGrant.SHARED))
    arrival = arriving(Operation.FORWARD, "/v1/x?y=gpt-2", token, content_type=JSON)

    if status is None:
        play(carried(built, arrival, body))
        assert built.upstream.sent[0].body == body
    else:
        assert refused(built, arrival, body).http_status == status
        assert built.upstream.sent == []


@pytest.mark.parametrize("path", ["/v1/x?model=gpt-2", "/v1/deployments/gpt-2/x"])
def test_a_bound_caller_names_no_model_by_path_or_query(path: str) -> None:
    built = Built.saying()
    token = key_of(built, grants=Grants(models=frozenset({"gpt"}), forward=ForwardGrant.SHARED))

    refusal = refused(built, arriving(Operation.FORWARD, path, token, content_type=JSON), b'{"model":"gpt"}')

    assert (refusal.http_status, refusal.code) == (403, "model_not_allowed")


@pytest.mark.parametrize("body", [b'{"model":"gpt","model":"old/m"}', b'{"model":"gpt","MODEL":"old/m"}'])
def test_a_body_that_names_two_models_is_refused_for_everybody(body: bytes) -> None:
    built = Built.saying()

    assert refused(built, arriving(Operation.FORWARD, "/v1/x", None, content_type=JSON), body).http_status == 400


def test_a_tenants_limit_of_calls_holds_and_is_given_back() -> None:
    built = Built.saying(whole(b"{}"))
    token = key_of(built, calls=0)

    refusal = refused(built, arriving(Operation.FORWARD, "/v1/files", token))
    key_of(built, calls=1)
    play(carried(built, arriving(Operation.FORWARD, "/v1/files", token)))

    assert (refusal.http_status, refusal.code, refusal.retry_after_s) == (429, "rate_limit_exceeded", 1)
    assert built.shown.now == 0


def test_r6_nothing_of_the_call_chooses_the_host() -> None:
    built = Built.saying(whole(b"{}"))
    headers = {name: "evil.example" for name in ("host", "x_forwarded_host", "forwarded", "x_envoy_original_dst_host")}

    arrival = arriving(Operation.FORWARD, "/v1/@evil.example:99/x?url=http://evil.example", key_of(built), **headers)
    play(carried(built, arrival))

    assert built.upstream.sent[0].url == "http://o/v1/@evil.example:99/x?url=http://evil.example"
    assert [name for name, _ in built.upstream.sent[0].headers] == ["authorization"]
