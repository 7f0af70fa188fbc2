"""Errors below `/api/openai`: bodies that existing clients compare, byte for byte. The rest of the OpenAI surface has
`dialects/openai/errors.py`."""

from __future__ import annotations

import msgspec

from isthmusd.core.errors import Bug, GatewayError, Unauthenticated, UpstreamError

TEXTS = {"tenant_not_found": "Client ID not found", "provider_key_not_found": "OpenAI API key not found"}
"""By code, for what an operator has not set up."""


def encode_tenant_error(error: GatewayError) -> bytes:
    """Write an error body."""
    return msgspec.json.encode(_body(error))


def _body(error: GatewayError) -> dict[str, str]:
    match error:
        case Unauthenticated():
            # The reason is for the record: outside, all tokens that do not open are alike.
            return {"error": "Authentication failed"}
        case GatewayError(code=str(code)) if code in TEXTS:
            return {"error": TEXTS[code]}
        case UpstreamError() | Bug():
            return {"error": "OpenAI proxy internal error", "details": error.message}
        case _:
            return {"error": error.message}
