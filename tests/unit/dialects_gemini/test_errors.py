"""Error answers of Google's APIs: kind, message, wait, and nothing that must not be shown."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from isthmusd.core.errors import Garbled, KeyRejected, Overloaded, Rejected, Throttled, TimedOut, UpstreamError
from isthmusd.core.headers import collect_headers

from tests.unit.dialects_gemini.asking import CHAT, EMBEDDING

Json = dict[str, Any]


def error(code: int, word: str = "", message: str = "What happened.", details: Any = ()) -> Json:
    return {"error": {"code": code, "message": message, "status": word, "details": details}}


def read(status: int, body: Any, **headers: str) -> UpstreamError:
    named = collect_headers((name.replace("_", "-"), value) for name, value in headers.items())
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return CHAT.decode_error(status, named, raw)


@pytest.mark.parametrize(
    ("status", "kind", "shown"),
    [
        (400, Rejected, 400),
        (401, KeyRejected, 401),
        (403, KeyRejected, 401),
        (404, Rejected, 404),
        (408, TimedOut, 504),
        (409, Overloaded, 409),
        (413, Rejected, 413),
        (429, Throttled, 429),
        (499, Rejected, 499),
        (500, Overloaded, 502),
        (503, Overloaded, 502),
        (504, TimedOut, 504),
        (529, Overloaded, 502),
    ],
)
def test_status_decides_the_kind(status: int, kind: type[UpstreamError], shown: int) -> None:
    found = read(status, error(status, "WORD"))

    assert type(found) is kind
    assert found.http_status == shown
    assert found.told.status == status
    assert found.told.detail == "What happened."


def test_the_callers_fault_is_told_in_the_providers_words() -> None:
    found = read(400, error(400, "INVALID_ARGUMENT", "Bad field."), x_goog_request_id="q1")

    assert (found.message, found.type, found.told.request_id) == ("Bad field.", "INVALID_ARGUMENT", "q1")


def test_an_unknown_model_is_called_that() -> None:
    assert read(404, error(404, "NOT_FOUND")).code == "model_not_found"


@pytest.mark.parametrize(
    "message",
    [
        "The input token count (1200001) exceeds the maximum number of tokens allowed (1048576).",
        "Unable to submit request because the input token count is 1050000 but model only supports up to 1048576.",
    ],
)
def test_a_prompt_that_is_too_long_is_called_that(message: str) -> None:
    assert read(400, error(400, "INVALID_ARGUMENT", message)).code == "context_length_exceeded"


def test_a_bad_key_is_told_by_its_reason() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}, 3]

    found = read(400, error(400, "INVALID_ARGUMENT", details=details))

    assert type(found) is KeyRejected
    assert found.http_status == 401


@pytest.mark.parametrize(
    ("delay", "headers", "wait"),
    [
        ("31s", {}, 31),
        ("0.5s", {}, 0.5),
        ("soon", {}, None),
        ("31s", {"retry_after": "7"}, 7),
        ("31s", {"retry_after": "Wed, 21 Oct 2026 07:28:00 GMT"}, 31),
        ("31s", {"retry_after": "inf"}, 31),
    ],
)
def test_the_wait_is_read(delay: str, headers: dict[str, str], wait: float | None) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}, {"requestId": "q2"}]

    found = read(429, error(429, "RESOURCE_EXHAUSTED", details=details), **headers)

    assert found.retry_after_s == wait
    assert found.told.request_id == "q2"


def test_errors_may_be_wrapped_in_an_array() -> None:
    found = read(429, [error(429, "RESOURCE_EXHAUSTED", "Slow down.")])

    assert (type(found), found.message) == (Throttled, "Slow down.")


@pytest.mark.parametrize(
    "body", [b"", b"<html>Bad gateway</html>", b"3", b"[]", b'{"error": null}', b"\xff", b"[" * 99_999]
)
def test_bodies_that_are_no_errors(body: bytes) -> None:
    assert read(400, body).message == "The provider refused the request (HTTP 400)."
    assert read(502, body).message == "The provider failed (HTTP 502); try again."


def test_a_plain_text_error_is_shown() -> None:
    assert read(400, {"error": "Plain."}).message == "Plain."


def test_statuses_that_are_no_errors_are_garbled() -> None:
    assert type(read(302, b"")) is Garbled


@pytest.mark.parametrize("secret", ["AIzaSyA1234567890", "Bearer abcdef123456", "ya29.a0Af_Hxyz", "AQ.Ab8RN6Kx12345"])
def test_secrets_are_not_shown(secret: str) -> None:
    found = read(400, error(400, "", f"Key {secret}\x00\nis bad."))

    assert found.message == "Key [redacted] is bad."


def test_messages_are_not_too_long() -> None:
    assert len(read(400, error(400, "", "x" * 9_000)).message) == 2_000


def test_embeddings_read_errors_alike() -> None:
    assert type(EMBEDDING.decode_error(429, {}, b"")) is Throttled
