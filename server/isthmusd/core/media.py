"""Images and files that a chat request names by URL, for targets that take bytes only: which ones, and how their bytes
come into the request. Fetching is `upstream/media.py`'s; what a target fetches itself is its profile's `fetches`.

`data:` URLs are read here: most dialects take inline content apart already, and leave those of rarer forms.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import unquote, unquote_to_bytes

from isthmusd.core.chat import ChatRequest, FilePart, ImagePart, Part
from isthmusd.core.errors import InvalidRequest, UnsupportedFeature
from isthmusd.core.profile import Profile

CODE = "invalid_media"
BUCKETS = frozenset({"s3", "gs"})
"""Schemes of clouds' storage."""
MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypheic", "image/heic"),
    (0, b"%PDF-", "application/pdf"),
)
"""Offset and bytes by which a type is known, whatever a server calls it."""
RECOGNISABLE = frozenset(kind for _, _, kind in MAGIC)
GENERIC = frozenset(
    {"", "application/octet-stream", "binary/octet-stream", "application/download", "application/x-download"}
)
"""Types that say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemotePart:
    """A part whose bytes must be fetched."""

    url: str
    kind: str
    """`image` or `file`."""
    place: str
    """`messages[0].content[1]`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a URL gave."""

    content: bytes
    content_type: str | None = None
    """As its server says."""


Held = Mapping[str, Fetched]
"""By URL."""


def remote_parts(request: ChatRequest, profile: Profile) -> tuple[RemotePart, ...]:
    """Find the parts whose URL the target does not fetch. URLs of other schemes are the dialect's business."""
    found: list[RemotePart] = []
    for message_index, message in enumerate(request.messages):
        for index, part in enumerate(message.content or ()):
            match part:
                case ImagePart(url=str(url)) | FilePart(url=str(url)):
                    kind = _kind(part)
                    if _must_be_fetched(url, kind, profile):
                        found.append(RemotePart(url=url, kind=kind, place=_place(message_index, index)))
                case _:
                    pass
    return tuple(found)


def refuse_buckets(request: ChatRequest) -> None:
    """Refuse parts that lie in a cloud's storage: a target that is called with the gateway's own identity would read
    them with its rights, whoever asks. Raises UnsupportedFeature."""
    for message_index, message in enumerate(request.messages):
        for index, part in enumerate(message.content or ()):
            match part:
                case ImagePart(url=str(url)) | FilePart(url=str(url)) if _scheme(url) in BUCKETS:
                    place = _place(message_index, index)
                    raise UnsupportedFeature(
                        f"{place}: the gateway reads no {_scheme(url)}:// addresses with its own rights; send the "
                        "content as base64, or an https URL",
                        param=place,
                    )
                case _:
                    pass


def with_bytes(request: ChatRequest, profile: Profile, held: Held) -> ChatRequest:
    """Put bytes in the place of URLs that the target does not fetch, and of `data:` URLs. Raises InvalidRequest."""
    messages = list(request.messages)
    for message_index, message in enumerate(messages):
        content = message.content or ()
        parts = tuple(
            _with_bytes(part, _place(message_index, index), profile, held) for index, part in enumerate(content)
        )
        if any(part is not before for part, before in zip(parts, content, strict=True)):
            messages[message_index] = replace(message, content=parts)
    same = all(message is before for message, before in zip(messages, request.messages, strict=True))
    return request if same else replace(request, messages=tuple(messages))


def fault(place: str, kind: str, reason: str) -> InvalidRequest:
    """Say why a part's content cannot be used, and what to do instead."""
    return InvalidRequest(f"{place}: the {kind} {reason}; send its content as base64 instead", param=place, code=CODE)


def _with_bytes(part: Part, place: str, profile: Profile, held: Held) -> Part:
    match part:
        case ImagePart(url=str(url)) | FilePart(url=str(url)):
            kind = _kind(part)
            if _scheme(url) == "data":
                return _embedded(part, _read_data_url(url, kind, place), kind, place)
            if url in held and _must_be_fetched(url, kind, profile):
                return _embedded(part, held[url], kind, place)
            return part
        case _:
            return part


def _embedded(part: ImagePart | FilePart, fetched: Fetched, kind: str, place: str) -> Part:
    mime_type = _type_of(fetched, kind, place)
    data = base64.b64encode(fetched.content).decode()
    return replace(part, url=None, data_base64=data, mime_type=mime_type)


def _type_of(fetched: Fetched, kind: str, place: str) -> str:
    """Tell the media type: by the content where it is known, else as it was declared. Raises InvalidRequest."""
    content = fetched.content
    declared = (fetched.content_type or "").partition(";")[0].strip().lower()
    if not content:
        raise fault(place, kind, "is empty")
    known = next((name for at, magic, name in MAGIC if content.startswith(magic, at)), None)
    if known is None and declared in RECOGNISABLE:
        raise fault(place, kind, f"is said to be {declared}, which its content is not")
    mime_type = known or (_guess(content) if declared in GENERIC else declared)
    if mime_type is None or not _FITS[kind](mime_type):
        raise fault(place, kind, f"is of a type that cannot be used as one ({_shown(mime_type or 'unknown')})")
    return mime_type


def _guess(content: bytes) -> str | None:
    try:
        return None if "\0" in content.decode() else "text/plain"
    except UnicodeDecodeError:
        return None


_FITS: Mapping[str, Callable[[str], bool]] = {
    "image": lambda mime_type: mime_type.startswith("image/"),
    "file": lambda mime_type: "/" in mime_type,
}


def _read_data_url(url: str, kind: str, place: str) -> Fetched:
    """Read `data:[<type>][;<parameter>...][;base64],<data>`: RFC 2397."""
    head, comma, data = url[len("data:") :].partition(",")
    words = [word.strip() for word in head.split(";")]
    declared = words[0].lower() or None
    if not comma:
        raise fault(place, kind, "is no valid data: URL")
    if words[-1].lower() != "base64":
        return Fetched(content=unquote_to_bytes(data), content_type=declared or "text/plain")
    try:
        content = base64.b64decode("".join(unquote(data).split()), validate=True)
    except (binascii.Error, ValueError):
        raise fault(place, kind, "is a data: URL whose base64 is not valid") from None
    return Fetched(content=content, content_type=declared if declared != "base64" else None)


def _must_be_fetched(url: str, kind: str, profile: Profile) -> bool:
    match _scheme(url):
        case "https":
            is_fetched = kind in profile.fetches
        case "http":
            is_fetched = kind in profile.fetches and profile.fetches_plain_http
        case _:
            return False
    return not is_fetched and not url.startswith(profile.reads)


def _kind(part: ImagePart | FilePart) -> str:
    match part:
        case ImagePart():
            return "image"
        case FilePart():
            return "file"


def _scheme(url: str) -> str:
    return url.partition(":")[0].strip().lower()


def _place(message: int, part: int) -> str:
    return f"messages[{message}].content[{part}]"


def _shown(text: str) -> str:
    return "".join(letter for letter in text[:80] if letter.isascii() and letter.isprintable())
