"""Turns an arrival into a `Call`: who is asking, until when, with which wishes. Whom a token stands for is
`callers.py`'s, grants on models are `resolve.py`'s."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from isthmusd.core.authorisation import refusal
from isthmusd.core.caching import read_cache_control
from isthmusd.core.call import MAX_TTL_S, CacheMode, CacheWish, Call, Principal
from isthmusd.core.credentials import PROJECT_LENGTH
from isthmusd.core.errors import HeadersTooLarge, InvalidRequest, PermissionDenied, Unauthenticated
from isthmusd.core.headers import Headers, first
from isthmusd.core.request import Arrival
from isthmusd.pipeline.callers import Callers
from isthmusd.pipeline.options import PipelineOptions
from isthmusd.pipeline.ports import Clock

REQUEST_ID = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,126}[\x21-\x7e])?")
TOKEN = re.compile(r"[!-+\--~]+")
"""No comma: Envoy joins the values of a repeated header with one."""
HEADER_BYTES = 64 * 1024
"""Envoy and grpcio take more, on purpose: past their own limits neither can say so to every caller."""
KEY_HEADERS = ("x-api-key", "api-key")
WEBSOCKET_KEY = "openai-insecure-api-key."
SWITCH = {"true": True, "false": False}
ALIASES = {
    "x-isthmus-cache": "x-bt-use-cache",
    "x-isthmus-cache-ttl": "x-bt-cache-ttl",
    "x-isthmus-endpoint": "x-bt-endpoint-name",
}
"""Our headers, and the older names that callers of other gateways send."""
CACHE_CONTROL = "cache-control"
WISHES = frozenset({*ALIASES, *ALIASES.values(), CACHE_CONTROL, "x-isthmus-strict", "x-isthmus-project", "x-bt-parent"})
"""Most callers have none."""
CACHE_MODES = {mode.value: mode for mode in CacheMode}
LOOPBACK_NAMES = frozenset({"localhost", "localhost."})


@dataclass(frozen=True, slots=True)
class Identifier:
    """Identifies callers. Holds no state: safe for any number of calls at once."""

    options: PipelineOptions
    clock: Clock
    callers: Callers

    async def identify(self, arrival: Arrival, met: Callable[[Principal], None]) -> Call:
        """Tell who is asking; `met` hears it before anything is refused to him.

        Raises HeadersTooLarge, Unauthenticated, PermissionDenied, InvalidRequest, Unavailable.
        """
        if arrival.header_bytes > HEADER_BYTES:
            raise HeadersTooLarge(f"the headers are over the limit of {HEADER_BYTES} bytes; send fewer or shorter ones")
        headers = arrival.headers
        token = token_of(headers)
        principal = self.callers.anonymous() if token is None else await self.callers.principal(token, met)
        met(principal)
        refused = refusal(arrival.operation, principal)
        if refused is not None:
            raise refused
        if self.options.anonymous:
            self._refuse_web_pages(arrival)
        request_id = request_id_of(headers) or f"req_{self.clock.stamp().id}"
        deadline_at = self._deadline(arrival)
        if WISHES.isdisjoint(headers) and principal.project is None:
            return Call(
                request_id=request_id,
                principal=principal,
                started_at=arrival.started_at,
                deadline_at=deadline_at,
                token=token,
            )
        project = principal.project or _project(headers, principal)
        return Call(
            request_id=request_id,
            principal=principal,
            started_at=arrival.started_at,
            deadline_at=deadline_at,
            strict=_switch(headers, "x-isthmus-strict"),
            endpoint=_wish(headers, "x-isthmus-endpoint"),
            project=project,
            record_bodies=_records_bodies(principal, project),
            cache=_cache_wish(headers),
            token=token,
        )

    def _refuse_web_pages(self, arrival: Arrival) -> None:
        """A web page must not spend the user's keys: neither by cross-origin calls nor by rebinding a name to us."""
        origin = first(arrival.headers, "origin")
        allowed = self.options.cors_origins
        if origin is not None and origin not in allowed and "*" not in allowed:
            raise PermissionDenied(
                "web pages of this origin may not call this gateway; allow it under cors.origins", code="origin_denied"
            )
        authority = arrival.authority
        if authority and self.options.loopback_hosts_only and not is_loopback_host(authority):
            raise PermissionDenied(
                "this gateway answers to localhost only; turn auth.anonymous off to serve other names",
                code="host_denied",
            )

    def _deadline(self, arrival: Arrival) -> float | None:
        wanted = first(arrival.headers, "x-isthmus-timeout")
        seconds = arrival.deadline_s
        if wanted is not None:
            asked = _positive_seconds(wanted)
            seconds = asked if seconds is None else min(seconds, asked)
        return None if seconds is None else self.clock.monotonic() + seconds


