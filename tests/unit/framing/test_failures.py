"""What providers' failures have in common."""

from __future__ import annotations

import pytest
from isthmusd.core.errors import Garbled, KeyRejected, Overloaded, Rejected, Throttled, TimedOut, UpstreamError
from isthmusd.framing.failures import MAX_MESSAGE, Said, clean, failure, loose, retry_after_s, text_of


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "6m0s"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1h2m3.5s"}, 3723.5),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "120ms"}, 0.12),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "soon"}, None),
        ({"x-ratelimit-remaining-tokens": "0"}, None),
        (
            {
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "20s",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1s",
            },
            20.0,
        ),
        ({"retry-after": "2", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20s"}, 2.0),
    ],
)
def test_the_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s({name: [value] for name, value in headers.items()}) == seconds


@pytest.mark.parametrize(
    ("status", "kind", "shown"),
    [
        (400, Rejected, 400),
        (402, KeyRejected, 402),
        (403, KeyRejected, 401),
        (408, TimedOut, 504),
        (409, Overloaded, 409),
        (424, Overloaded, 502),
        (429, Throttled, 429),
        (503, Overloaded, 502),
        (302, Garbled, 502),
    ],
)
def test_kinds_by_status(status: int, kind: type[UpstreamError], shown: int) -> None:
    error = failure(status, Said(message="no", type="odd", request_id="r"))

    assert type(error) is kind
    assert error.http_status == shown
    assert (error.told.status, error.told.request_id, error.told.detail) == (status, "r", "no")
    assert (error.type == "odd") is (kind is Rejected)


def test_a_dialect_may_know_better_than_the_status() -> None:
    error = failure(400, Said(message="bad key", code="c"), KeyRejected)

    assert (type(error), error.code) == (KeyRejected, "provider_key_rejected")


def test_texts_are_made_fit_to_be_shown() -> None:
    secrets = ("sk-abc123", "AIzaSyA1234567", "AKIAABCDEFGHIJKL", "ya29.a0Af_123456", "Bearer abcdef123")
    secrets += ("x-amz-security-token:IQoJb3JpZ2lu//8=", "eyJhbGciOiJSUzI1NiJ9.eyJzdWIi.c2ln-_", "eyJ0eXAiOiJKV1Q.e30")

    assert clean(" a\x00b\n ") == "a b"
    assert clean("") is None
    assert clean(None) is None
    assert len(clean("x" * 9_000) or "") == MAX_MESSAGE
    for secret in secrets:
        assert clean(f"key {secret} is bad") == "key [redacted] is bad"
    assert text_of(3) is None


def test_what_is_no_json_says_nothing() -> None:
    assert loose(b"<html>") is None
    assert loose(b"\xff") is None
    assert loose(b"[" * 5_000) is None
