"""Why an operator's word about a provider is refused. Failures of calls are `core/errors.py`'s."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class ConfigurationError(Exception):
    """What an operator wrote about a provider cannot be. The message names the key and holds no secret."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Finish a message about an unknown word by the known one that was probably meant."""
    names = sorted(known)
    close = get_close_matches(word, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}."
