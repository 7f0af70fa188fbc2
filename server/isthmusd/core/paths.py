"""Which paths are carried to a provider, and which the gateway owns. Pure text; resolving a provider is
`pipeline/resolve.py`."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from isthmusd.core.errors import InvalidRequest, MethodNotAllowed, NotFound

PREFIXES = ("/v1/proxy/", "/v1/")

TENANT_PROVIDER = "openai"
TENANT_PREFIX = f"/api/{TENANT_PROVIDER}"
"""All below it goes to the provider that it names, with the tenant's own key."""
TENANT_DEFAULT = "v1/responses"
"""What the bare prefix stands for."""

OWNED: dict[str, frozenset[str]] = {
    "chat/completions": frozenset({"POST"}),
    "completions": frozenset({"POST"}),
    "auto": frozenset({"POST"}),
    "embeddings": frozenset({"POST"}),
    "responses": frozenset({"POST"}),
    "moderations": frozenset({"POST"}),
    "credentials": frozenset({"POST"}),
    "models": frozenset({"GET"}),
}
"""Paths below the prefix that have a method of their own, and the HTTP methods that it serves."""

FORWARDED_ON_OWNED = {("GET", "chat/completions")}
"""Methods on owned paths that OpenAI serves and we pass on: stored chat completions."""

ALSO_AT_PROVIDERS = frozenset({"chat/completions", "completions", "embeddings", "responses", "moderations"})
"""Owned paths that a provider serves too: what typed Forward may carry there."""

OVERLONG = re.compile(rb"[\xc0\xc1]|\xe0[\x80-\x9f]|\xf0[\x80-\x8f]")
"""Bytes that are no UTF-8, since they write a character at more length than it has: some servers still take them for a
dot or a slash."""
UNICODE_ESCAPE = re.compile(rb"%u[0-9a-f]{4}", re.IGNORECASE)
"""Percent-encoding as only IIS reads it."""

OWNED_SUBTREES = ("credentials/",)
"""Whole subtrees that must never reach a provider under the gateway's key."""


class ForwardPath(NamedTuple):
    """A checked path below the provider's base URL."""

    path: str
    """Without leading slash, percent-encoding as it came."""
    query: str
    """With its `?`, or empty."""


def forward_path(method: str, raw: str, *, served_here: bool) -> ForwardPath:
    """Check a raw path and query and cut the gateway's prefix off.

    Raises InvalidRequest for what could leave the provider's base URL in any form that one decoding yields, and
    MethodNotAllowed or NotFound for paths that the gateway answers itself. `served_here`: the surface has methods of
    its own for the owned paths; else (typed Forward) those that a provider also has are passed on.
    """
    path, mark, query = raw.partition("?")
    rest = next((path[len(prefix) :] for prefix in PREFIXES if path.startswith(prefix)), None)
    if rest is None:
        raise NotFound("no such path; the API is below /v1/")
    decoded = unquote_to_bytes(rest)
    _refuse_escapes(rest, decoded)
    _refuse_fragment(query)
    name = decoded.decode("utf-8", "replace").strip("/")
    if served_here or name not in ALSO_AT_PROVIDERS or method not in OWNED[name]:
        _refuse_owned(method, name, verbatim=name == rest.strip("/"))
    return ForwardPath(rest, mark + query)


def is_tenant_path(raw: str) -> bool:
    """Tell whether a raw path is the prefix of tenants' own calls, or below it."""
    path = raw.partition("?")[0]
    return path == TENANT_PREFIX or path.startswith(f"{TENANT_PREFIX}/")


def tenant_path(raw: str) -> ForwardPath:
    """Check a raw path and query below the prefix of tenants' own calls, and cut the prefix off.

    Raises InvalidRequest as `forward_path` does. The gateway owns nothing there.
    """
    if not is_tenant_path(raw):
        raise NotFound(f"no such path; these calls are below {TENANT_PREFIX}/")
    path, mark, query = raw.partition("?")
    rest = path[len(TENANT_PREFIX) + 1 :]
    _refuse_escapes(rest, unquote_to_bytes(rest))
    _refuse_fragment(query)
    return ForwardPath(rest or TENANT_DEFAULT, mark + query)


def _refuse_fragment(query: str) -> None:
    if "#" in query:
        raise InvalidRequest("the query must not hold '#': percent-encode it", code="invalid_path")


def _refuse_escapes(rest: str, decoded: bytes) -> None:
    for text in (rest.encode(), decoded):
        # Some servers cut a segment's parameters off before they look at it: `..;x` is `..` to them.
        segments = [segment.partition(b";")[0] for segment in text.split(b"/")]
        if b".." in segments or b"." in segments or b"\\" in text or b"//" in text or text.startswith(b"/"):
            raise InvalidRequest("the path must not hold '..', '.', '//' or backslashes", code="invalid_path")
        if any(byte < 0x20 or byte == 0x7F for byte in text) or b"#" in text:
            raise InvalidRequest("the path must not hold control characters or '#'", code="invalid_path")
    if OVERLONG.search(decoded) or UNICODE_ESCAPE.search(decoded):
        raise InvalidRequest("the path must be percent-encoded as UTF-8", code="invalid_path")
    # What a second decoding would open up is refused too: a provider may decode twice.
    if any(mark in decoded.lower() for mark in (b"%2e", b"%2f", b"%5c")):
        raise InvalidRequest("the path must not be percent-encoded twice", code="invalid_path")


def _refuse_owned(method: str, name: str, *, verbatim: bool) -> None:
    served = OWNED.get(name)
    if served is None:
        if name.startswith(OWNED_SUBTREES):
            raise NotFound("no such path", code="not_found")
        if name.startswith("models/") and method not in {"DELETE"}:
            raise MethodNotAllowed("use GET, or DELETE for a model of your own")
        return
    if (method, name) in FORWARDED_ON_OWNED and verbatim:
        return
    if method in served:
        raise NotFound("the gateway answers this path itself: call it as it is documented, without percent-encoding")
    raise MethodNotAllowed(f"use {' or '.join(sorted(served))} here")
