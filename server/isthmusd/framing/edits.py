"""Editing the top-level members of a JSON object in its text: values, keys and whole members. Every other byte stays as
it is. Where the members lie is `framing/members.py`, which also has the cheaper edit of values alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

import msgspec

from isthmusd.framing.members import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """What to change; a dropped member is neither renamed nor replaced, an added one must be new."""

    replaced: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])
    dropped: Set[str] = frozenset()
    added: Sequence[tuple[str, bytes]] = ()


def edit(body: bytes, spans: Mapping[str, Span], edits: Edits) -> bytes:
    """Apply edits to a valid object whose values lie at `spans`."""
    pieces: list[bytes] = []
    # `done`: the input up to here is written or skipped; `before`: where the gap before the next member begins.
    done, before, kept = 0, body.index(b"{") + 1, 0
    for name, (start, end) in sorted(spans.items(), key=lambda item: item[1]):
        if name in edits.dropped:
            pieces.append(body[done:before])
            done = end
        else:
            if not kept and done == before:
                # All members so far were dropped: this one leads, without its comma.
                done = body.index(b",", before) + 1
            kept += 1
            if name in edits.renamed:
                opening = body.index(b'"', before)
                pieces += (body[done:opening], msgspec.json.encode(edits.renamed[name]))
                done = body.rindex(b'"', opening, start) + 1
            if name in edits.replaced:
                pieces += (body[done:start], edits.replaced[name])
                done = end
        before = end
    brace = body.rindex(b"}")
    pieces.append(body[done:brace])
    for name, value in edits.added:
        pieces.append((b"," if kept else b"") + msgspec.json.encode(name) + b":" + value)
        kept += 1
    pieces.append(body[brace:])
    return b"".join(pieces)
