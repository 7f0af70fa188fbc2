"""A kept stream, taken apart into its events and put together to blocks. What its events say is read elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from isthmusd.core.errors import Garbled, UnsupportedFeature
from isthmusd.framing.canonical import Exact, read_exact
from isthmusd.framing.sse import SseEvent, SseReader

BLOCK_BYTES = 16_384
"""Events are kept together up to this size: to write each on its own costs more than to make it."""
ENDS = (b"\n\n", b"\r\n\r\n")
"""How events end, in all but name."""


def events_of(pieces: Sequence[bytes]) -> list[SseEvent]:
    """Give the events of a stream, comments too; their bytes together are those of the pieces."""
    stream = b"".join(pieces)
    # What is kept was within the limits of its relay.
    reader = SseReader(limit=len(stream))
    events = reader.feed(stream)
    done = sum(len(event.raw) for event in events)
    if done < len(stream):
        rest = stream[done:]
        events.append(reader.close() or SseEvent(b"", rest))
    return events


def compacted(pieces: Sequence[bytes]) -> Iterator[bytes]:
    """Give a stream in blocks, each of which ends where an event does."""
    if all(piece.endswith(ENDS) and len(piece) <= BLOCK_BYTES for piece in pieces):
        # As nearly all are: no event has to be looked for.
        return blocks(pieces)
    return blocks(event.raw for event in events_of(pieces))


def blocks(events: Iterable[bytes]) -> Iterator[bytes]:
    """Join events to blocks; one that is longer than a block stays by itself."""
    block: list[bytes] = []
    size = 0
    for event in events:
        if block and size + len(event) > BLOCK_BYTES:
            yield b"".join(block)
            block, size = [], 0
        block.append(event)
        size += len(event)
    if block:
        yield b"".join(block)


def members_of(json: bytes) -> dict[str, Exact]:
    """Read a JSON object. Raises Garbled."""
    try:
        value = read_exact(json)
    except (ValueError, RecursionError) as error:
        raise garbled() from error
    match value:
        case dict():
            return value
        case _:
            raise garbled()


def garbled() -> Garbled:
    """Make the error for a kept answer that is not what its format says."""
    return Garbled("The answer that was kept is not what OpenAI's format says; try again.")


def unfaithful() -> UnsupportedFeature:
    """Make the error for an answer of which another form could say something else."""
    return UnsupportedFeature("This answer cannot be given in another form.")
