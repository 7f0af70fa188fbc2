"""The tree of errors: what a caller sees of each, and which of them another target or another try may mend."""

from __future__ import annotations

import pytest
from isthmusd.core import errors
from isthmusd.core.errors import (
    Exhausted,
    GatewayError,
    Misconfigured,
    Overloaded,
    Rejected,
    Throttled,
    TimedOut,
    Told,
    Unreachable,
    UnsupportedFeature,
    UpstreamError,
)

SHOWN = {
    errors.Unauthenticated: (401, "authentication_error", "invalid_api_key"),
    errors.PermissionDenied: (403, "permission_error", "permission_denied"),
    errors.InvalidRequest: (400, "invalid_request_error", "invalid_request"),
    errors.UnsupportedFeature: (400, "invalid_request_error", "unsupported_feature"),
    errors.UnknownModel: (404, "invalid_request_error", "model_not_found"),
    errors.NotFound: (404, "invalid_request_error", "not_found"),
    errors.MethodNotAllowed: (405, "invalid_request_error", "method_not_allowed"),
    errors.RequestTooLarge: (413, "invalid_request_error", "request_too_large"),
    errors.HeadersTooLarge: (431, "invalid_request_error", "headers_too_large"),
    errors.UnsupportedMediaType: (415, "invalid_request_error", "unsupported_media_type"),
    errors.LimitExceeded: (429, "rate_limit_error", "rate_limit_exceeded"),
    errors.Unavailable: (503, "server_error", "overloaded"),
    errors.Rejected: (400, "invalid_request_error", "invalid_request"),
    errors.KeyRejected: (401, "authentication_error", "provider_key_rejected"),
    errors.Misconfigured: (502, "upstream_error", "upstream_misconfigured"),
    errors.Throttled: (429, "rate_limit_error", "rate_limit_exceeded"),
    errors.Overloaded: (502, "upstream_error", "upstream_error"),
    errors.TimedOut: (504, "timeout_error", "timeout"),
    errors.Unreachable: (502, "upstream_error", "upstream_unreachable"),
    errors.Garbled: (502, "upstream_error", "upstream_garbled"),
    errors.Interrupted: (502, "upstream_error", "upstream_interrupted"),
    errors.Bug: (500, "server_error", "internal"),
}
NEVER_REPEATED = {errors.Rejected, errors.KeyRejected, errors.Interrupted}


@pytest.mark.parametrize("kind", SHOWN, ids=lambda kind: kind.__name__)
def test_an_error_shows_the_status_type_and_code_of_its_class(kind: type[GatewayError]) -> None:
    error = kind("say what to do")

    assert (error.http_status, error.type, error.code) == SHOWN[kind]
    assert error.message == str(error) == "say what to do"
    assert (error.param, error.retry_after_s) == (None, None)


@pytest.mark.parametrize("kind", SHOWN, ids=lambda kind: kind.__name__)
def test_only_failures_of_a_target_move_a_call_to_the_next(kind: type[GatewayError]) -> None:
    # What one target cannot express another one may.
    of_a_target = issubclass(kind, UpstreamError) or kind is UnsupportedFeature
    assert kind.fall_back == (of_a_target and kind not in NEVER_REPEATED)


def test_an_instance_knows_better_than_its_class() -> None:
    error = errors.PermissionDenied("no", code="origin_denied", param="origin", http_status=499, retry_after_s=2.5)

    assert (error.code, error.param, error.http_status, error.retry_after_s) == ("origin_denied", "origin", 499, 2.5)
    assert errors.PermissionDenied("no").code == "permission_denied"


def test_the_providers_type_replaces_ours() -> None:
    assert Overloaded("x", told=Told(type="engine_error")).type == "engine_error"
    assert Overloaded("x").told == Told()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("model_not_found", "MODEL_NOT_FOUND"),
        ("context-length.exceeded", "CONTEXT_LENGTH_EXCEEDED"),
        ("Bad code: ümlaut!", "BAD_CODE_MLAUT"),
        ("4xx", "E_4XX"),
        ("!", "E"),
        ("x" * 100, "X" * 63),
    ],
)
def test_reasons_are_what_google_rpc_allows(code: str, reason: str) -> None:
    assert Rejected("x", code=code).reason == reason


def test_exhausted_speaks_with_one_attempts_voice() -> None:
    first = TimedOut("too slow")
    last = Throttled("slow down", retry_after_s=7, told=Told(status=429, type="requests", request_id="req_1"))

    error = Exhausted((first, last))

    assert error.attempts == (first, last)
    assert (error.message, error.http_status, error.code) == ("slow down", 429, "rate_limit_exceeded")
    assert (error.type, error.retry_after_s, error.told.request_id) == ("requests", 7, "req_1")
    assert not error.fall_back
    assert error.retryable


SOON, LATE, SOMETIME = Throttled("soon", retry_after_s=2), Throttled("late", retry_after_s=9), Throttled("sometime")
BROKEN, GONE, OURS = Overloaded("broken"), Unreachable("gone"), Misconfigured("ours")


@pytest.mark.parametrize(
    ("attempts", "speaker"),
    [
        ((BROKEN, GONE), GONE),
        ((SOON, GONE), SOON),
        ((GONE, SOON), SOON),
        ((LATE, SOON, SOMETIME), SOON),
        ((SOMETIME, LATE), LATE),
        ((BROKEN, OURS), BROKEN),
        ((OURS, OURS), OURS),
    ],
)
def test_the_voice_is_the_one_that_helps_the_caller_most(
    attempts: tuple[UpstreamError, ...], speaker: UpstreamError
) -> None:
    error = Exhausted(attempts)

    assert error.speaker is speaker
    assert (error.message, error.http_status, error.retryable) == (
        speaker.message,
        speaker.http_status,
        speaker.retryable,
    )
