"""Who is asking: every place and form of a credential, and what must never pass for one."""

from __future__ import annotations

import base64

import pytest
from isthmusd.core.call import AuthMethod, Principal
from isthmusd.core.errors import Unauthenticated
from isthmusd.core.headers import Headers
from isthmusd.core.tenants import ForwardGrant
from isthmusd.pipeline.identify import token_of
from isthmusd.pipeline.options import PipelineOptions

from tests.unit.pipeline.world import FakeClock, arrival_of, headers_of, identified, identifier_of

JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0."


def principal_of(headers: Headers, **options: bool) -> Principal:
    return identified(identifier_of(PipelineOptions(**options), FakeClock()), arrival_of(headers)).principal


@pytest.mark.parametrize(
    "headers",
    [
        headers_of(authorization="Bearer sk-1"),
        headers_of(authorization="bearer sk-1"),
        headers_of(authorization="BEARER   sk-1 "),
        headers_of(x_api_key="sk-1"),
        headers_of(api_key="sk-1"),
        headers_of(sec_websocket_protocol="realtime, openai-insecure-api-key.sk-1, openai-beta.realtime-v1"),
        headers_of(sec_websocket_protocol=["realtime", "openai-insecure-api-key.sk-1"]),
        headers_of(authorization="Bearer sk-1", x_api_key="sk-2", api_key="sk-3"),
        headers_of(x_api_key="sk-1", api_key="sk-2", sec_websocket_protocol="openai-insecure-api-key.sk-3"),
    ],
)
def test_the_first_place_that_holds_a_token_counts(headers: Headers) -> None:
    assert token_of(headers) == "sk-1"


@pytest.mark.parametrize(
    "headers",
    [{}, headers_of(cookie="key=sk-1"), headers_of(x_auth_token="sk-1"), headers_of(sec_websocket_protocol="realtime")],
)
def test_other_places_hold_no_token(headers: Headers) -> None:
    assert token_of(headers) is None


@pytest.mark.parametrize(
    "headers",
    [
        headers_of(authorization=""),
        headers_of(authorization="Bearer"),
        headers_of(authorization="Bearer "),
        headers_of(authorization="sk-1"),
        headers_of(authorization="Basic dTpw"),
        headers_of(authorization="Bearer sk-1 sk-2"),
        headers_of(authorization="Bearer sk-1,Bearer sk-2"),
        headers_of(authorization="Bearer sk-1,sk-2"),
        headers_of(x_api_key="sk-1,sk-2"),
        headers_of(authorization="Bearer\tsk-1"),
        headers_of(authorization="Bearer sk\t1"),
        headers_of(authorization="Bearer sk-é"),
        headers_of(authorization=["Bearer sk-1", "Bearer sk-1"]),
        headers_of(x_api_key=""),
        headers_of(x_api_key="sk 1"),
        headers_of(x_api_key=["sk-1", "sk-2"]),
        headers_of(api_key="sk-é"),
        headers_of(api_key=["sk-1", "sk-1"]),
        headers_of(sec_websocket_protocol="openai-insecure-api-key."),
        headers_of(sec_websocket_protocol="openai-insecure-api-key.a, openai-insecure-api-key.b"),
    ],
)
def test_a_malformed_or_doubled_credential_is_refused_before_the_next_place_is_looked_at(headers: Headers) -> None:
    with pytest.raises(Unauthenticated):
        token_of({"api-key": ["sk-good"], **headers} if "authorization" in headers else headers)


def test_no_token_is_anonymous_where_that_is_allowed() -> None:
    principal = principal_of({}, anonymous=True)

    assert principal.method is AuthMethod.ANONYMOUS
    assert principal.key_id == "anonymous"
    assert principal.grants.forward is ForwardGrant.SHARED
    assert principal.grants.models is None


def test_no_token_is_refused_elsewhere() -> None:
    with pytest.raises(Unauthenticated) as refused:
        principal_of({}, anonymous=False)

    assert refused.value.http_status == 401
    assert "Authorization" in refused.value.message


def test_a_providers_key_names_its_holder_without_showing_the_key() -> None:
    first = principal_of(headers_of(authorization="Bearer sk-secret-1"))
    same = principal_of(headers_of(x_api_key="sk-secret-1"))
    other = principal_of(headers_of(authorization="Bearer sk-secret-2"))

    assert first.method is AuthMethod.PROVIDER_KEY
    assert first.provider_key == "sk-secret-1"
    assert first.key_id == same.key_id != other.key_id
    assert "secret" not in first.key_id
    assert "sk-secret-1" not in repr(first)


def test_a_providers_key_is_refused_where_they_are_not_taken() -> None:
    with pytest.raises(Unauthenticated):
        principal_of(headers_of(authorization="Bearer sk-1"), provider_keys=False)


SPACED_JWTS = [
    base64.urlsafe_b64encode(b"{%balg" % space).decode().rstrip("=") + ".e30.c2ln"
    for space in (b" ", b"\n", b"\r", b"\t")
]


@pytest.mark.parametrize(
    "token", ["isk_abc", "isk_", f"isk_{JWT}", JWT, *SPACED_JWTS, "eyJ.a.b", "eyJ..", "eyJhbGciOiJ.a.b.c.d"]
)
@pytest.mark.parametrize("anonymous", [True, False])
def test_gateway_secrets_and_tokens_in_jwt_form_are_never_provider_keys(token: str, anonymous: bool) -> None:
    with pytest.raises(Unauthenticated) as refused:
        principal_of(headers_of(authorization=f"Bearer {token}"), anonymous=anonymous)

    assert token not in refused.value.message
