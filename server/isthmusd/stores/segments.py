"""The files of a journal: their names, and how one line of them is written and read. Who writes is `journal.py`, who
reads `recording.py`: it opens nothing that is sealed, and does not load what could.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from isthmusd.core.record import Record, encode

if TYPE_CHECKING:
    from isthmusd.core.keyring import Keyring

SUFFIX = ".jsonl"
REJECTED = "rejected.jsonl"
"""Beside the segments: lines that no record can be read from."""
PURPOSE = "bodies"
NONCE_BYTES = 12
KEPT, CUT = b"kept", b"cut"
MAX_TEXT = 500
"""Characters that can be searched by: entries of Postgres' indexes have 2,704 bytes."""
MAX_COUNT = 2**63 - 1

UNWRITABLE = (ValueError, TypeError, ArithmeticError, msgspec.MsgspecError)
"""What a record with a value that no encoder takes raises."""


class Unreadable(ValueError):
    """The line holds no record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One journal file; no two processes have ever the same name for one."""

    folder: Path
    began_at: int
    """Milliseconds: when its process started."""
    pid: int
    number: int

    @property
    def path(self) -> Path:
        """Where it is; names sort by time."""
        return self.folder / f"{self.began_at:015d}-{self.pid}-{self.number:06d}{SUFFIX}"


def segments(folder: Path) -> list[Path]:
    """Give all segments of all writers, the oldest first. Raises OSError."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.name.endswith(SUFFIX))
    except FileNotFoundError:
        return []
    return [folder / name for name in names if name != REJECTED]


def owner_of_body(record_id: str, side: str) -> str:
    """Name whose body it is, `asked` or `answered`: a sealed one opens in its own place only."""
    return f"{record_id}/{side}"


def write_line(record: Record, keyring: Keyring) -> bytes:
    """Write a record as one line. Raises UNWRITABLE."""
    head = b'{"record":' + encode(record)
    bodies = record.bodies
    if bodies is None:
        return head + b"}\n"
    sealed = [
        base64.b64encode(
            keyring.seal(body, nonce=os.urandom(NONCE_BYTES), purpose=PURPOSE, owner=owner_of_body(record.id, side))
        )
        for side, body in (("asked", bodies.asked), ("answered", bodies.answered))
    ]
    # What is cut must be known without opening it.
    head = head[:-1] + b',"bodies":"%s"}' % (CUT if bodies.cut else KEPT)
    return b'%s,"asked":"%s","answered":"%s"}\n' % (head, *sealed)


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Facts(msgspec.Struct):
    """What the store searches by."""

    id: str
    started_at: float
    duration_s: float
    operation: str
    status: int
    end: str
    tenant: str | None = None
    project: str | None = None
    key_id: str | None = None
    model: str | None = None
    provider: str | None = None
    target_model: str | None = None
    usage: _Usage | None = None


class _Line(msgspec.Struct):
    record: msgspec.Raw
    asked: bytes | None = None
    answered: bytes | None = None


_read_line: Callable[[bytes], _Line] = msgspec.json.Decoder(_Line).decode
_read_facts: Callable[[msgspec.Raw], _Facts] = msgspec.json.Decoder(_Facts).decode


def read_line(line: bytes) -> dict[str, Any]:
    """Give a line's record as a row of the table `records`. Raises Unreadable."""
    try:
        whole = _read_line(line)
        facts = _read_facts(whole.record)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(str(error)) from None
    usage = facts.usage or _Usage()
    return {
        "id": _text(facts.id),
        "ended_at": facts.started_at + facts.duration_s,
        "tenant": _text(facts.tenant),
        "project": _text(facts.project),
        "key_id": _text(facts.key_id),
        "operation": _text(facts.operation),
        "model": _text(facts.model),
        "provider": _text(facts.provider),
        "target_model": _text(facts.target_model),
        "status": facts.status,
        "end": _text(facts.end),
        "prompt_tokens": _count(usage.prompt_tokens),
        "completion_tokens": _count(usage.completion_tokens),
        "data": bytes(whole.record),
        "asked": whole.asked,
        "answered": whole.answered,
    }


def _text(value: str | None) -> str | None:
    """Bound what others named, and leave out what Postgres takes in no text; the record itself keeps it."""
    return None if value is None else value[:MAX_TEXT].replace("\0", "")


def _count(value: int | None) -> int | None:
    """Providers may say any number; databases have 64 bits."""
    return None if value is None else max(0, min(value, MAX_COUNT))
