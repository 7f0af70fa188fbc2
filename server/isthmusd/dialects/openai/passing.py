"""Whether a chat's bytes can pass to a target of the same format, or its messages must be written anew for it. Members
beside the messages are `fitting.py`.

It runs for every passed chat, so a profile that wants nothing changed costs a few comparisons, and one that does a
search of the text; only a text that has the word is parsed.
"""

from __future__ import annotations

import msgspec

from isthmusd.core.profile import EarlierThinking, Profile
from isthmusd.core.request import Peeked

_NULL = msgspec.Raw(b"null")
_TAKES_ANY_TEXT = frozenset({EarlierThinking.REASONING_CONTENT, EarlierThinking.BLOCKS})


class _Message(msgspec.Struct, gc=False):
    role: str | None = None
    name: msgspec.Raw = _NULL
    reasoning_content: msgspec.Raw = _NULL
    thinking_blocks: msgspec.Raw = _NULL


class _Link(msgspec.Struct, gc=False):
    url: str | None = None


class _Part(msgspec.Struct, gc=False):
    image_url: _Link | str | None = None


class _Illustrated(msgspec.Struct, gc=False):
    content: list[_Part] | str | None = None


_messages = msgspec.json.Decoder(list[_Message]).decode
_illustrated = msgspec.json.Decoder(list[_Illustrated]).decode


def can_pass(body: bytes, peeked: Peeked, profile: Profile) -> bool:
    """Tell whether the target takes the messages as they are. What is no sound message is the target's to judge."""
    if (
        profile.accepts_developer_role
        and profile.accepts_message_names
        and profile.earlier_thinking in _TAKES_ANY_TEXT
        and "image" in profile.fetches
    ):
        return True
    try:
        return not (_has_wrong_message(body, peeked, profile) or _has_link(body, peeked, profile))
    except (msgspec.ValidationError, RecursionError):
        return True


def _has_wrong_message(body: bytes, peeked: Peeked, profile: Profile) -> bool:
    developer = not profile.accepts_developer_role and b'"developer"' in body
    named = not profile.accepts_message_names and b'"name"' in body
    thoughtful = profile.earlier_thinking not in _TAKES_ANY_TEXT and (
        b'"reasoning_content"' in body or b'"thinking_blocks"' in body
    )
    if not (developer or named or thoughtful):
        return False
    return any(
        (developer and message.role == "developer")
        or (named and _is_given(message.name))
        or (thoughtful and (_is_given(message.reasoning_content) or _is_given(message.thinking_blocks)))
        for message in _messages(_text_of_messages(body, peeked))
    )


def _has_link(body: bytes, peeked: Peeked, profile: Profile) -> bool:
    if "image" in profile.fetches or b'"image_url"' not in body:
        return False
    return any(
        _is_link(part.image_url)
        for message in _illustrated(_text_of_messages(body, peeked))
        if isinstance(message.content, list)
        for part in message.content
    )


def _text_of_messages(body: bytes, peeked: Peeked) -> bytes:
    start, end = peeked.spans["messages"]
    return body[start:end]


def _is_given(raw: msgspec.Raw) -> bool:
    return bytes(raw) != b"null"


def _is_link(image: _Link | str | None) -> bool:
    match image:
        case str(url) | _Link(url=str(url)):
            return not url.startswith("data:")
        case _:
            return False
