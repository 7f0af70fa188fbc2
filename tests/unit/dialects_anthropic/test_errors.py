"""Error answers of Anthropic and of the clouds that host its models."""

from __future__ import annotations

import pytest
from isthmusd.core.errors import (
    Garbled,
    KeyRejected,
    Overloaded,
    Rejected,
    Throttled,
    TimedOut,
    UpstreamError,
)
from isthmusd.core.headers import Headers
from isthmusd.core.request import Operation
from isthmusd.dialects.anthropic import CALLED


def error(status: int, body: bytes = b"", headers: Headers | None = None) -> UpstreamError:
    return CALLED[Operation.CHAT].decode_error(status, headers or {}, body)


def said(kind: str, message: str) -> bytes:
    return f'{{"type":"error","error":{{"type":"{kind}","message":"{message}"}},"request_id":"req_1"}}'.encode()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Rejected),
        (401, KeyRejected),
        (402, KeyRejected),
        (403, KeyRejected),
        (404, Rejected),
        (408, TimedOut),
        (409, Overloaded),
        (413, Rejected),
        (422, Rejected),
        (429, Throttled),
        (500, Overloaded),
        (503, Overloaded),
        (504, TimedOut),
        (529, Overloaded),
        (302, Garbled),
    ],
)
def test_kinds(status: int, kind: type[UpstreamError]) -> None:
    found = error(status, said("some_error", "M"))

    assert type(found) is kind
    assert found.told.status == status
    assert found.told.detail == "M"
    assert found.told.request_id == "req_1"


def test_rejection_keeps_status_message_and_type() -> None:
    found = error(400, said("invalid_request_error", "max_tokens: Field required"), {"request-id": ["req_2"]})

    assert (found.http_status, found.message, found.type) == (
        400,
        "max_tokens: Field required",
        "invalid_request_error",
    )
    assert found.told.request_id == "req_2"
    assert found.code == "invalid_request"


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (404, "model: claude-nonexistent", "model_not_found"),
        (404, "Publisher Model x was not found", "model_not_found"),
        (404, "Not found", "not_found"),
        (413, "Request exceeds the maximum size", "request_too_large"),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", "context_length_exceeded"),
        (400, "input length and `max_tokens` exceed context limit: 1 + 2 > 3", "context_length_exceeded"),
        (400, "other", "invalid_request"),
    ],
)
def test_codes(status: int, message: str, code: str) -> None:
    found = error(status, said("not_found_error", message))

    assert found.code == code
    assert found.http_status == status


@pytest.mark.parametrize(
    "message",
    [
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.",
        "You have reached your specified API usage limits. You will regain access on 2026-01-01 at 00:00 UTC.",
    ],
)
def test_account_that_cannot_pay_is_no_fault_of_the_request(message: str) -> None:
    found = error(400, said("invalid_request_error", message))

    assert type(found) is KeyRejected
    assert (found.http_status, found.message, found.told.status) == (402, message, 400)


def test_callers_see_nothing_of_failures_that_are_not_theirs() -> None:
    found = error(529, said("overloaded_error", "Overloaded"))

    assert found.message == "The provider failed (HTTP 529); try again."
    assert found.type == "upstream_error"
    assert found.retryable


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": ["7"]}, 7.0),
        ({"retry-after-ms": ["250"]}, 0.25),
        ({"retry-after": ["Wed, 21 Oct 2026 07:28:00 GMT"]}, None),
        ({"retry-after": ["-1"]}, None),
        ({}, None),
    ],
)
def test_wait(headers: Headers, seconds: float | None) -> None:
    assert error(429, said("rate_limit_error", "M"), headers).retry_after_s == seconds


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'[{"error":{"code":400,"message":"M","status":"INVALID_ARGUMENT"}}]', "M"),
        (b'{"message":"M"}', "M"),
        (b'{"error":"M"}', "M"),
        (b'{"detail":"M"}', "M"),
        (b'{"error":{"message":5}}', "The provider refused the request (HTTP 400)."),
        (b"<html>Bad gateway</html>", "The provider refused the request (HTTP 400)."),
        (b"", "The provider refused the request (HTTP 400)."),
        (b'{"error":{"message":" \\n "}}', "The provider refused the request (HTTP 400)."),
        (b'{"error":{"message":"bad key sk-ant-api03-abc123\\u0000here"}}', "bad key [redacted] here"),
    ],
)
def test_bodies(body: bytes, message: str) -> None:
    assert error(400, body).message == message


def test_long_messages_are_cut() -> None:
    assert len(error(400, said("x", "a" * 5000)).message) == 2000
