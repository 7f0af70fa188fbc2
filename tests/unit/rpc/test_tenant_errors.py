"""Errors below the prefix of tenants' own calls, byte for byte."""

from __future__ import annotations

import pytest
from isthmusd.core.errors import (
    Bug,
    CredentialExpired,
    GatewayError,
    HeadersTooLarge,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    PermissionDenied,
    RequestTooLarge,
    TimedOut,
    Unauthenticated,
    Unavailable,
    Unreachable,
)
from isthmusd.rpc.tenant_errors import encode_tenant_error


@pytest.mark.parametrize(
    ("error", "body"),
    [
        (Unauthenticated("m"), b'{"error":"Authentication failed"}'),
        (CredentialExpired("m"), b'{"error":"Authentication failed"}'),
        (PermissionDenied("m", code="tenant_not_found"), b'{"error":"Client ID not found"}'),
        (NotFound("m", code="provider_key_not_found"), b'{"error":"OpenAI API key not found"}'),
        (Unreachable("no way"), b'{"error":"OpenAI proxy internal error","details":"no way"}'),
        (TimedOut("late"), b'{"error":"OpenAI proxy internal error","details":"late"}'),
        (Bug("oops"), b'{"error":"OpenAI proxy internal error","details":"oops"}'),
        (InvalidRequest('say "m"'), b'{"error":"say \\"m\\""}'),
        (PermissionDenied("m"), b'{"error":"m"}'),
        (RequestTooLarge("m"), b'{"error":"m"}'),
        (HeadersTooLarge("m"), b'{"error":"m"}'),
        (LimitExceeded("m"), b'{"error":"m"}'),
        (Unavailable("m", code="store_unavailable"), b'{"error":"m"}'),
    ],
)
def test_bodies_are_what_existing_clients_compare(error: GatewayError, body: bytes) -> None:
    assert encode_tenant_error(error) == body
