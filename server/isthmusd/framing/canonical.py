"""JSON in one form: equal texts for equal values, whatever the order of names and the spacing. It judges no content.

Numbers are their text: a seed of 23 digits is no other seed, and whether 1 and 1.0 are the same is for providers.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import msgspec


def canonical_object(text: bytes, without: Collection[str]) -> bytes | None:
    """Write a JSON object in canonical form, without some of its members. None: readers may differ in what it means,
    because a name repeats, a text is no Unicode, or it is nested too deep."""
    try:
        members = json.loads(text, parse_int=_number, parse_float=_number, object_pairs_hook=_members)
        for name in without:
            members.pop(name, None)
        return msgspec.json.encode(members, order="deterministic")
    except (ValueError, RecursionError):
        return None


def _number(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name repeats")
    return members
