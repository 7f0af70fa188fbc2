"""Finds one top-level string member in the beginning of a JSON object whose end has not arrived yet. Complete bodies
are read by `members.py`, which also validates; this does not."""

from __future__ import annotations

import re
from itertools import islice

import msgspec

from isthmusd.core.errors import InvalidRequest

TOKEN = re.compile(rb'("(?:[^"\\]++|\\.)*+"?)([ \t\r\n]*+:)?|\[[^"\[\]{}]*+\]|[{}\[\]]', re.DOTALL)
"""Strings, each with the colon that makes it a key; lists without strings and lists in them, whole; brackets. Nothing
else decides about depth.

A string that does not end is a token too, and nothing is ever given back: else each quote in it would begin another
search to the end, and a mebibyte of them would hold the worker for minutes.
"""

OPENING = b"{["
MAX_TOKENS = 250_000
"""Twice what a mebibyte of chat has. Each costs a turn in Python: brackets alone would hold up everybody's calls."""

Found = tuple[str, tuple[int, int]]
"""A member's value, and where it stands with its quotes."""


def find_string_member(prefix: bytes, name: str) -> Found | None:
    """Give the value of a top-level string member; None if it is not there, or holds something else.

    Raises InvalidRequest for a key that repeats within the prefix, or differs from `name` only in case: a provider's
    parser may take it for the member. `name` is in lower case.
    """
    found: Found | None = None
    seen, is_value = False, False
    depth = 0
    for token in islice(TOKEN.finditer(prefix), MAX_TOKENS):
        text, colon = token.groups()
        if text is None:
            mark = token.group()
            if len(mark) > 1:
                continue
            if depth == 0 and mark != b"{":
                return None
            depth += 1 if mark in OPENING else -1
        elif depth == 1 and colon is not None:
            is_value = _is_named(_text(text), name)
            if is_value and seen:
                raise InvalidRequest(f"The request body repeats the key {name!r}: write each key once.", param=name)
            seen = seen or is_value
        elif depth == 1 and is_value:
            value = _text(text)
            found = None if value is None else (value, token.span(1))
            is_value = False
    return found


def _is_named(key: str | None, name: str) -> bool:
    if key is None or key.casefold() != name:
        return False
    if key != name:
        raise InvalidRequest(f"The key {key!r} differs from {name!r} only in case: write {name!r}.", param=key)
    return True


def _text(token: bytes) -> str | None:
    try:
        return msgspec.json.decode(token, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
