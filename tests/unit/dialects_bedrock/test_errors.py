"""Error answers: the kind of failure, and what of them may be shown."""

from __future__ import annotations

import msgspec
import pytest
from isthmusd.core.errors import Garbled, KeyRejected, Overloaded, Rejected, Throttled, TimedOut, UpstreamError
from isthmusd.core.headers import collect_headers

from tests.unit.dialects_bedrock.requests import CHAT

SUFFIX = ":http://internal.amazon.com/coral/com.amazon.bedrock/"


def answered(status: int, kind: str = "", message: str = "No luck.", **headers: str) -> UpstreamError:
    named = {"x-amzn-errortype": kind + SUFFIX} if kind else {}
    return CHAT.decode_error(
        status, collect_headers([*named.items(), *headers.items()]), msgspec.json.encode({"message": message})
    )


@pytest.mark.parametrize(
    ("status", "name", "kind", "http_status"),
    [
        (400, "ValidationException", Rejected, 400),
        (400, "UnrecognizedClientException", KeyRejected, 401),
        (400, "ThrottlingException", Throttled, 429),
        (400, "ServiceQuotaExceededException", Throttled, 429),
        (400, "", Rejected, 400),
        (401, "", KeyRejected, 401),
        (403, "AccessDeniedException", KeyRejected, 401),
        (403, "ExpiredTokenException", KeyRejected, 401),
        (403, "InvalidSignatureException", KeyRejected, 401),
        (404, "ResourceNotFoundException", Rejected, 404),
        (408, "ModelTimeoutException", TimedOut, 504),
        (413, "ValidationException", Rejected, 413),
        (424, "ModelErrorException", Overloaded, 502),
        (429, "ThrottlingException", Throttled, 429),
        (429, "ModelNotReadyException", Throttled, 429),
        (500, "InternalServerException", Overloaded, 502),
        (503, "ServiceUnavailableException", Overloaded, 502),
        (504, "", TimedOut, 504),
        (302, "", Garbled, 502),
    ],
)
def test_kinds(status: int, name: str, kind: type[UpstreamError], http_status: int) -> None:
    error = answered(status, name)

    assert type(error) is kind
    assert error.http_status == http_status
    assert error.told.status == status
    assert "No luck." in (error.told.detail or "")


def test_the_caller_s_own_faults_are_told_in_the_provider_s_words() -> None:
    error = answered(400, "ValidationException", "top_k: too large")

    assert (error.message, error.type, error.code) == ("top_k: too large", "ValidationException", "invalid_request")


@pytest.mark.parametrize(
    ("status", "message"),
    [(404, "Model not found."), (400, "The provided model identifier is invalid.")],
)
def test_unknown_models_are_called_so(status: int, message: str) -> None:
    error = answered(status, message=message)

    assert (error.http_status, error.code, error.message) == (status, "model_not_found", message)


def test_failures_of_the_provider_are_not_told_in_its_words() -> None:
    error = answered(500, "InternalServerException", "at com.amazon.Thing.run(Thing.java:5)")

    assert error.message == "The provider failed (HTTP 500); try again."
    assert "Thing.java" in (error.told.detail or "")


def test_the_wait_and_the_request_are_kept() -> None:
    headers = collect_headers([("Retry-After", "3"), ("x-amzn-RequestId", "r-1")])

    error = CHAT.decode_error(429, headers, b'{"message":"Too many tokens"}')

    assert (error.retry_after_s, error.told.request_id) == (3.0, "r-1")
    assert error.message == "Too many tokens"


@pytest.mark.parametrize("wait", ["soon", "-1", "inf"])
def test_a_wait_that_is_none(wait: str) -> None:
    assert CHAT.decode_error(429, {"retry-after": [wait]}, b"{}").retry_after_s is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"Message":"User is not authorized"}', "User is not authorized"),
        (b'{"__type":"com.amazon.coral.service#ValidationException","message":"bad"}', "bad"),
        (b"<html><body>Bad Request</body></html>", "The provider refused the request (HTTP 400)."),
        (b"", "The provider refused the request (HTTP 400)."),
        (b"[7]", "The provider refused the request (HTTP 400)."),
        (b'{"message":7}', "The provider refused the request (HTTP 400)."),
    ],
)
def test_bodies_of_many_shapes(body: bytes, message: str) -> None:
    assert CHAT.decode_error(400, {}, body).message == message


def test_the_type_may_stand_in_the_body() -> None:
    body = b'{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"expired"}'

    assert type(CHAT.decode_error(400, {}, body)) is KeyRejected


def test_secrets_are_not_shown() -> None:
    error = answered(400, message="key AKIAIOSFODNN7EXAMPLE and ABSKQmVkcm9ja0FQSUtleS0x\nBearer abcdefgh")

    assert error.message == "key [redacted] and [redacted] [redacted]"


def test_long_messages_are_cut() -> None:
    assert len(answered(400, message="x" * 10_000).message) == 2_000


@pytest.mark.parametrize(
    "words",
    [
        "Input is too long for requested model.",
        "The model returned the following errors: prompt is too long: 210000 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 199000 + 9000 > 200000",
    ],
)
def test_what_is_too_long_is_told_by_its_code(words: str) -> None:
    assert answered(400, "ValidationException", words).code == "context_length_exceeded"
