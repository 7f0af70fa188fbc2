"""An answer as the cache keeps it, whole or streamed. What may be kept is `core/caching.py`'s."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import msgspec

from isthmusd.core.reply import Provenance
from isthmusd.core.usage import Usage

Pairs = tuple[tuple[str, str], ...]

MODEL_LENGTH = 200
"""Of a model's name beside an entry: it is the caller's text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """In which form an answer is given."""

    stream: bool
    include_usage: bool = False
    """A stream tells its usage although the wire leaves that to the caller. False where that is no question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What is known of an answer before its body."""

    form: Form
    status: int
    headers: Pairs
    """The provider's, as far as callers get them, and ours about it."""
    provenance: Provenance
    stored_at: float
    """Unix seconds: when it was complete; for one that is on its way, when it began."""
    ttl_s: int
    """How long it is kept; 0: not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A complete answer."""

    head: Head
    pieces: tuple[bytes, ...]
    """One for a whole answer; for a stream as they left, in the wire form of the served dialect."""
    usage: Usage | None

    @property
    def expires_at(self) -> float:
        """Unix seconds."""
        return self.head.stored_at + self.head.ttl_s


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheItem:
    """A sealed entry, with what its keeper must know of it."""

    name: bytes
    """32 bytes."""
    tenant: str
    model: str
    """As asked for, up to MODEL_LENGTH."""
    sealed: bytes = field(repr=False)
    stored_at: float
    """Unix seconds."""
    expires_at: float


class Unreadable(Exception):
    """What was kept is no entry that this version can read."""


NOT_OURS = (ValueError, RecursionError)
"""What msgspec raises: its own errors are ValueErrors, as is that of text which is no Unicode."""
_DECODER = msgspec.msgpack.Decoder(Entry)


def write_entry(entry: Entry) -> bytes:
    """Write an entry as bytes, to be sealed."""
    return msgspec.msgpack.encode(entry)


def read_entry(written: bytes) -> Entry:
    """Read what `write_entry` wrote. Raises Unreadable."""
    try:
        return _DECODER.decode(written)
    except NOT_OURS:
        raise Unreadable from None


FLEETING = frozenset(
    {
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
        "server-timing",
        "openai-processing-ms",
        "x-isthmus-attempts",
    }
)
FLEETING_PREFIXES = ("x-ratelimit-", "anthropic-ratelimit-")


def lasting(headers: Pairs) -> Pairs:
    """Leave out the headers that were true of the one call only that reached the provider."""
    return tuple(
        (name, value) for name, value in headers if name not in FLEETING and not name.startswith(FLEETING_PREFIXES)
    )


def kept(head: Head) -> Head:
    """Give the head under which an answer is kept."""
    provenance = replace(head.provenance, attempts=0)
    return replace(head, headers=lasting(head.headers), provenance=provenance)
