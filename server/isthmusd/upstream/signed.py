"""Adds to a call what authenticates it at a cloud, then sends it. Which credential is used was decided above; how each
kind works is `aws.py`, `google.py` and `entra.py`, of which the first two are loaded when a call needs them: their
libraries are optional and take half a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Protocol

from isthmusd.core.errors import Misconfigured, Told
from isthmusd.core.request import Outbound
from isthmusd.core.signing import AwsSigning, EntraSigning, GoogleSigning, Signing
from isthmusd.upstream import entra
from isthmusd.upstream.held import Held
from isthmusd.upstream.http import HttpReply, HttpUpstream

Pairs = tuple[tuple[str, str], ...]

REPLACED = ("authorization", "x-goog-user-project")
"""A caller who forwards must not choose who pays with our token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A call that can be sent, and what to do when the target refuses its credential."""

    outbound: Outbound
    refused: Callable[[], object]


class Signer(Protocol):
    """Signs with one credential. One instance per worker and credential."""

    refusals: frozenset[int]
    """Statuses by which a target says that the credential is no longer good."""

    async def sign(self, outbound: Outbound, *, streams: bool) -> Signed:
        """Add what authenticates; `streams`: the body is not in `outbound`. Raises GatewayError."""
        ...

    async def aclose(self) -> None: ...


class TokenSigner:
    """Sends headers that stay the same for a while."""

    refusals = frozenset({401})

    def __init__(self, held: Held[Pairs]) -> None:
        self._held = held

    async def sign(self, outbound: Outbound, *, streams: bool) -> Signed:
        """Add the token; it knows nothing of the body."""
        del streams
        pairs = await self._held.get()
        sent = with_headers(outbound, dict(pairs), instead_of=REPLACED)
        return Signed(outbound=sent, refused=partial(self._held.refuse, pairs))

    async def aclose(self) -> None:
        """End a fetch that runs."""
        await self._held.aclose()


class SignedUpstream:
    """Sends what must be signed first. Holds one signer per credential."""

    def __init__(self, http: HttpUpstream) -> None:
        self._http = http
        self._signers: dict[Signing, Signer] = {}

    @asynccontextmanager
    async def send(
        self, outbound: Outbound, signing: Signing, upload: AsyncIterator[bytes] | None, decode: bool
    ) -> AsyncGenerator[HttpReply]:
        """Sign and send; see `pipeline.ports.Upstream`."""
        signer = await self._signer(signing)
        signed = await signer.sign(outbound, streams=upload is not None)
        async with self._http.send(signed.outbound, upload, decode) as reply:
            if reply.status in signer.refusals:
                signed.refused()
            yield reply

    async def aclose(self) -> None:
        """End what signers still do."""
        for signer in self._signers.values():
            await signer.aclose()

    async def _signer(self, signing: Signing) -> Signer:
        known = self._signers.get(signing)
        if known is not None:
            return known
        if not isinstance(signing, EntraSigning):
            await _load(*_LIBRARIES[type(signing)])
        # Another call may have made it meanwhile.
        return self._signers.setdefault(signing, self._made(signing))

    def _made(self, signing: Signing) -> Signer:
        match signing:
            case AwsSigning():
                from isthmusd.upstream.aws import AwsSigner  # noqa: PLC0415 an optional library, slow to load

                return AwsSigner(signing)
            case GoogleSigning():
                from isthmusd.upstream.google import GoogleTokens  # noqa: PLC0415 an optional library, slow to load

                return TokenSigner(Held(GoogleTokens(signing, self._http).fetch))
            case EntraSigning():
                return TokenSigner(Held(partial(entra.fetch, signing, self._http)))


def with_headers(outbound: Outbound, added: Mapping[str, str], *, instead_of: Collection[str]) -> Outbound:
    """Set headers in place of others, and mark the call as signed."""
    kept = ((name, value) for name, value in outbound.headers if name.lower() not in instead_of)
    return replace(outbound, headers=(*kept, *added.items()), signing=None)


_LIBRARIES: Mapping[type[Signing], tuple[str, str]] = {
    AwsSigning: ("isthmusd.upstream.aws", "aws"),
    GoogleSigning: ("isthmusd.upstream.google", "google"),
}
"""Module that needs an optional library, and the extra that installs it."""


async def _load(module: str, extra: str) -> None:
    """Import in a thread: it reads hundreds of files, and other calls wait for the loop."""
    try:
        await asyncio.to_thread(import_module, module)
    except ModuleNotFoundError as error:
        raise Misconfigured(
            f"this provider needs a library that is not installed: the gateway's operator must run "
            f"pip install 'isthmus-gateway[{extra}]'",
            told=Told(detail=str(error)),
        ) from error
