"""Why a configuration is refused. Not the errors of calls: those are `isthmusd.core.errors`."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class SettingsError(Exception):
    """The message is for the operator's terminal: where the fault is and what to write instead; no secret."""


def closest(word: str, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """Give the known word that was probably meant."""
    return next(iter(get_close_matches(word, sorted(known), n=1, cutoff=cutoff)), None)


def nearest(word: str, known: Iterable[str], prefix: str = "") -> str:
    """Finish a message about an unknown word by the known one that was probably meant."""
    names = sorted(known)
    close = closest(word, names)
    return f"did you mean {prefix}{close}?" if close else f"known: {', '.join(names)}"
