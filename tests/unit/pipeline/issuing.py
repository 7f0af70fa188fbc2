"""Callers that ask a scripted gateway for temporary credentials, and call with them. It asserts nothing of answers."""

from __future__ import annotations

from typing import Any

import pytest
from isthmusd.core.credentials import Issued
from isthmusd.core.errors import GatewayError
from isthmusd.core.request import Arrival, Operation
from isthmusd.core.tenants import GatewayKey, Grants
from isthmusd.dialects.openai.credentials import decode_credential_wish
from isthmusd.pipeline.credentials import issue_credential
from isthmusd.pipeline.run import Gateway, run

from tests.unit.pipeline.gateway import Built, chat_answer, chat_request, whole
from tests.unit.pipeline.world import START, arrival_of, headers_of, play

PROVIDER_KEY = "sk-the-callers-very-own-provider-key"


def of(token: str | None, body: bytes = b"{}", **facts: Any) -> Arrival:
    headers = headers_of(authorization=f"Bearer {token}") if token is not None else {}
    return arrival_of({**headers, **facts.pop("headers", {})}, operation=Operation.CREDENTIALS, body=body, **facts)


def issue(built: Built, token: str | None, body: bytes = b"{}", **facts: Any) -> Issued:
    return play(issue_credential(built.gateway, of(token, body, **facts), decode_credential_wish))


def refusal(scene: Any) -> GatewayError:
    with pytest.raises(GatewayError) as refused:
        play(scene)
    return refused.value


def refused_issue(built: Built, token: str | None, body: bytes = b"{}", **facts: Any) -> GatewayError:
    return refusal(issue_credential(built.gateway, of(token, body, **facts), decode_credential_wish))


def keyed(grants: Grants | None = None, **facts: Any) -> tuple[Built, str]:
    """A gateway that knows one key, and its token."""
    built = Built.saying(*(whole(chat_answer()) for _ in range(4)), anonymous=False)
    key = GatewayKey(**{"id": "key_1", "tenant": "acme", "grants": grants or Grants()} | facts)
    return built, built.known.add_key(key, START)


def chatting(token: str, **facts: Any) -> Arrival:
    body = facts.pop("body", chat_request())
    headers = {**headers_of(authorization=f"Bearer {token}"), **facts.pop("headers", {})}
    return arrival_of(headers, body=body, **facts)


async def chat(built: Built, arrival: Arrival, gateway: Gateway | None = None) -> int:
    async with run(gateway or built.gateway, arrival) as reply:
        return reply.status
