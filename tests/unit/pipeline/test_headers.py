"""Which headers travel to a provider and back, and which never do."""

from __future__ import annotations

import time

import pytest
from isthmusd.core.headers import Headers
from isthmusd.core.request import Loss
from isthmusd.pipeline.headers import (
    losses_header,
    printable,
    returned_by_forward,
    returned_from_model,
    sent_by_forward,
    sent_to_model,
)

SECRETS = (
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "x-auth-token",
    "x-amz-security-token",
    "xi-api-key",
    "x-portkey-api-key",
    "ocp-apim-subscription-key",
    "x-access-token",
    "x-id-token",
    "x-goog-iap-jwt-assertion",
    "x-auth-request-access-token",
    "x-auth-request-email",
    "x-goog-authenticated-user-email",
    "x-ms-token-aad-id-token",
    "x-ms-client-principal-name",
    "x-pomerium-jwt-assertion",
    "x-authentik-jwt",
    "tailscale-user-login",
    "remote-user",
)
OF_THIS_HOP = (
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "host",
    "content-length",
    "expect",
)
OF_THE_WAY = (
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-real-ip",
    "origin",
    "referer",
    "sec-fetch-mode",
    "sec-websocket-protocol",
    "cf-connecting-ip",
    "x-amzn-trace-id",
    "x-request-id",
    "x-client-ip",
    "true-client-ip",
    "x-host",
    "x-original-host",
    "x-original-url",
    "x-original-uri",
    "x-originating-ip",
    "x-rewrite-url",
    "x-script-name",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-cluster-client-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-http-code",
    "sec-ch-ua",
    "cf-ray",
    "x-amznbedrock-x",
)
OURS = (
    "x-bt-parent",
    "x-bt-use-cache",
    "x-isthmus-cache",
    "x-isthmus-endpoint",
    "x-isthmus-int-authority",
    "x-envoy-original-path",
    "grpc-timeout",
    "grpc-accept-encoding",
    "trace-bin",
    ":authority",
)
AS_CGI_WRITES_THEM = (
    "x_api_key",
    "content_length",
    "x_forwarded_for",
    "transfer_encoding",
    "x-http_method_override",
    "_bin",
)
"""Behind many servers an underscore is a dash."""
ACCOUNT = ("openai-organization", "openai-project", "x-goog-user-project")


def one_each(*names: str) -> Headers:
    return {name: ["v"] for name in names}


@pytest.mark.parametrize("name", [*SECRETS, *OF_THIS_HOP, *OF_THE_WAY, *OURS, *AS_CGI_WRITES_THEM])
@pytest.mark.parametrize("callers_own_key", [True, False])
def test_r14_forward_sends_no_secret_and_nothing_of_this_hop(name: str, callers_own_key: bool) -> None:
    assert sent_by_forward(one_each(name), callers_own_key=callers_own_key) == ()


@pytest.mark.parametrize(
    "name",
    ["accept", "accept-encoding", "content-type", "user-agent", "openai-beta", "anthropic-version", "x-stainless-os",
     "idempotency-key", "range", "x-custom", "secret-sauce", "x-amz-date", "priority", "traceparent"],
)  # fmt: skip
def test_forward_sends_all_else(name: str) -> None:
    assert sent_by_forward(one_each(name), callers_own_key=False) == ((name, "v"),)


def test_headers_that_a_peer_names_as_of_its_hop_do_not_travel() -> None:
    headers = {"connection": ["close, X-Hop", "x-other"], "x-hop": ["1"], "x-other": ["2"], "x-kept": ["3"]}

    assert sent_by_forward(headers, callers_own_key=False) == (("x-kept", "3"),)
    assert returned_by_forward(headers) == (("x-kept", "3"),)


def test_forward_keeps_repeated_headers_in_order() -> None:
    headers = {"x-a": ["1", "2"], "cookie": ["c"], "x-b": ["3"]}

    assert sent_by_forward(headers, callers_own_key=False) == (("x-a", "1"), ("x-a", "2"), ("x-b", "3"))


@pytest.mark.parametrize("name", ACCOUNT)
def test_accounts_are_chosen_only_with_the_callers_own_key(name: str) -> None:
    for choose in (sent_by_forward, sent_to_model):
        assert choose(one_each(name), callers_own_key=True) == ((name, "v"),)
        assert choose(one_each(name), callers_own_key=False) == ()


@pytest.mark.parametrize("name", ["openai-beta", "anthropic-beta", "idempotency-key", "accept-language"])
def test_model_routes_send_what_is_on_their_list(name: str) -> None:
    assert sent_to_model(one_each(name), callers_own_key=False) == ((name, "v"),)


