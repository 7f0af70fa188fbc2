"""Top-level members of a JSON object and where their values lie, in one parse. It does not look inside the values.

The parse is msgspec's: it validates all of the text and gives each value as a view of the body. Walking from view to
view then yields the byte spans without scanning the values again, which keeps a 50 MiB body cheap.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from isthmusd.core.errors import InvalidRequest

Span = tuple[int, int]
"""First byte of a value, and the byte after its last."""

ACTED_ON = frozenset({"model", "messages", "prompt", "input", "stream", "stream_options", "temperature", "seed"})
"""Keys that decisions read. Parsers that ignore case would take `Model` for one of them, so it is refused."""
MAX_MEMBERS = 10_000
"""Each costs a turn in Python: millions of them would hold up everybody's calls for seconds."""
MAX_QUOTES = 300_000
"""Of names and texts, at all depths: 150,000 of them. What is counted in a moment bounds what it takes to read a body,
to translate it, and the memory for its parts; conversations of thousands of turns have a third of it."""

_KEY = re.compile(rb'[ \t\r\n]*"([^"\\]*+(?:\\.[^"\\]*+)*+)"[ \t\r\n]*:[ \t\r\n]*')
"""A key up to its value; possessive, so that no key makes it search."""
_AFTER = re.compile(rb"[ \t\r\n]*([,}])")
_DECODER = msgspec.json.Decoder(dict[str, msgspec.Raw])
_KEY_DECODER = msgspec.json.Decoder(str)
_UTF8_SLICE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """The members of one object: parsed lazily, each value a view of the text."""

    values: Mapping[str, msgspec.Raw]
    spans: dict[str, Span]


def read_members(body: bytes) -> Members:
    """Read a request body. Raises InvalidRequest unless it is exactly one JSON object whose keys do not repeat."""
    _refuse_many(body)
    try:
        _check_utf8(body)
        values = _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidRequest("The request body must be a JSON object: send {...} with the fields.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(_advice(body, error)) from error
    if len(values) > MAX_MEMBERS:
        raise InvalidRequest(f"The request body has more than {MAX_MEMBERS} fields: send fewer.")
    spans = _walk(body, values)
    for key in spans:
        folded = key.casefold()
        if folded in ACTED_ON and key != folded:
            raise InvalidRequest(f"The key {key!r} differs from {folded!r} only in case: write {folded!r}.", param=key)
    return Members(values=values, spans=spans)


def find_spans(text: bytes) -> dict[str, Span]:
    """Give the spans of the members of a valid JSON object. Raises InvalidRequest if a key repeats."""
    return _walk(text, _DECODER.decode(text))


def splice(
    body: bytes,
    spans: Mapping[str, Span],
    replacements: Mapping[str, bytes],
    insertions: Sequence[tuple[str, bytes]] = (),
) -> bytes:
    """Replace the values of members that exist and add members at the end; every other byte stays as it is."""
    if not replacements and not insertions:
        return body
    pieces: list[bytes] = []
    done = 0
    for name in sorted(replacements, key=lambda name: spans[name]):
        start, end = spans[name]
        pieces += (body[done:start], replacements[name])
        done = end
    if insertions:
        # A valid object ends in its brace; the new members go right before it, after any spaces that are there.
        brace = body.rindex(b"}")
        pieces.append(body[done:brace])
        done = brace
        for place, (name, value) in enumerate(insertions):
            comma = b"," if spans or place else b""
            pieces.append(comma + msgspec.json.encode(name) + b":" + value)
    pieces.append(body[done:])
    return b"".join(pieces)


def _refuse_many(body: bytes) -> None:
    """Refuse a body of more parts than any request has, before each of them costs something.

    A quote within a text has a backslash before it. So has the last one of a text that ends in a backslash, which only
    lets a text count for one quote in place of two.
    """
    quotes = body.count(b'"')
    if quotes > MAX_QUOTES and quotes - body.count(b'\\"') > MAX_QUOTES:
        raise InvalidRequest(f"The request body has more than {MAX_QUOTES // 2} names and texts: send fewer parts.")


def _check_utf8(body: bytes) -> None:
    """Raise UnicodeDecodeError; in slices, since one decoded copy of a large body may be four times its size."""
    if body.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(body), _UTF8_SLICE):
        decoder.decode(body[start : start + _UTF8_SLICE])
    decoder.decode(b"", final=True)


def _walk(body: bytes, values: Mapping[str, msgspec.Raw]) -> dict[str, Span]:
    spans: dict[str, Span] = {}
    place = _KEY.match(body, body.index(b"{") + 1)
    while place is not None:
        written, start = place[1], place.end()
        key = _KEY_DECODER.decode(b'"%b"' % written) if b"\\" in written else written.decode()
        if key in spans:
            raise _repeated(key)
        raw = values[key]
        end = start + len(memoryview(raw))
        after = _AFTER.match(body, end)
        # The mapping holds the last value of a repeated key, so a mismatch here means a second one follows.
        if after is None or not body.startswith(raw, start):
            raise _repeated(key)
        spans[key] = (start, end)
        place = _KEY.match(body, after.end()) if after[1] == b"," else None
    return spans


def _repeated(key: str) -> InvalidRequest:
    return InvalidRequest(f"The request body repeats the key {key!r}: write each key once.", param=key)


def _advice(body: bytes, error: Exception) -> str:
    if not body.strip():
        return "The request body is empty: send a JSON object."
    if isinstance(error, UnicodeDecodeError):
        return "The request body is not valid UTF-8: encode the JSON as UTF-8."
    if isinstance(error, RecursionError):
        return "The request body is nested too deeply: flatten it."
    if body.startswith(codecs.BOM_UTF8):
        return "The request body starts with a byte order mark: send the JSON without it."
    if b"\0" in body:
        return "The request body holds NUL bytes: send JSON as UTF-8 text."
    reason = str(error).removeprefix("JSON is malformed: ")
    return f"The request body is not valid JSON ({reason}): send a JSON object."
