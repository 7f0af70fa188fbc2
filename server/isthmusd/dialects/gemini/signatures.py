"""What only Google knows of a message: thought signatures and parts without a form of OpenAI's. It travels through the
caller in `extra_content`, as in Google's own OpenAI-compatible API, and comes back in the next turn.

Source: https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

import msgspec

from isthmusd.core.chat import Extra, JsonText

NAME = "extra_content"

BYPASS = "skip_thought_signature_validator"
"""Gemini 3 refuses a function call without a signature. History of another model, or of a caller that dropped it, has
none; this value is what the page above gives for that case."""

_CLAUDES = re.compile(rb"\x12[\x80-\xff]*[\x00-\x7f]\x0a[\x80-\xff]*[\x00-\x7f]\x08", re.DOTALL)
_DEMANDING = re.compile(r"gemini-(?:[3-9]|\d\d|(?:pro|flash|flash-lite)-latest)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What came back."""

    signature: str | None = None
    parts: tuple[msgspec.Raw, ...] = ()


class _Google(msgspec.Struct):
    thought_signature: str | None = None
    parts: list[msgspec.Raw] | None = None


class _ExtraContent(msgspec.Struct):
    google: _Google | None = None


def keep(signature: str | None = None, part: bytes | msgspec.Raw | None = None) -> Extra:
    """Write what must come back; nothing if there is nothing."""
    google: dict[str, object] = {}
    if signature is not None:
        google["thought_signature"] = signature
    if part is not None:
        google["parts"] = [msgspec.Raw(part)]
    return ((NAME, JsonText(msgspec.json.encode({"google": google}).decode())),) if google else ()


def recall(extra: Extra) -> tuple[Kept, Extra]:
    """Read what came back; gives the other members beside it. What is not understood stays among them."""
    kept, rest = Kept(), list[tuple[str, JsonText]]()
    for name, text in extra:
        read = _read(text) if name == NAME else None
        if read is None:
            rest.append((name, text))
        else:
            kept = read
    return kept, tuple(rest)


def is_of_claude(signature: str) -> bool:
    """Tell signatures of Claude's thinking, which a conversation brings that began there; Google answers them with
    "Corrupted thought signature." (https://github.com/router-for-me/CLIProxyAPI/pull/994). Both are nested messages of
    protobuf: in Claude's the inner one begins with a number, in Google's opaque bytes."""
    try:
        head = base64.b64decode(signature[:24])
    except ValueError:
        return False
    return _CLAUDES.match(head) is not None


def demands_signatures(model: str) -> bool:
    """Tell whether a model refuses function calls without a signature."""
    return _DEMANDING.search(model) is not None


def _read(text: JsonText) -> Kept | None:
    try:
        google = msgspec.json.decode(text, type=_ExtraContent).google
    except msgspec.DecodeError:
        return None
    return None if google is None else Kept(signature=google.thought_signature, parts=tuple(google.parts or ()))
