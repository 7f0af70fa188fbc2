"""Cached answers in Valkey or Redis, one server or a cluster, for several nodes. Deadlines are not its business.

Each command is about one key, so that it does not matter which server of a cluster has it. Whose an entry is stands
before its sealed bytes: only `clear` and `stats` look for that, and they may take their time. How it is connected to is
`valkey_client.py`'s.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from isthmusd.core.entry import CacheItem
from isthmusd.stores.caching import AHEAD_S, CacheFault, CacheStats, Cleared, Fault
from isthmusd.stores.valkey_client import ValkeyClient

PREFIX = "isthmus:1:e:"
"""Before the name of an entry, in hex. The number is the version of what is kept under it."""
NOTES = "isthmus:1:cleared"
NOTE_COUNT = 1000
NOTES_S = 86_400
EARLIEST = "0-0"
"""The mark before all notes."""
UNSURE = 4096
"""Names of which it is remembered that they may be written after they were cleared."""

VERSION = 1
HEAD = struct.Struct(">BddII")
"""Version, when it was stored, when it expires, how long its tenant's and its model's names are; those, then what is
sealed."""
NAMES = 512
"""So much of the names is read with the head."""
LONGEST_NAMES = 1024 * 1024
LONGEST = 33 * 1024 * 1024
"""Bytes of an entry with its head: no longer ones wait to be written (`patient_cache.py`). What is there may be longer:
others may have put it there."""

CONNECTIONS = 32
"""Twice what lookups take at once (`patient_cache.py`): where those hang, others still get through."""
SCAN_COUNT = 500
AT_ONCE = 64
"""Entries that `clear` and `stats` ask for at the same time."""


class ValkeyCache:
    """A CacheStore in a server. Nothing is connected before the first use. One event loop uses it."""

    def __init__(self, url: str, now: Callable[[], float]) -> None:
        self._client = ValkeyClient(url)
        self._now = now
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._mark = EARLIEST
        self._notes: deque[Cleared] = deque(maxlen=NOTE_COUNT)
        self._unsure: dict[bytes, CacheItem] = {}
        """What was written, or may be yet, and may have been cleared. What is sealed is left out."""

    async def load(self) -> None:
        """Load the driver, in a thread."""
        await self._client.load()

    async def get(self, name: bytes) -> CacheItem | None:
        """Give an entry that has not expired. What is none is removed."""
        key = _key(name)
        try:
            # One byte more than an entry may have. As quick as to ask for all of it, which may be anything.
            value = await self._ask(lambda client: client.getrange(key, 0, LONGEST))
            item = _read(name, value) if value else None
        except CacheFault as fault:
            if fault.kind is Fault.CORRUPT:
                await self._ask(lambda client: client.unlink(key))
            raise
        return item if item is not None and item.expires_at > self._now() else None

    async def put(self, item: CacheItem) -> None:
        """Keep an entry, unless it was cleared since it was stored; the server forgets it when it expires."""
        await self.put_all((item,))

    async def put_all(self, items: Sequence[CacheItem]) -> None:
        """Keep several, one after the other: in a cluster they are on different servers. One that cannot be written
        down fails after the others."""
        written: dict[bytes, CacheItem] = {}
        refused: CacheFault | None = None
        try:
            for item in items:
                left_ms = int((item.expires_at - self._now()) * 1000)
                try:
                    key, value = _key(item.name), _written(item)
                except CacheFault as fault:
                    refused = fault
                    continue
                if left_ms > 0:
                    written[item.name] = replace(item, sealed=b"")
                    await self._set(key, value, left_ms)
            if written:
                await self._recall(written)
        except BaseException:
            # The server may do it yet.
            self._unsure = dict(deque((self._unsure | written).items(), maxlen=UNSURE))
            raise
        if refused is not None:
            raise refused

    async def clear(self, tenant: str | None, model: str | None) -> int:
        """Remove entries, all of them looked at; the note of it comes first. Where there is no room for it, removing
        makes some; what was written before the note is then looked for once more."""
        count = 0
        try:
            await self._tell(tenant, model)
        except CacheFault as fault:
            if fault.kind is not Fault.FULL:
                raise
            count = await self._remove(tenant, model)
            await self._tell(tenant, model)
        return count + await self._remove(tenant, model)

    async def cleared_since(self, mark: str | None) -> tuple[list[Cleared], str]:
        """Give the notes after a mark, and the next mark. Notes are kept for a day."""
        if mark is None:
            last = await self._ask(lambda client: client.xrevrange(NOTES, count=1))
            return [], last[0][0].decode() if last else EARLIEST
        # The newest first, as whoever may write there could write any number of them.
        rows = await self._ask(lambda client: client.xrevrange(NOTES, min=f"({mark}", count=NOTE_COUNT))
        notes = [note for _, fields in reversed(rows) if (note := _note(fields)) is not None]
        return notes, rows[0][0].decode() if rows else mark

    async def _tell(self, tenant: str | None, model: str | None) -> None:
        """Leave a note of a clearing."""
        note = {"tenant": _told(tenant), "model": _told(model), "at": repr(self._now())}
        await self._ask(lambda client: client.xadd(NOTES, note, maxlen=NOTE_COUNT, approximate=True))
        await self._ask(lambda client: client.expire(NOTES, NOTES_S))

    async def _remove(self, tenant: str | None, model: str | None) -> int:
        count = 0
        async for batch in self._found(tenant, model):
            gone = await asyncio.gather(*(self._ask(lambda client, key=key: client.unlink(key)) for key, _ in batch))
            count += sum(gone)
        return count

    async def _set(self, key: str, value: bytes, left_ms: int) -> None:
        await self._ask(lambda client: client.set(key, value, px=left_ms))

    async def _recall(self, written: dict[bytes, CacheItem]) -> None:
        """Remove what was written after it had been cleared. Who clears leaves a note before looking for entries: what
        is there before we look for notes is found by them, or their note by us."""
        notes, self._mark = await self.cleared_since(self._mark)
        self._notes.extend(notes)
        doubtful = self._unsure | written
        oldest = min(item.stored_at for item in doubtful.values())
        latest = self._now() + AHEAD_S
        recent = [note for note in self._notes if oldest < note.at <= latest]
        for item in doubtful.values():
            if any(note.covers(item) for note in recent):
                key = _key(item.name)
                await self._ask(lambda client, key=key: client.unlink(key))
        self._unsure = {name: item for name, item in self._unsure.items() if doubtful.get(name) is not item}

    async def stats(self, tenant: str | None, model: str | None) -> CacheStats:
        """Count what has not expired."""
        count = size = 0
        async for batch in self._found(tenant, model):
            count += len(batch)
            size += sum(sealed for _, sealed in batch)
        return CacheStats(count=count, size=size)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _ask(self, question: Callable[[Any], Awaitable[Any]]) -> Any:
        """Ask, with one of a few connections."""
        async with self._turns, self._client.used() as client:
            return await question(client)

    async def _found(self, tenant: str | None, model: str | None) -> AsyncIterator[list[tuple[bytes, int]]]:
        """Give the keys of entries with the sizes of what is sealed, a few at a time."""
        async for keys in self._keys():
            looked = await asyncio.gather(*(self._look(key) for key in keys))
            now = self._now()
            yield [
                (key, size)
                for key, (item, size) in zip(keys, looked, strict=True)
                if item is not None
                and item.expires_at > now
                and tenant in (None, item.tenant)
                and model in (None, item.model)
            ]

    async def _keys(self) -> AsyncIterator[list[bytes]]:
        keys: list[bytes] = []
        async with self._client.used() as client:
            async for key in client.scan_iter(match=f"{PREFIX}*", count=SCAN_COUNT):
                keys.append(key)
                if len(keys) == AT_ONCE:
                    yield keys
                    keys = []
        yield keys

    async def _look(self, key: bytes) -> tuple[CacheItem | None, int]:
        """Read whose an entry is, without what is sealed, whose size comes with it. None: it is no entry."""
        try:
            start = await self._ask(lambda client: client.getrange(key, 0, HEAD.size + NAMES - 1))
            length = _head_length(start)
            if length > len(start):
                start = await self._ask(lambda client: client.getrange(key, 0, length - 1))
            item = _read(b"", start)
        except CacheFault as fault:
            if fault.kind is not Fault.CORRUPT:
                raise
            return None, 0
        return item, await self._ask(lambda client: client.strlen(key)) - length


def _key(name: bytes) -> str:
    return PREFIX + name.hex()


def _written(item: CacheItem) -> bytes:
    """Write an entry down. Raises CacheFault for one that could not be read again."""
    try:
        tenant, model = item.tenant.encode(), item.model.encode()
    except UnicodeEncodeError:
        raise CacheFault(Fault.UNREADABLE, "its names are no text") from None
    head = HEAD.pack(VERSION, item.stored_at, item.expires_at, len(tenant), len(model))
    if len(tenant) + len(model) > LONGEST_NAMES or HEAD.size + LONGEST_NAMES + len(item.sealed) > LONGEST:
        raise CacheFault(Fault.DROPPED, "the entry is too long")
    return b"".join((head, tenant, model, item.sealed))


def _head_length(value: bytes) -> int:
    """Give how long the head is, names included. Raises CacheFault where there is none."""
    if len(value) < HEAD.size or value[0] != VERSION:
        raise CacheFault(Fault.CORRUPT, "this is no entry")
    _, _, _, tenant, model = HEAD.unpack_from(value)
    if tenant + model > LONGEST_NAMES:
        raise CacheFault(Fault.CORRUPT, "these are no names")
    return HEAD.size + tenant + model


def _read(name: bytes, value: bytes) -> CacheItem:
    length = _head_length(value)
    if len(value) > LONGEST:
        raise CacheFault(Fault.CORRUPT, "this is longer than any entry")
    _, stored_at, expires_at, tenant, _ = HEAD.unpack_from(value)
    if length > len(value):
        raise CacheFault(Fault.CORRUPT, "this entry was cut")
    try:
        return CacheItem(
            name=name,
            tenant=value[HEAD.size : HEAD.size + tenant].decode(),
            model=value[HEAD.size + tenant : length].decode(),
            sealed=value[length:],
            stored_at=stored_at,
            expires_at=expires_at,
        )
    except UnicodeDecodeError:
        raise CacheFault(Fault.CORRUPT, "this is no entry") from None


def _told(wish: str | None) -> str:
    """Write a wish so that none and an empty one differ."""
    return "" if wish is None else f"={wish}"


def _note(fields: Mapping[bytes, bytes]) -> Cleared | None:
    """Read a note; None if it is none. It must not keep others from being read."""
    try:
        tenant, model = _wish(fields[b"tenant"]), _wish(fields[b"model"])
        at = float(fields[b"at"])
    except (KeyError, ValueError):
        return None
    return Cleared.read(tenant, model, at)


def _wish(told: bytes) -> str | None:
    """Read what `_told` wrote. Raises ValueError."""
    if told and not told.startswith(b"="):
        raise ValueError
    return told[1:].decode() if told else None
