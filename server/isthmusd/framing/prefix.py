"""Finds one top-level string member in the beginning of a JSON object whose end has not arrived yet. Complete bodies
are read by `members.py`, which also validates; this does not."""

from __future__ import annotations

import re

import msgspec

TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[{}\[\]:,]', re.DOTALL)
"""Strings and punctuation: all that decides about depth. Numbers and literals are skipped.

A string that does not end is a token too, and nothing is ever given back: else each quote in it would begin another
search to the end, and a mebibyte of them would hold the worker for minutes.
"""

OPENING, CLOSING = b"{[", b"}]"


def find_string_member(prefix: bytes, name: str) -> tuple[str, tuple[int, int]] | None:
    """Give the value of a top-level string member and its byte span, quotes included; None if it is not there."""
    depth, key, after_colon = 0, None, False
    for token in TOKEN.finditer(prefix):
        mark = token.group()
        if mark[:1] == b'"' and depth == 1:
            text = _text(mark)
            if after_colon and key == name and text is not None:
                return text, token.span()
            key = key if after_colon else text
        elif mark in OPENING:
            if depth == 0 and mark != b"{":
                return None
            depth += 1
        elif mark in CLOSING:
            depth -= 1
        elif depth == 1:
            after_colon = mark == b":"
    return None


def _text(token: bytes) -> str | None:
    try:
        return msgspec.json.decode(token, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
