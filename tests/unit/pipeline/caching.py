"""A cache for gateways under test: a dictionary of sealed answers that may be looked into, and no other workers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from isthmusd.core.entry import CacheItem
from isthmusd.core.flight_parts import FlightPart, Landing, PeerAsking
from isthmusd.core.keyring import Keyring
from isthmusd.core.vault import Vault
from isthmusd.pipeline.producing import Caching

SECRET = "unit-tests-only-7f3a9c51e2b84d06"


@dataclass(slots=True)
class KeptAnswers:
    """What was put, by name. `far` is what all workers share: it is found by waiting only."""

    items: dict[bytes, CacheItem] = field(default_factory=dict[bytes, CacheItem])
    far: dict[bytes, CacheItem] = field(default_factory=dict[bytes, CacheItem])
    refused: list[tuple[bytes, str]] = field(default_factory=list[tuple[bytes, str]])
    asked: list[bytes] = field(default_factory=list[bytes])
    outdated: dict[bytes, float] = field(default_factory=dict[bytes, float])

    def near(self, name: bytes) -> bytes | None:
        item = self.items.get(name)
        return None if item is None else item.sealed

    async def get(self, name: bytes) -> bytes | None:
        self.asked.append(name)
        item = self.items.get(name) or self.far.get(name)
        return None if item is None else item.sealed

    def put(self, item: CacheItem) -> None:
        self.items[item.name] = item

    def renewed(self, name: bytes, stored_at: float) -> None:
        self.outdated[name] = stored_at

    def refuse(self, name: bytes, why: str) -> None:
        self.refused.append((name, why))
        self.items.pop(name, None)
        self.far.pop(name, None)


@dataclass(slots=True)
class Watched:
    """Counts flights."""

    began: int = 0
    joined: int = 0

    def flight_began(self) -> None:
        self.began += 1

    def flight_joined(self) -> None:
        self.joined += 1


Joined = Callable[[PeerAsking], AbstractAsyncContextManager[AsyncIterator[FlightPart]]]


@dataclass(slots=True)
class ScriptedPeers:
    """Other workers, in the order in which answers are theirs; none, unless some are given."""

    others: dict[str, Joined] = field(default_factory=dict[str, Joined])
    accounts: dict[str, Landing] = field(default_factory=dict[str, Landing])
    """What they say to who leaves."""
    asked: list[tuple[str, PeerAsking]] = field(default_factory=list[tuple[str, PeerAsking]])
    renewed: list[tuple[bytes, float]] = field(default_factory=list[tuple[bytes, float]])

    def owners(self, name: bytes) -> Sequence[str | None]:
        assert len(name) == 32
        return [*self.others, None]

    def join(self, peer: str, asking: PeerAsking) -> AbstractAsyncContextManager[AsyncIterator[FlightPart]]:
        self.asked.append((peer, asking))
        return self.others[peer](asking)

    async def settle(self, peer: str, asking_id: bytes) -> Landing | None:
        assert len(asking_id) == 16
        return self.accounts.get(peer)

    async def renew(self, name: bytes, stored_at: float) -> None:
        self.renewed.append((name, stored_at))


@dataclass(slots=True)
class CacheParts:
    """All of it."""

    secrets: str = SECRET
    """The newest first."""
    answers: KeptAnswers = field(default_factory=KeptAnswers)
    watched: Watched = field(default_factory=Watched)
    peers: ScriptedPeers = field(default_factory=ScriptedPeers)

    @property
    def caching(self) -> Caching:
        vault = Vault(Keyring.parse(self.secrets))
        return Caching(vault=vault, cache=self.answers, peers=self.peers, watch=self.watched)
