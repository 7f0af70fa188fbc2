"""Verifies tokens of the configured identity providers, with keys that are there before a call needs them. What a good
token looks like is `core/identity.py`'s.

Each issuer has one task, which fetches its keys at the start, again before their time ends, and when a token names a
key that nobody has seen: soon after that, but not for every such token. While the provider does not answer, keys that
it published go on to count for a day: a rotation takes effect with the fetch that sees it. In the steady state no call
waits for the network.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import aiohttp

from isthmusd.core.errors import Unavailable
from isthmusd.core.identity import Identity, UnpublishedKey, verify_identity
from isthmusd.core.jwks import KeySet
from isthmusd.core.remembered import Remembered, fingerprint
from isthmusd.core.tokens import Unverified
from isthmusd.upstream.jwks import KeysUnreachable, Published, fetch_keys, new_session
from isthmusd.upstream.options import IssuerOptions

LOG = logging.getLogger(__name__)
REMEMBERED_COUNT = 10_000
"""Verified tokens of one issuer."""


class Clock(Protocol):
    """What of time is needed here."""

    def now(self) -> float: ...

    def monotonic(self) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often providers are asked."""

    patience_s: float = 5.0
    """For one fetch, names and connections included."""
    early: float = 0.25
    """Of their time is left when keys are fetched again, but at most:"""
    early_s: float = 300.0
    unseen_s: float = 10.0
    """At most so often a key that nobody has seen leads to a fetch."""
    first_rest_s: float = 1.0
    """After a failure; each further one doubles it, up to:"""
    longest_rest_s: float = 60.0
    stale_s: float = 86_400.0
    """So long keys count beyond their time, while the provider does not answer."""


class IdentityIssuers:
    """Every configured identity provider. One per worker; enter it before the first token."""

    def __init__(self, issuers: Sequence[IssuerOptions], clock: Clock, pace: Pace | None = None) -> None:
        self._issuers = {each.rules.issuer: _Issuer(each, clock, pace or Pace()) for each in issuers}
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as resources:
            if self._issuers:
                session = await resources.enter_async_context(new_session())
                for issuer in self._issuers.values():
                    issuer.start(session)
                    resources.push_async_callback(issuer.aclose)
            self._resources = resources.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._resources.aclose()

    def knows(self, issuer: str) -> bool:
        """Whether tokens of this `iss` are verified here."""
        return issuer in self._issuers

    async def verify(self, token: str, said: Unverified) -> Identity:
        """Check a token of an issuer that `knows` knows; see `pipeline.ports.IdentityTokens`."""
        return await self._issuers[said.claims["iss"]].verify(token, said)


class _Issuer:
    """One identity provider: its keys, who its latest tokens named, and the task that keeps the keys fresh."""

    def __init__(self, options: IssuerOptions, clock: Clock, pace: Pace) -> None:
        self._options = options
        self._clock = clock
        self._pace = pace
        self._published: Published | None = None
        self._fetched_at = 0.0
        self._asked_at = 0.0
        """When the latest fetch began."""
        self._failure_count = 0
        self._fetching = False
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._ended = asyncio.Condition()
        # What was verified stays so until it expires, or the keys change.
        self._identities: Remembered[Identity] = Remembered(REMEMBERED_COUNT)

    def start(self, session: aiohttp.ClientSession) -> None:
        """Begin to fetch."""
        self._fetching = True
        self._task = asyncio.get_running_loop().create_task(self._keep(session))

    async def aclose(self) -> None:
        """Fetch no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._end()

    async def verify(self, token: str, said: Unverified) -> Identity:
        """Check a token; only one that names an unknown key may wait for the network."""
        keys, now = await self._keys(), self._clock.now()
        name = fingerprint(token)
        known = self._identities.get(name)
        if known is not None and known.expires_at is not None and now < known.expires_at:
            return known
        try:
            identity = verify_identity(token, said, self._options.rules, keys, now)
        except UnpublishedKey:
            newer = await self._newer()
            if newer is keys:
                raise
            identity = verify_identity(token, said, self._options.rules, newer, self._clock.now())
        self._identities.put(name, identity)
        return identity

    async def _keys(self) -> KeySet:
        """Give the keys that count now. Raises Unavailable."""
        if self._published is None and self._fetching and not self._failure_count:
            await self._fetch_ends()
        published = self._published
        if published is None or self._clock.monotonic() >= self._fetched_at + published.good_for_s + self._pace.stale_s:
            raise self._unavailable()
        return published.keys

    async def _newer(self) -> KeySet:
        """Give the keys after another look at what is published, unless there was one just now. Raises Unavailable."""
        if not self._fetching and self._clock.monotonic() >= self._asked_at + self._pace.unseen_s:
            self._fetching = True
            self._wanted.set()
        if self._fetching:
            await self._fetch_ends()
        if self._failure_count:
            # Whether there is such a key cannot be told.
            raise self._unavailable()
        return await self._keys()

    async def _fetch_ends(self) -> None:
        try:
            async with asyncio.timeout(2 * self._pace.patience_s), self._ended:
                await self._ended.wait_for(lambda: not self._fetching)
        except TimeoutError:
            raise self._unavailable() from None

    async def _keep(self, session: aiohttp.ClientSession) -> None:
        try:
            while True:
                self._wanted.clear()
                self._fetching, self._asked_at = True, self._clock.monotonic()
                await self._fetch(session)
                await self._end()
                try:
                    async with asyncio.timeout(self._rest_s()):
                        await self._wanted.wait()
                except TimeoutError:
                    continue
        finally:
            self._fetching = False

    async def _end(self) -> None:
        async with self._ended:
            self._fetching = False
            self._ended.notify_all()

    async def _fetch(self, session: aiohttp.ClientSession) -> None:
        issuer = self._options.rules.issuer
        try:
            published = await fetch_keys(session, self._options, self._pace.patience_s)
        except KeysUnreachable as error:
            self._failure_count += 1
            LOG.warning("the keys of %s could not be fetched: %s", issuer, error)
            return
        if self._failure_count:
            LOG.warning("the keys of %s can be fetched again", issuer)
        if self._published is None or self._published.keys != published.keys:
            # A key that was taken back must not go on to count for the tokens that it once was good for.
            self._identities.clear()
        self._published, self._fetched_at, self._failure_count = published, self._clock.monotonic(), 0

    def _rest_s(self) -> float:
        """Give how long to wait for the next fetch, if nobody asks for one."""
        pace = self._pace
        if self._failure_count or self._published is None:
            return min(pace.longest_rest_s, pace.first_rest_s * 2 ** min(self._failure_count - 1, 10))
        good_for_s = self._published.good_for_s
        return good_for_s - min(pace.early_s, pace.early * good_for_s)

    def _unavailable(self) -> Unavailable:
        return Unavailable(
            "the keys of this token's identity provider cannot be had now; try again",
            code="identity_provider_unavailable",
            retry_after_s=max(1.0, self._rest_s() if self._failure_count else 1.0),
        )
