"""Members of a request that Cohere has no place for, as losses. What it has a place for is written elsewhere.

Cohere answers a member that it does not know with 422, so none is ever sent on trial
(https://docs.cohere.com/reference/errors).
"""

from __future__ import annotations

from collections.abc import Container

from isthmusd.core.chat import Extra
from isthmusd.core.request import Loss

NO_FIELD = "Cohere has no such field"

_EMPTY = frozenset({"null", "[]"})


def lose(losses: list[Loss], field: str, reason: str = NO_FIELD) -> None:
    """Note that a field was not carried."""
    losses.append(Loss(field=field, reason=reason))


def lose_extra(losses: list[Loss], extra: Extra, path: str = "", known: Container[str] = ()) -> None:
    """Note the unknown members of the object at `path`, but for those that are written or say nothing."""
    for name, text in extra:
        if name not in known and text not in _EMPTY:
            lose(losses, f"{path}.{name}" if path else name)


def native_members(extra: Extra, known: Container[str]) -> Extra:
    """Give the members that Cohere has under the same name, but for those that say nothing."""
    return tuple((name, text) for name, text in extra if name in known and text not in _EMPTY)
