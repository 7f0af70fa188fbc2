"""Tenants' own calls: with their own key, to one host, and refused in every other case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from isthmusd.core.errors import Unauthenticated, Unreachable
from isthmusd.core.record import EndReason
from isthmusd.core.request import Operation
from isthmusd.core.tenants import ForwardGrant, Grants, Role

from tests.unit.pipeline.gateway import Built, chat_answer, error, whole
from tests.unit.pipeline.targets import EVENTS, NEVER, Answer
from tests.unit.pipeline.tenants import arriving, carried, key_of, refused
from tests.unit.pipeline.world import play

JSON = "application/json"
CHAT = "/api/openai/v1/chat/completions"


def calling(path: str, token: str | None, **facts: Any) -> Any:
    return arriving(Operation.TENANT_FORWARD, path, token, **facts)


def test_a_call_goes_to_the_configured_host_with_the_tenants_key() -> None:
    built = Built.saying(whole(chat_answer(), x_request_id="req_up", set_cookie="c", openai_version="1"))
    body = b'{"model":"fast", "messages":[]}'

    arrival = calling(f"{CHAT}?a=%2Fb", key_of(built, own=("sk-a", "sk-b")), content_type=JSON, cookie="c", x_own="1")
    forwarded, answered = play(carried(built, arrival, body))

    (sent,) = built.upstream.sent
    assert (sent.method, sent.url) == ("POST", "https://api.openai.com/v1/chat/completions?a=%2Fb")
    assert sent.body == body
    assert sent.headers == (("content-type", JSON), ("x-own", "1"), ("authorization", "Bearer sk-a"))
    assert answered == chat_answer()
    assert dict(forwarded.headers) == {
        "x-request-id": "req_up",
        "openai-version": "1",
        "x-isthmus-endpoint": "a",
        "x-bt-used-endpoint": "a",
    }
    record = built.journal.only
    assert (record.operation, record.tenant, record.model) == ("tenant_forward", "acme", "fast")
    assert record.usage is not None
    assert (record.usage.total_tokens, record.attempts[0].endpoint, record.end) == (8, "a", EndReason.COMPLETE)


@pytest.mark.parametrize("path", ["/api/openai", "/api/openai/", "/api/openai?x=1", "/api/openai/?x=1"])
def test_an_empty_path_means_responses(path: str) -> None:
    built = Built.saying(whole(b"{}"))

    play(carried(built, calling(path, key_of(built, own=("sk-a",)))))

    assert built.upstream.sent[0].url == "https://api.openai.com/v1/responses" + path[path.index("openai") :].strip(
        "openai/"
    )


def test_the_caller_may_pick_one_of_the_tenants_keys_by_name() -> None:
    built = Built.saying(whole(b"{}"))
    token = key_of(built, own=("sk-a", "sk-b"))

    play(carried(built, calling(CHAT, token, x_isthmus_endpoint="b")))

    assert ("authorization", "Bearer sk-b") in built.upstream.sent[0].headers
    assert refused(built, calling(CHAT, token, x_isthmus_endpoint="main")).http_status == 400


@pytest.mark.parametrize("token", [None, "sk-a-providers-key", "isk_nonsense", "a.b.c"])
@pytest.mark.parametrize("anonymous", [True, False])
def test_neither_anonymous_callers_nor_providers_keys_open_it(token: str | None, anonymous: bool) -> None:
    built = Built.saying(anonymous=anonymous)
    key_of(built, own=("sk-a",))

    refusal = refused(built, calling(CHAT, token))

    assert isinstance(refusal, Unauthenticated)
    assert built.upstream.sent == []
    assert (built.journal.only.status, built.journal.only.operation) == (401, "tenant_forward")


def test_a_tenant_without_a_key_never_gets_the_gateways() -> None:
    built = Built.saying()

    refusal = refused(built, calling(CHAT, key_of(built)))

    assert (refusal.http_status, refusal.code) == (500, "provider_key_not_found")
    assert (built.journal.only.status, built.journal.only.end) == (500, EndReason.REFUSED)


@pytest.mark.parametrize(
    ("grants", "body", "status"),
    [
        (Grants(forward=ForwardGrant.NONE), b"{}", 403),
        (Grants(forward=ForwardGrant.OWN), b"{}", None),
        (Grants(models=frozenset({"gpt"})), b'{"model":"gpt"}', None),
        (Grants(models=frozenset({"gpt"})), b'{"model":"gpt-2"}', 403),
        (Grants(models=frozenset({"gpt"})), b"{}", 403),
        (Grants(models=frozenset({"gpt"})), b'{"model":"gpt","model":"gpt-2"}', 400),
        (Grants(), b'{"model":"a","Model":"b"}', 400),
    ],
)
def test_grants_hold_here_too(grants: Grants, body: bytes, status: int | None) -> None:
    built = Built.saying(whole(b"{}"))
    arrival = calling(CHAT, key_of(built, own=("sk-a",), grants=grants), content_type=JSON)

    if status is None:
        play(carried(built, arrival, body))
        assert built.upstream.sent[0].body == body
    else:
        assert refused(built, arrival, body).http_status == status
        assert built.upstream.sent == []


def test_an_administrators_key_calls_nobody() -> None:
    built = Built.saying()
    token = key_of(built, own=("sk-a",))
    built.known.keys = {name: replace(key, role=Role.ADMIN) for name, key in built.known.keys.items()}

    assert refused(built, calling(CHAT, token)).code == "role_not_allowed"


def test_an_odd_path_is_refused() -> None:
    built = Built.saying()

    assert refused(built, calling("/api/openai/v1/../x", key_of(built, own=("sk-a",)))).http_status == 400


@pytest.mark.parametrize("failing", [Unreachable("refused"), NEVER])
def test_a_provider_that_does_not_answer_is_an_error_of_these_paths(failing: Any) -> None:
    built = Built.saying(Answer(opening=(failing,)))

    refusal = refused(built, calling(CHAT, key_of(built, own=("sk-a",))))

    assert refusal.http_status == 500
    assert (built.journal.only.status, built.journal.only.end) == (500, EndReason.FAILED)


def test_a_providers_refusal_is_an_answer() -> None:
    built = Built.saying(error(401, "Incorrect API key"))

    forwarded, answered = play(carried(built, calling(CHAT, key_of(built, own=("sk-a",)))))

    assert forwarded.status == 401
    assert b"Incorrect API key" in answered


def test_a_stream_passes_as_it_comes_and_is_recorded_as_one() -> None:
    built = Built.saying(Answer(headers=EVENTS, steps=(b"data: {}\n", b"\ndata: [DONE]\n\n")))

    _, answered = play(carried(built, calling(CHAT, key_of(built, own=("sk-a",)))))

    assert answered == b"data: {}\n\ndata: [DONE]\n\n"
    assert built.journal.only.stream


def test_the_limits_of_the_gateway_and_of_the_tenant_hold() -> None:
    crowded = Built.saying(calls=0)
    assert refused(crowded, calling(CHAT, key_of(crowded, own=("sk-a",)))).http_status == 503

    built = Built.saying(upload_bytes=3)
    token = key_of(built, own=("sk-a",), calls=0)
    assert refused(built, calling(CHAT, token)).http_status == 429
    key_of(built, own=("sk-a",))
    assert refused(built, calling(CHAT, token), b"1234").http_status == 413
    assert built.shown.now == 0


@pytest.mark.parametrize("name", ["openai-organization", "openai-project"])
def test_no_caller_chooses_among_a_tenants_accounts(name: str) -> None:
    built = Built.saying(whole(b"{}"))

    play(carried(built, calling(CHAT, key_of(built, own=("sk-a",)), **{name.replace("-", "_"): "org"})))

    assert name not in dict(built.upstream.sent[0].headers)
