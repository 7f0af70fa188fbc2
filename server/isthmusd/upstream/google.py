"""Gets OAuth tokens of Google with google-auth, over our own connections. Loaded when a call needs it; keeping tokens
is `held.py`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import google.auth
import msgspec
from google.auth import exceptions, transport
from google.oauth2 import service_account

from isthmusd.core.errors import GatewayError, Misconfigured, Told, Unreachable
from isthmusd.core.headers import Headers
from isthmusd.core.request import Outbound
from isthmusd.core.signing import GoogleSigning
from isthmusd.upstream.held import Lease
from isthmusd.upstream.http import HttpUpstream

ANSWER_BYTES = 2**20
PATIENCE_S = 20.0
"""For one request, where google-auth names no time."""
REFUSED = "the gateway's Google credentials got no token; its operator must correct them"
UNREACHABLE = "Google's token service could not be reached; try again"

Pairs = tuple[tuple[str, str], ...]


class GoogleTokens:
    """One credential. google-auth blocks: it runs in a thread, and its requests are sent from the loop."""

    def __init__(self, signing: GoogleSigning, http: HttpUpstream) -> None:
        self._signing = signing
        self._http = http

    async def fetch(self) -> Lease[Pairs]:
        """Ask for a token. Raises Misconfigured if the credential is refused, Unreachable if the service fails."""
        request = _Transport(asyncio.get_running_loop(), self._http)
        try:
            return await asyncio.to_thread(self._ask, request)
        except (exceptions.GoogleAuthError, ValueError) as error:
            told = Told(detail=f"Google: {type(error).__name__}: {error}"[:500])
            if isinstance(error, exceptions.TransportError) or getattr(error, "retryable", False) is True:
                raise Unreachable(UNREACHABLE, told=told) from error
            raise Misconfigured(REFUSED, told=told) from error

    def _ask(self, request: _Transport) -> Lease[Pairs]:
        # Made anew each time: files are read again, and what google-auth keeps is not ours to judge.
        found = self._found(request)
        found.refresh(request)
        pairs = [("authorization", f"Bearer {found.token}")]
        if found.quota_project_id:
            pairs.append(("x-goog-user-project", found.quota_project_id))
        return Lease(value=tuple(pairs), good_for_s=_left_s(found.expiry))

    def _found(self, request: _Transport) -> Any:
        library: Any = google.auth
        account: Any = service_account.Credentials
        scopes = [self._signing.scope]
        if self._signing.service_account is None:
            found, _ = library.default(scopes=scopes, request=request)
            return found
        return account.from_service_account_info(msgspec.json.decode(self._signing.service_account), scopes=scopes)


def _left_s(expiry: datetime | None) -> float | None:
    """Give the seconds until an end that google-auth writes in UTC, without saying so."""
    return None if expiry is None else (expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()


class _Answer(transport.Response):
    def __init__(self, status: int, headers: Headers, data: bytes) -> None:
        self._status = status
        self._headers = {name: values[0] for name, values in headers.items()}
        self._data = data

    @property
    def status(self) -> int:
        return self._status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._headers

    @property
    def data(self) -> bytes:
        return self._data


class _Transport(transport.Request):
    """How google-auth sends: called in a thread, it waits for the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, http: HttpUpstream) -> None:
        self._loop = loop
        self._http = http

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_options: object,
    ) -> _Answer:
        outbound = Outbound(
            method=method,
            url=url,
            headers=tuple((headers or {}).items()),
            body=body.encode() if isinstance(body, str) else body,
        )
        sent = asyncio.run_coroutine_threadsafe(self._send(outbound, timeout or PATIENCE_S), self._loop)
        try:
            return sent.result()
        except (GatewayError, TimeoutError) as error:
            raise exceptions.TransportError(str(error) or "timed out") from error

    async def _send(self, outbound: Outbound, timeout_s: float) -> _Answer:
        async with asyncio.timeout(timeout_s), self._http.send(outbound) as reply:
            return _Answer(reply.status, reply.headers, await reply.read(ANSWER_BYTES))
