"""Errors: what providers say, and what callers see of it."""

from __future__ import annotations

import msgspec
import pytest
from isthmusd.core.errors import (
    Garbled,
    InvalidRequest,
    KeyRejected,
    Overloaded,
    Rejected,
    Throttled,
    TimedOut,
    UnknownModel,
    UpstreamError,
)
from isthmusd.core.request import Operation
from isthmusd.dialects.openai.errors import decode_error, decode_stream_error, encode_error
from isthmusd.dialects.registry import called
from isthmusd.framing.failures import MAX_MESSAGE

OPENAI = b'{"error":{"message":"Bad thing.","type":"invalid_request_error","param":"messages","code":"bad_thing"}}'


def test_an_error_is_written_in_openais_shape() -> None:
    body = encode_error(InvalidRequest("No.", param="model"))

    assert msgspec.json.decode(body) == {
        "error": {"message": "No.", "type": "invalid_request_error", "param": "model", "code": "invalid_request"}
    }
    assert msgspec.json.decode(encode_error(UnknownModel("?")))["error"]["param"] is None


@pytest.mark.parametrize(
    ("status", "kind", "seen"),
    [
        (400, Rejected, 400),
        (404, Rejected, 404),
        (405, Rejected, 405),
        (413, Rejected, 413),
        (415, Rejected, 415),
        (422, Rejected, 422),
        (401, KeyRejected, 401),
        (402, KeyRejected, 402),
        (403, KeyRejected, 401),
        (408, TimedOut, 504),
        (504, TimedOut, 504),
        (524, TimedOut, 504),
        (409, Overloaded, 409),
        (429, Throttled, 429),
        (500, Overloaded, 502),
        (503, Overloaded, 502),
        (529, Overloaded, 502),
        (302, Garbled, 502),
        (600, Garbled, 502),
    ],
)
def test_the_status_decides_the_kind(status: int, kind: type[UpstreamError], seen: int) -> None:
    error = decode_error(status, {"x-request-id": ["req_1"]}, OPENAI)

    assert type(error) is kind
    assert error.http_status == seen
    assert (error.told.status, error.told.request_id) == (status, "req_1")


def test_what_the_caller_caused_keeps_the_providers_words() -> None:
    error = called("openai", Operation.CHAT).decode_error(400, {}, OPENAI)

    assert (error.message, error.type, error.param, error.code) == (
        "Bad thing.",
        "invalid_request_error",
        "messages",
        "bad_thing",
    )


def test_a_rejected_key_is_an_authentication_error_whatever_the_provider_calls_it() -> None:
    error = decode_error(401, {}, OPENAI)

    assert (error.type, error.code) == ("authentication_error", "provider_key_rejected")


def test_failures_of_the_provider_are_not_shown() -> None:
    error = decode_error(503, {"retry-after": ["7"]}, b'{"error":{"message":"pod 10.0.0.1 died","code":"oom"}}')

    assert error.message == "The provider failed (HTTP 503); try again."
    assert error.code == "upstream_error"
    assert error.told.detail == "pod 10.0.0.1 died"
    assert error.retry_after_s == 7


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":"just text"}', "just text"),
        (b'{"message":"top level"}', "top level"),
        (b'{"detail":"fastapi"}', "fastapi"),
        (b'{"detail":[{"loc":["body"],"msg":"field required"}]}', "field required"),
        (b'{"error":{"error":"deep"}}', "deep"),
        (b'[{"error":{"code":400,"message":"gemini","status":"INVALID_ARGUMENT"}}]', "gemini"),
        (b'"text"', "text"),
    ],
)
def test_other_shapes_are_understood(body: bytes, message: str) -> None:
    error = decode_error(400, {}, body)

    assert (error.message, error.code) == (message, "invalid_request")


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Bad gateway</html>",
        b"",
        b"\xff\xfe",
        b"[" * 100000,
        b"{}",
        b"[]",
        b"3",
        b'{"error":null}',
        b'{"error":{"message":""}}',
        b'{"error":{"message":7,"code":7,"type":["x"]}}',
    ],
)
def test_bodies_that_say_nothing_get_a_message_of_ours(body: bytes) -> None:
    error = decode_error(422, {}, body)

    assert error.message == "The provider refused the request (HTTP 422)."
    assert (error.code, error.type) == ("invalid_request", "invalid_request_error")


def test_messages_are_short_and_hold_no_secret_and_no_control_character() -> None:
    body = {"error": {"message": "Key sk-proj-abc123*****xyz9\r\n\x1b[31mof Bearer abcdefghij " + "x" * 5000}}

    message = decode_error(400, {}, msgspec.json.encode(body)).message

    assert message.startswith("Key [redacted] [31mof [redacted] xxx")
    assert len(message) == MAX_MESSAGE


@pytest.mark.parametrize("text", ["gsk_abc123def456", "xai-1234567890", "AIzaSyA1234567890", "sk-ant-api03-AbC_d"])
def test_keys_of_known_forms_are_redacted(text: str) -> None:
    body = msgspec.json.encode({"error": {"message": f"bad key: {text}."}})

    assert text not in decode_error(400, {}, body).message


def test_ordinary_words_are_not_redacted() -> None:
    body = b'{"error":{"message":"pip install sk-learn, see hf-hub"}}'

    assert decode_error(400, {}, body).message == "pip install sk-learn, see hf-hub"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": ["12"]}, 12.0),
        ({"retry-after": ["0"]}, 0.0),
        ({"retry-after-ms": ["1500"], "retry-after": ["9"]}, 1.5),
        ({"retry-after-ms": ["soon"], "retry-after": ["9"]}, 9.0),
        ({"retry-after": ["Wed, 21 Oct 2026 07:28:00 GMT"]}, None),
        ({"retry-after": ["-1"]}, None),
        ({"retry-after": ["nan"]}, None),
        ({"retry-after": ["inf"]}, None),
    ],
)
def test_the_wait_is_read_in_seconds(headers: dict[str, list[str]], seconds: float | None) -> None:
    assert decode_error(429, headers, b"").retry_after_s == seconds


@pytest.mark.parametrize(
    ("event", "kind", "message"),
    [
        (b'{"message":"slow down","code":429}', Throttled, "slow down"),
        (b'{"message":"slow down","type":"x","code":"429"}', Throttled, "slow down"),
        (b'{"message":"slow down","code":"rate_limit_exceeded"}', Throttled, "slow down"),
        (b'{"message":"too long","type":"invalid_request_error","code":null}', Rejected, "too long"),
        (b'{"message":"overheated","type":"server_error"}', Overloaded, "The provider failed (HTTP 500); try again."),
        (b'"broken"', Overloaded, "The provider failed (HTTP 500); try again."),
        (b"{}", Overloaded, "The provider failed (HTTP 500); try again."),
    ],
)
def test_errors_in_streams_are_told_apart_by_their_words(event: bytes, kind: type[UpstreamError], message: str) -> None:
    error = decode_stream_error(event)

    assert type(error) is kind
    assert error.message == message
