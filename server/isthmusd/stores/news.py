"""What is told of a change in the store, as values that are light to load. Reading and telling is `changes.py`'s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class ChangeKind(StrEnum):
    TENANT = "tenant"
    KEY = "key"
    CREDENTIAL = "credential"
    SUBJECT = "subject"
    """Its subject is `subject_name(issuer, subject)`."""


@dataclass(frozen=True, slots=True)
class Change:
    kind: ChangeKind
    subject: str
    """The id of what changed."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed since a generation."""

    generation: int
    """To ask from the next time."""
    changes: Sequence[Change] | None
    """None: more than is still known."""
    mark: float | None = None
    """When the last change was made. The same number with another mark is of another history: a backup's, gone on."""


def subject_name(issuer: str, subject: str) -> str:
    """Name an identity in one text, so that no two share it."""
    return f"{len(issuer)} {issuer} {subject}"