@pytest.mark.parametrize(
    "name", [*SECRETS, *OF_THIS_HOP, *OF_THE_WAY, *OURS, "accept-encoding", "content-type", "user-agent", "x-custom"]
)
def test_model_routes_send_nothing_else_of_the_callers(name: str) -> None:
    assert sent_to_model(one_each(name), callers_own_key=True) == ()


@pytest.mark.parametrize(
    "name",
    ["retry-after", "retry-after-ms", "openai-processing-ms", "openai-version", "anthropic-ratelimit-tokens-reset",
     "x-ratelimit-remaining-requests", "x-should-retry", "deprecation", "sunset", "warning"],
)  # fmt: skip
def test_model_routes_return_what_a_client_needs(name: str) -> None:
    assert returned_from_model(one_each(name)) == ((name, "v"),)


@pytest.mark.parametrize(
    "name", ["set-cookie", "server", "via", "content-length", "content-encoding", "cf-ray", "x-custom", "grpc-status"]
)
def test_model_routes_return_nothing_else(name: str) -> None:
    assert returned_from_model(one_each(name)) == ()


def test_model_routes_return_the_providers_request_id_under_another_name() -> None:
    assert returned_from_model({"x-request-id": ["req_1"]}) == (("x-isthmus-upstream-request-id", "req_1"),)
    for name in ("request-id", "x-amzn-requestid", "x-goog-request-id", "x-debug-trace-id"):
        assert ("x-isthmus-upstream-request-id", "r") in returned_from_model({name: ["r"]})


@pytest.mark.parametrize(
    "name",
    ["set-cookie", "connection", "transfer-encoding", "content-length", "content-type", "server", "via", "alt-svc",
     "location", "content-location", "strict-transport-security", "grpc-status", "x-envoy-upstream-service-time",
     "x-isthmus-endpoint", "cf-ray", "access-control-allow-origin", "x-http-code", "details-bin", ":status",
     "set-cookie2", "trailer", "te", "keep-alive", "proxy-authenticate", "upgrade", "x-bt-used-endpoint",
     "operation-location", "azure-asyncoperation", "refresh", "link", "nel", "report-to", "reporting-endpoints",
     "x-litellm-model-api-base", "x-amz-cf-id-bin"],
)  # fmt: skip
def test_r13_forward_returns_nothing_of_its_own_hop_and_no_name_of_a_host(name: str) -> None:
    assert returned_by_forward(one_each(name)) == ()


@pytest.mark.parametrize(
    "name", ["x-request-id", "content-encoding", "content-disposition", "openai-version", "x-custom", "etag"]
)
def test_forward_returns_all_else(name: str) -> None:
    assert returned_by_forward(one_each(name)) == ((name, "v"),)


@pytest.mark.parametrize("name", ["x note", "x(note)", "é", "X-Upper", ""])
def test_names_that_metadata_cannot_carry_are_left_out(name: str) -> None:
    assert returned_by_forward(one_each(name)) == ()
    assert returned_from_model(one_each(f"openai-{name}" if name else name)) == ()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain, 100% of it", "plain, 100% of it"),
        (" padded ", "padded"),
        ("café ☕", "caf%C3%A9 %E2%98%95"),
        ("caf\udce9", "caf%E9"),
        ("a\tb\x00c\x7f", "a%09b%00c%7F"),
        ("50% café", "50% caf%C3%A9"),
        ("", ""),
    ],
)
def test_values_outside_printable_ascii_are_percent_encoded(value: str, shown: str) -> None:
    assert printable(value) == shown
    assert returned_by_forward({"x-note": [value]}) == (("x-note", shown),)


def test_losses_are_listed_by_field_within_bounds() -> None:
    losses = (Loss(field="logit_bias", reason="r"), Loss(field="messages[0].café", reason="r"))

    assert losses_header(()) == ()
    assert losses_header(losses) == (("x-isthmus-losses", "logit_bias, messages[0].caf%C3%A9"),)
    assert len(losses_header((Loss(field="x" * 5000, reason="r"),))[0][1]) == 2000


def test_megabytes_of_lost_names_are_not_encoded() -> None:
    losses = tuple(Loss(field="é" * 100, reason="") for _ in range(200_000))
    started = time.process_time()

    ((_, value),) = losses_header(losses)

    assert len(value) == 2000
    assert time.process_time() - started < 1


def test_names_of_losses_stay_within_bounds_however_they_are_written() -> None:
    losses = tuple(Loss(field="é🌍" * 50, reason="") for _ in range(50))

    ((_, value),) = losses_header(losses)

    assert len(value) <= 2000
    assert value.startswith("%C3%A9%F0%9F%8C%8D")