def token_of(headers: Headers) -> str | None:
    """Extract the credential. A malformed or doubled one is an error, never a fall-through to the next header."""
    values = headers.get("authorization")
    if values:
        scheme, _, token = values[0].partition(" ")
        token = token.strip()
        if len(values) > 1 or scheme.lower() != "bearer" or not TOKEN.fullmatch(token):
            raise Unauthenticated("the Authorization header must be one 'Bearer <key>'")
        return token
    for name in KEY_HEADERS:
        values = headers.get(name)
        if values:
            if len(values) > 1 or not TOKEN.fullmatch(values[0]):
                raise Unauthenticated(f"the {name} header must hold one key")
            return values[0]
    offered = ",".join(headers.get("sec-websocket-protocol", ())).split(",")
    keys = [protocol.strip() for protocol in offered if protocol.strip().startswith(WEBSOCKET_KEY)]
    if not keys:
        return None
    token = keys[0].removeprefix(WEBSOCKET_KEY)
    if len(keys) > 1 or not TOKEN.fullmatch(token):
        raise Unauthenticated(f"one WebSocket sub-protocol must be '{WEBSOCKET_KEY}<key>'")
    return token


def request_id_of(headers: Headers) -> str | None:
    """Give the caller's request id if it is fit to be logged and returned."""
    given = first(headers, "x-request-id")
    return given if given is not None and REQUEST_ID.fullmatch(given) else None


@lru_cache(maxsize=1024)
def is_loopback_host(authority: str) -> bool:
    """Tell whether a `host[:port]` names this machine."""
    try:
        host = urlsplit(f"//{authority}").hostname or ""
        if host in LOOPBACK_NAMES or host.endswith(".localhost"):
            return True
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _wish(headers: Headers, name: str) -> str | None:
    return first(headers, _said_as(headers, name))


def _said_as(headers: Headers, name: str) -> str:
    """Give the name under which a caller sent a header of ours."""
    return name if name in headers else ALIASES[name]


def _refused(headers: Headers, name: str, expected: str) -> InvalidRequest:
    said = _said_as(headers, name)
    shown = name if said == name else f"{said} ({name})"
    return InvalidRequest(f"{shown} must be {expected}", param=said)


def _switch(headers: Headers, name: str) -> bool:
    value = first(headers, name)
    if value is None:
        return False
    if value.lower() not in SWITCH:
        raise InvalidRequest(f"{name} must be 'true' or 'false'", param=name)
    return SWITCH[value.lower()]


def _positive_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 1e9:
        raise InvalidRequest("x-isthmus-timeout must be a positive number of seconds", param="x-isthmus-timeout")
    return seconds


def _project(headers: Headers, principal: Principal) -> str | None:
    kind, _, name = (first(headers, "x-bt-parent") or "").partition(":")
    project = first(headers, "x-isthmus-project") or (name if kind == "project_name" else None) or None
    if project is not None and len(project) > PROJECT_LENGTH:
        raise InvalidRequest(f"a project's name has at most {PROJECT_LENGTH} characters", param="x-isthmus-project")
    if project is not None:
        principal.grants.refuse_project(project)
    return project


def _records_bodies(principal: Principal, project: str | None) -> bool:
    known = principal.owner.projects.get(project) if principal.owner is not None and project is not None else None
    return known is not None and known.record_bodies


def _cache_wish(headers: Headers) -> CacheWish:
    mode, ttl_s = _cache_mode(headers), _cache_ttl(headers)
    said = read_cache_control(headers.get(CACHE_CONTROL, ()))
    return CacheWish(
        mode=mode, ttl_s=ttl_s, reads=not said.no_cache, writes=not said.no_store, max_age_s=said.max_age_s
    )


def _cache_mode(headers: Headers) -> CacheMode:
    mode = (_wish(headers, "x-isthmus-cache") or CacheMode.AUTO).strip().lower()
    if mode not in CACHE_MODES:
        raise _refused(headers, "x-isthmus-cache", "'auto', 'always' or 'never'")
    return CACHE_MODES[mode]


def _cache_ttl(headers: Headers) -> int:
    text = _wish(headers, "x-isthmus-cache-ttl")
    if text is None:
        return MAX_TTL_S
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not 1 <= int(text) <= MAX_TTL_S:
        raise _refused(headers, "x-isthmus-cache-ttl", f"whole seconds from 1 to {MAX_TTL_S}")
    return int(text)
