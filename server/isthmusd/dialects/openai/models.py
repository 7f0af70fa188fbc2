"""OpenAI's list of models."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from isthmusd.core.model import Listed


def encode_models(models: Iterable[Listed]) -> bytes:
    """Write the answer to `GET /v1/models`."""
    return msgspec.json.encode({"object": "list", "data": [_object(listed) for listed in models]})


def encode_model(listed: Listed) -> bytes:
    """Write the answer to `GET /v1/models/{id}`."""
    return msgspec.json.encode(_object(listed))


def _object(listed: Listed) -> dict[str, str | int]:
    # `created` is required by OpenAI's schema; providers' dates are not known here.
    return {"id": listed.id, "object": "model", "created": 0, "owned_by": listed.provider}
