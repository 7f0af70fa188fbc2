"""Error answers of Cohere, and of what stands before it."""

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

from tests.unit.dialects_cohere.wire import CHAT, json


def error(status: int, body: bytes = b"", **headers: str) -> UpstreamError:
    named = {name.replace("_", "-"): [value] for name, value in headers.items()}
    return CHAT.decode_error(status, named, body)


@pytest.mark.parametrize(
    ("status", "kind", "shown"),
    [
        (400, Rejected, 400),
        (401, KeyRejected, 401),
        (402, KeyRejected, 402),
        (403, KeyRejected, 401),
        (404, Rejected, 404),
        (408, TimedOut, 504),
        (409, Overloaded, 409),
        (422, Rejected, 422),
        (429, Throttled, 429),
        (498, Rejected, 400),
        (499, Rejected, 499),
        (500, Overloaded, 502),
        (501, Overloaded, 502),
        (503, Overloaded, 502),
        (504, TimedOut, 504),
    ],
)
def test_kinds_by_status(status: int, kind: type[UpstreamError], shown: int) -> None:
    found = error(status, json({"id": "e1", "message": "no"}))

    assert type(found) is kind
    assert found.http_status == shown
    assert (found.told.status, found.told.request_id, found.told.detail) == (status, "e1", "no")
    assert found.message == ("no" if status < 500 else f"The provider failed (HTTP {status}); try again.")


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (404, "model 'command-x' not found, make sure the correct model ID was used", "model_not_found"),
        (404, "page not found", "not_found"),
        (400, "too many tokens: total number of tokens in the prompt cannot exceed 4081", "context_length_exceeded"),
        (400, "invalid request", "invalid_request"),
        (422, "unknown field: parameter 'x' is not a valid field", "invalid_request"),
        (498, "blocked input", "content_filter"),
    ],
)
def test_codes(status: int, message: str, code: str) -> None:
    found = error(status, json({"message": message}))

    assert found.code == code
    assert found.message == message


def test_what_headers_say() -> None:
    found = error(429, json({"id": "e1", "message": "slow down"}), retry_after="7.5", x_debug_trace_id="t1")

    assert found.retry_after_s == 7.5
    assert found.told.request_id == "t1"
    for odd in ("-1", "Wed, 21 Oct 2015 07:28:00 GMT", "inf"):
        assert error(429, retry_after=odd).retry_after_s is None
    assert error(503, retry_after="2").retry_after_s == 2


@pytest.mark.parametrize(
    "body", [b"", b"<html>502</html>", b"[]", b"{}", b'{"message":7}', b'{"message":"  "}', b"\xff"]
)
def test_bodies_that_say_nothing(body: bytes) -> None:
    assert error(400, body).message == "The provider refused the request (HTTP 400)."


@pytest.mark.parametrize("body", [b'{"error":"no"}', b'{"detail":"no"}', b'{"error":{"message":"no"}}'])
def test_bodies_of_what_stands_before_it(body: bytes) -> None:
    assert error(400, body).message == "no"


def test_messages_are_fit_to_be_shown() -> None:
    key = "aB3" + "x9" * 18 + "Z"
    found = error(401, json({"message": f"invalid api token {key}, Bearer abcdefgh\n" + "x " * 4000}))

    assert found.message.startswith("invalid api token [redacted], [redacted] x")
    assert len(found.message) <= 2000


def test_a_status_that_is_no_error() -> None:
    assert isinstance(error(302), Garbled)
