"""Which headers travel to a target and back. Which secret is added is `providers/auth.py`."""

from __future__ import annotations

import re
from urllib.parse import quote

from isthmusd.core.headers import Headers
from isthmusd.core.request import Loss

Pairs = tuple[tuple[str, str], ...]

USER_AGENT = "isthmus/0.1"

MODEL_ROUTE_SENT = frozenset({"idempotency-key", "accept-language"})
"""Caller headers that a model route passes on, beside `*-beta`."""

CALLERS_ACCOUNT = frozenset({"openai-organization", "openai-project", "x-goog-user-project"})
"""Pass only with the caller's own key: with ours they would choose among our accounts."""

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
    }
)

FORWARD_STOPS = HOP_BY_HOP | {
    "authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "x-auth-token",
    "x-amz-security-token",
    "host",
    "x-host",
    "x-rewrite-url",
    "x-script-name",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "content-length",
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-remote-addr",
    "x-remote-ip",
    "true-client-ip",
    "x-request-id",
    "x-http-code",
    "origin",
    "referer",
    "expect",
}
"""Secrets, what is of this hop, who calls from where, and what some servers take for another host, path or method."""
SIGNED_IN_PREFIXES = (
    *("x-auth-request-", "x-goog-iap-", "x-goog-authenticated-", "x-ms-token-", "x-ms-client-principal"),
    *("x-pomerium-", "x-authentik-", "tailscale-user-", "remote-user"),
)
"""Who somebody is, or a token of his, as proxies before us say it of people whom they signed in."""
FORWARD_STOPS_PREFIXES = (
    *("x-forwarded-", "x-origin", "sec-", "cf-", "x-amzn", "x-bt-", "x-isthmus-", "x-envoy-", "grpc-", ":"),
    *SIGNED_IN_PREFIXES,
)
FORWARD_STOPS_SUFFIXES = ("-bin", "-api-key", "-access-token", "-id-token", "-jwt-assertion", "-subscription-key")

REPLY_KEEPS = frozenset({"retry-after", "retry-after-ms", "deprecation", "sunset", "warning", "server-timing"})
REPLY_KEEPS_PREFIXES = ("openai-", "anthropic-", "x-ratelimit-", "x-groq-", "x-should-retry")

FORWARD_REPLY_STOPS = HOP_BY_HOP | {
    "set-cookie",
    "set-cookie2",
    "content-type",
    "content-length",
    "server",
    "via",
    "alt-svc",
    "host",
    "strict-transport-security",
    "x-http-code",
    "location",
    "content-location",
    "operation-location",
    "azure-asyncoperation",
    "refresh",
    "link",
    "nel",
    "report-to",
    "reporting-endpoints",
    "x-litellm-model-api-base",
}
"""Of this hop, ours to say, or naming the provider's host: a client that follows it would go around the gateway."""
FORWARD_REPLY_STOPS_PREFIXES = ("grpc-", "x-envoy-", "x-isthmus-", "x-bt-", "cf-", "access-control-", ":")

METADATA_KEY = re.compile(r"[0-9a-z_.\-]+")
PRINTABLE = "".join(chr(c) for c in range(0x20, 0x7F) if chr(c) != "%") + "%"


def sent_to_model(headers: Headers, *, callers_own_key: bool) -> Pairs:
    """Choose the caller's headers that a model route sends on."""
    return tuple(
        (name, value)
        for name, values in headers.items()
        if name in MODEL_ROUTE_SENT or name.endswith("-beta") or (callers_own_key and name in CALLERS_ACCOUNT)
        for value in values
    )


def stops_here(name: str) -> bool:
    """Tell whether a caller's header is for the gateway or its hop, never for a provider."""
    # Behind many servers, CGI's heirs, nobody can tell an underscore from a dash.
    name = name.replace("_", "-")
    return name in FORWARD_STOPS or name.startswith(FORWARD_STOPS_PREFIXES) or name.endswith(FORWARD_STOPS_SUFFIXES)


def sent_by_forward(headers: Headers, *, callers_own_key: bool) -> Pairs:
    """Choose the caller's headers that Forward sends on: all but those that belong to this hop or name secrets."""
    of_this_hop = named_by_connection(headers)
    return tuple(
        (name, value)
        for name, values in headers.items()
        if not stops_here(name)
        and name not in of_this_hop
        and (callers_own_key or name.replace("_", "-") not in CALLERS_ACCOUNT)
        for value in values
    )


REQUEST_IDS = ("x-request-id", "request-id", "x-amzn-requestid", "x-goog-request-id", "x-debug-trace-id")
"""Where providers put their name of a call: most, Anthropic, AWS, Google, Cohere."""


def returned_from_model(headers: Headers) -> Pairs:
    """Choose a target's headers that a model route returns."""
    kept = [
        (name, printable(value))
        for name, values in headers.items()
        if (name in REPLY_KEEPS or name.startswith(REPLY_KEEPS_PREFIXES)) and METADATA_KEY.fullmatch(name)
        for value in values
    ]
    name = request_id_in(headers)
    if name is not None:
        kept.append(("x-isthmus-upstream-request-id", name))
    return tuple(kept)


def request_id_in(headers: Headers) -> str | None:
    """Find the name that a provider gave the call, in printable ASCII: it goes into records, too."""
    for name in REQUEST_IDS:
        if name in headers:
            return printable(headers[name][0])
    return None


def returned_by_forward(headers: Headers) -> Pairs:
    """Choose a target's headers that Forward returns. A provider's request id stays under its own name."""
    of_this_hop = FORWARD_REPLY_STOPS | named_by_connection(headers)
    return tuple(
        (name, printable(value))
        for name, values in headers.items()
        if name not in of_this_hop
        and not name.startswith(FORWARD_REPLY_STOPS_PREFIXES)
        and not name.endswith("-bin")
        and METADATA_KEY.fullmatch(name)
        for value in values
    )


def endpoint_headers(endpoint: str | None) -> Pairs:
    """Name the gateway's credential that paid, if it has a name."""
    return (("x-isthmus-endpoint", endpoint), ("x-bt-used-endpoint", endpoint)) if endpoint else ()


LOSSES_LIMIT = 2000
"""Characters as they are sent: the header is one of many that a client must take."""


def losses_header(losses: tuple[Loss, ...]) -> Pairs:
    """List what could not be expressed, by field, in one header of bounded size."""
    if not losses:
        return ()
    # Cut before as well: callers choose names and their number, and to encode megabytes of them takes seconds.
    fields = ", ".join(loss.field for loss in losses)[:LOSSES_LIMIT]
    return (("x-isthmus-losses", printable(fields)[:LOSSES_LIMIT]),)


def printable(value: str) -> str:
    """Percent-encode what gRPC metadata refuses: anything outside printable ASCII."""
    if value.isascii() and value.isprintable():
        return value.strip()
    return quote(value.encode("utf-8", "surrogateescape"), safe=PRINTABLE).strip()


def named_by_connection(headers: Headers) -> frozenset[str]:
    """Give the headers that a peer declares to be of its hop only: RFC 9110, section 7.6.1."""
    return frozenset(name.strip().lower() for value in headers.get("connection", ()) for name in value.split(","))
