"""The body that asks for a temporary credential, and the answer. What may be wished for is `core/credentials.py`'s."""

from __future__ import annotations

import re

import msgspec

from isthmusd.core.credentials import (
    DEFAULT_TTL_S,
    CredentialWish,
    Issued,
    checked_model,
    checked_project,
    checked_ttl,
)
from isthmusd.core.errors import InvalidRequest
from isthmusd.dialects.openai.errors import request_fault
from isthmusd.framing.fields import Fields
from isthmusd.framing.members import find_spans, read_members

TTL = "ttl_seconds"
KNOWN = ("model", TTL, "logging")
KNOWN_OF_LOGGING = ("project_name", "compress_audio")
NO_NUMBER = re.compile(rb'"ttl_seconds"\s*:\s*-?(?:NaN|Infinity)\b')
"""No JSON, but what some languages write for numbers that are none."""


def decode_credential_wish(body: bytes) -> CredentialWish:
    """Read a request body. Raises InvalidRequest."""
    if NO_NUMBER.search(body):
        raise InvalidRequest(f"'{TTL}' must be a number, which NaN and Infinity are not", param=TTL)
    fields = Fields(dict(read_members(body).values), "", request_fault)
    _refuse_unknown(fields, KNOWN)
    model = fields.text("model")
    ttl_s = _ttl_s(fields)
    project, compress_audio = _logging(fields)
    return CredentialWish(
        model=None if model is None else checked_model(model),
        ttl_s=ttl_s,
        project=project,
        compress_audio=compress_audio,
    )


def encode_issued(issued: Issued) -> bytes:
    """Write the answer."""
    credential = issued.credential
    return msgspec.json.encode({"key": issued.token, "id": credential.id, "expires_at": int(credential.expires_at)})


def _ttl_s(fields: Fields) -> int:
    if TTL not in fields.names():
        return DEFAULT_TTL_S
    seconds = fields.number(TTL)
    if seconds is None:
        raise fields.fault(f"'{TTL}' must be a number, not null: leave it out for {DEFAULT_TTL_S}.", TTL)
    return checked_ttl(seconds, TTL)


def _logging(fields: Fields) -> tuple[str | None, bool | None]:
    raw = fields.raw("logging")
    if raw is None:
        return None, None
    logging = Fields.of(raw, "logging", request_fault)
    find_spans(bytes(memoryview(raw)))
    _refuse_unknown(logging, KNOWN_OF_LOGGING)
    return checked_project(logging.required_text("project_name")), logging.boolean("compress_audio")


def _refuse_unknown(fields: Fields, known: tuple[str, ...]) -> None:
    unknown = [name for name in fields.names() if name not in known]
    if unknown:
        path = fields.at(unknown[0][:100])
        named = ", ".join(f"'{fields.at(name[:100])}'" for name in unknown[:10])
        raise InvalidRequest(f"unknown: {named}; known: {', '.join(map(fields.at, known))}", param=path)
