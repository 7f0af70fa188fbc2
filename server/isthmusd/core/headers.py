"""Header lookup on the form that every layer passes around. Which headers travel is `pipeline/headers.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

Headers = Mapping[str, Sequence[str]]
"""Lower-case name to its values in order of arrival."""


def collect_headers(pairs: Iterable[tuple[str, str]]) -> Headers:
    """Group (name, value) pairs by lower-case name."""
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name.lower(), []).append(value)
    return grouped


def first(headers: Headers, name: str) -> str | None:
    """Give the first value of a header, or None."""
    values = headers.get(name)
    return values[0] if values else None
