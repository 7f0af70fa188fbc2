"""Where the answer of a flight comes from: what is kept, the worker whose business it is, or a provider; and keeping it
when it is complete.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from isthmusd.core.caching import CachePolicy
from isthmusd.core.call import Call
from isthmusd.core.entry import MODEL_LENGTH, CacheItem, Entry, Form, Head, Unreadable, kept, read_entry, write_entry
from isthmusd.core.flight_parts import FlightPart, HeadPart, Landing, PeerLost, Piece, error_of
from isthmusd.core.keyring import Unsealable
from isthmusd.core.reply import Reply, Stream, Whole
from isthmusd.core.vault import Vault
from isthmusd.dialects import registry
from isthmusd.pipeline.attempts import Attempts
from isthmusd.pipeline.flight import Flight, LostOnTheWay
from isthmusd.pipeline.options import PipelineOptions
from isthmusd.pipeline.ports import Clock, FlightWatch, Peers, ReplyCache
from isthmusd.pipeline.record import Draft
from isthmusd.pipeline.wanted import Asking, Wanted, wanted

NONCE_BYTES = 12
ID_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Caching:
    """What the cache is made of."""

    vault: Vault
    cache: ReplyCache
    peers: Peers
    watch: FlightWatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Producer:
    """Produces answers. Holds no state of a call."""

    attempts: Attempts
    options: PipelineOptions
    clock: Clock
    caching: Caching

    async def wanted(self, asking: Asking, policy: CachePolicy) -> Wanted | None:
        """Find out under which name an answer is kept; None: that is not certain."""
        return await wanted(asking, policy, self.caching.vault, self.attempts, self.options)

    async def produce(self, flight: Flight, wanted: Wanted, *, here: bool) -> None:
        """Bring a flight to its end; `here`: by this worker, whosever business it is. Runs as the flight's task."""
        try:
            await self._produce(flight, wanted, here)
        except PeerLost:
            flight.fail(LostOnTheWay())
        except Exception as error:  # noqa: BLE001 listed with its reason in tests/test_architecture.py
            flight.fail(error)
        finally:
            flight.close()

    def near(self, wanted: Wanted) -> Entry | None:
        """Look for an answer in memory."""
        if wanted.policy.reads:
            for name in wanted.names:
                entry = self._read(wanted, name, self.caching.cache.near(name))
                if entry is not None:
                    return entry
        return None

    async def _produce(self, flight: Flight, wanted: Wanted, here: bool) -> None:
        # A worker that asks for another has looked into the store itself: a slow one is waited for once.
        entry = self.near(wanted) if here else await self._find(wanted)
        if entry is not None:
            _give(flight, entry)
            return
        for owner in (None,) if here else self.caching.peers.owners(wanted.names[0]):
            if owner is None:
                await self._ask_providers(flight, wanted)
                return
            try:
                await self._ask_peer(flight, wanted, owner)
            except PeerLost:
                if flight.head is not None:
                    raise
            else:
                return

    async def _find(self, wanted: Wanted) -> Entry | None:
        if not wanted.policy.reads:
            return None
        look = self.caching.cache.get
        match wanted.names:
            case [only]:
                found = [await look(only)]
            case names:
                # At once: with several secrets a slow store is waited for no longer.
                found = await asyncio.gather(*map(look, names))
        for name, sealed in zip(wanted.names, found, strict=True):
            entry = self._read(wanted, name, sealed)
            if entry is not None:
                return entry
        return None

    def _read(self, wanted: Wanted, name: bytes, sealed: bytes | None) -> Entry | None:
        """Open what is kept under a name; None: nothing that may serve this call now."""
        if sealed is None:
            return None
        try:
            entry = read_entry(self.caching.vault.open(sealed, name=name, lock=wanted.lock))
        except Unsealable:
            self.caching.cache.refuse(name, "sealed")
            return None
        except Unreadable:
            self.caching.cache.refuse(name, "unreadable")
            return None
        return entry if wanted.alive(entry, self.clock.now()) else None

    async def _ask_peer(self, flight: Flight, wanted: Wanted, owner: str) -> None:
        peers, asking_id = self.caching.peers, self.clock.random_bytes(ID_BYTES)
        try:
            async with peers.join(owner, wanted.for_peer(asking_id)) as parts:
                await _follow(flight, parts)
        except asyncio.CancelledError:
            # Nobody waits for it here any more. What was sent until then the other worker knows.
            landing = await peers.settle(owner, asking_id)
            if landing is not None:
                flight.usage, flight.sent = landing.usage, landing.attempts
            raise

    async def _ask_providers(self, flight: Flight, wanted: Wanted) -> None:
        asking, log = wanted.asking, wanted.asking.draft.apart()
        try:
            async with self.attempts.first_success(
                self._unhurried(asking.call), asking.inbound, asking.plan, asking.arrival.headers, log
            ) as reply:
                flight.sent = tuple(log.attempts)
                await self._take(flight, wanted, reply, log)
        finally:
            flight.sent, flight.usage = tuple(log.attempts), log.usage

    def _unhurried(self, call: Call) -> Call:
        """Give the call without its own deadline, which is no business of those who join. One that is longer than usual
        holds for all."""
        usual = self.clock.monotonic() + self.options.request_s
        return call if call.deadline_at is not None and call.deadline_at > usual else replace(call, deadline_at=None)

    async def _take(self, flight: Flight, wanted: Wanted, reply: Reply, log: Draft) -> None:
        match reply:
            case Whole():
                flight.begin(HeadPart(head=self._head(reply, Form(stream=False)), fresh=True, joined=False))
                flight.add(wanted.kept.freeze(reply.body))
                await self._tell_others(flight, wanted, log)
                self._land(flight, wanted, log)
            case Stream():
                flight.begin(HeadPart(head=self._head(reply, wanted.form), fresh=True, joined=False))
                await self._take_pieces(flight, wanted, reply, log)

    async def _take_pieces(self, flight: Flight, wanted: Wanted, reply: Stream, log: Draft) -> None:
        inbound = wanted.asking.inbound
        keep_alive = registry.served(inbound.dialect, inbound.operation).keep_alive
        async for piece in reply.pieces:
            if piece is keep_alive:
                flight.breathe()
                continue
            if log.settled:
                # The last one: it leaves together with the news that it is. What follows only closes the connection.
                await self._tell_others(flight, wanted, log)
                flight.add(wanted.kept.freeze(piece))
                self._land(flight, wanted, log)
            else:
                flight.add(wanted.kept.freeze(piece))
                await flight.room()
        if not flight.over:
            self._land(flight, wanted, log)

    async def _tell_others(self, flight: Flight, wanted: Wanted, log: Draft) -> None:
        """Say that there is a newer answer than the others remember, before those who asked for it have it."""
        policy = wanted.policy
        replaces = not policy.reads or policy.max_age_s is not None
        if replaces and flight.ttl_s and log.error is None:
            now, peers = self.clock.now(), self.caching.peers
            await asyncio.gather(*(peers.renew(name, now) for name in wanted.names))
            for older in wanted.names[1:]:
                # Of another secret: the newer answer does not take its place.
                self.caching.cache.renewed(older, now)

    def _head(self, reply: Reply, form: Form) -> Head:
        return Head(
            form=form,
            status=reply.status,
            headers=reply.headers,
            provenance=reply.provenance,
            stored_at=self.clock.now(),
            ttl_s=0,
        )

    def _land(self, flight: Flight, wanted: Wanted, log: Draft) -> None:
        """End a flight as its log says, and keep the answer if it is a complete one."""
        flight.usage = log.usage
        match log.error:
            case None:
                self._keep(flight, wanted)
                flight.land()
            case error:
                flight.fail(error, told=True)

    def _keep(self, flight: Flight, wanted: Wanted) -> None:
        part = flight.head
        if part is None or not flight.ttl_s or flight.overflowed or not flight.pieces:
            return
        if part.head.status != 200 or part.head.provenance.personal:
            return
        if not wanted.kept.is_final(flight.pieces, part.head.form.stream):
            return
        now, name = self.clock.now(), wanted.names[0]
        entry = Entry(
            head=replace(kept(part.head), stored_at=now, ttl_s=flight.ttl_s),
            pieces=wanted.kept.compact(flight.pieces) if part.head.form.stream else tuple(flight.pieces),
            usage=flight.usage,
        )
        nonce = self.clock.random_bytes(NONCE_BYTES)
        sealed = self.caching.vault.seal(write_entry(entry), name=name, lock=wanted.lock, nonce=nonce)
        self.caching.cache.put(
            CacheItem(
                name=name,
                tenant=wanted.asking.call.principal.tenant,
                model=wanted.asking.inbound.peeked.model[:MODEL_LENGTH],
                sealed=sealed,
                stored_at=now,
                expires_at=entry.expires_at,
            )
        )


def _give(flight: Flight, entry: Entry) -> None:
    """Let a kept answer be the flight's."""
    flight.begin(HeadPart(head=entry.head, fresh=False, joined=False))
    for piece in entry.pieces:
        flight.add(piece)
    flight.usage = entry.usage
    flight.land()


async def _follow(flight: Flight, parts: AsyncIterator[FlightPart]) -> None:
    """Pass on what another worker gives. Raises what it raises, PeerLost if it ends without an end."""
    async for part in parts:
        match part:
            case HeadPart(attempts=attempts):
                flight.sent = attempts
                flight.begin(part)
            case Piece(passing=True):
                flight.breathe()
            case Piece(data=data):
                flight.add(data)
                await flight.room()
            case Landing():
                _end(flight, part)
                return
    raise PeerLost


def _end(flight: Flight, landing: Landing) -> None:
    flight.usage, flight.sent = landing.usage, landing.attempts
    if landing.failure is None:
        flight.land()
        return
    flight.fail(error_of(landing.failure), told=landing.told)
