"""Parts of a message as content blocks. Turns around them are `messages.py`.

Source: https://platform.claude.com/docs/en/api/messages; documents:
https://platform.claude.com/docs/en/build-with-claude/pdf-support; files by id:
https://platform.claude.com/docs/en/build-with-claude/files
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from isthmusd.core.chat import (
    AudioPart,
    FilePart,
    ImagePart,
    Part,
    RawPart,
    RefusalPart,
    TextPart,
    ThinkingPart,
)
from isthmusd.core.profile import Profile
from isthmusd.dialects.anthropic.notes import NO_SUCH_FIELD, Notes
from isthmusd.framing.fields import drop_none

Block = dict[str, object]

FILES_BETA = "files-api-2025-04-14"

_CACHE = ("cache_control",)
_TEXT_MEMBERS = ("cache_control", "citations")
_IMAGE_MEMBERS = ("cache_control", "transformations")
_DOCUMENT_MEMBERS = ("cache_control", "citations", "context", "title")

_NATIVE_BLOCKS = frozenset(
    {
        "compaction",
        "container_upload",
        "document",
        "image",
        "mcp_tool_use",
        "redacted_thinking",
        "search_result",
        "server_tool_use",
        "text",
        "thinking",
        "tool_reference",
        "tool_result",
        "tool_use",
    }
)
_RESULT = "_tool_result"

_IMAGE_TYPES = {
    "image/jpeg": "image/jpeg",
    "image/jpg": "image/jpeg",
    "image/png": "image/png",
    "image/gif": "image/gif",
    "image/webp": "image/webp",
}
_PDF = "application/pdf"
_MAGIC = {
    "iVBORw0KGgo": "image/png",
    "/9j/": "image/jpeg",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
    "JVBERi": _PDF,
}
"""How base64 of the known types begins."""
_TEXT_TYPES = frozenset(
    {
        "application/json",
        "application/javascript",
        "application/x-javascript",
        "application/xml",
        "application/yaml",
        "application/x-yaml",
        "application/toml",
        "application/sql",
    }
)
"""Read as plain text, beside `text/*`."""
_SUFFIXES = {"pdf": _PDF, "txt": "text/plain", "md": "text/markdown", "csv": "text/csv", "json": "application/json"}


class _Kind(msgspec.Struct):
    type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartWriter:
    """Writes the parts of one request."""

    profile: Profile
    notes: Notes

    def blocks(self, content: Sequence[Part], path: str, first: int = 0) -> list[Block | msgspec.Raw]:
        """Write parts of a message's content, the first of them at place `first`; what cannot be written is noted
        and left out."""
        written = (self._block(part, f"{path}[{place}]") for place, part in enumerate(content, first))
        return [block for block in written if block is not None]

    def text(self, text: str, path: str, extra: Block | None = None) -> Block | None:
        """Write a text block; Anthropic refuses one without a visible character."""
        if text.strip():
            return {"type": "text", "text": text, **(extra or {})}
        if text or extra:
            self.notes.lose(path, "Anthropic refuses text blocks without visible text")
        return None

    def _block(self, part: Part, path: str) -> Block | msgspec.Raw | None:
        match part:
            case TextPart(text=text, extra=extra):
                kept = self.notes.carried(extra, _TEXT_MEMBERS, path, NO_SUCH_FIELD)
                return self.text(text, path, drop_none({}, kept))
            case RefusalPart(text=text, extra=extra):
                kept = self.notes.carried(extra, _CACHE, path, NO_SUCH_FIELD)
                return self.text(text, path, drop_none({}, kept))
            case ImagePart():
                return self._image(part, path)
            case FilePart():
                return self._file(part, path)
            case ThinkingPart():
                return self._thinking(part, path)
            case AudioPart():
                self.notes.lose(path, "Anthropic takes no audio")
                return None
            case RawPart(json=json):
                return self._raw(msgspec.Raw(json), path)

    def _image(self, part: ImagePart, path: str) -> Block | None:
        if part.detail not in (None, "auto"):
            self.notes.lose(f"{path}.image_url.detail", "Anthropic decides the resolution itself")
        source = self._image_source(part, path)
        kept = self.notes.carried(part.extra, _IMAGE_MEMBERS, path, NO_SUCH_FIELD)
        return None if source is None else drop_none({"type": "image", "source": source}, kept)

    def _image_source(self, part: ImagePart, path: str) -> Block | None:
        if part.data_base64 is not None:
            # Anthropic refuses images that are not what they are said to be; OpenAI looks at the content only.
            mime_type = _IMAGE_TYPES.get((_sniffed(part.data_base64) or part.mime_type or "").lower())
            if mime_type is not None:
                return {"type": "base64", "media_type": mime_type, "data": part.data_base64}
            self.notes.lose(path, "Anthropic takes JPEG, PNG, GIF and WebP images only")
            return None
        return self._elsewhere(part.file_id, part.url, "image", path)

    def _elsewhere(self, file_id: str | None, url: str | None, kind: str, path: str) -> Block | None:
        """Point at what does not lie in the request."""
        if file_id is not None:
            self.notes.need(FILES_BETA)
            return {"type": "file", "file_id": file_id}
        if url is not None and kind in self.profile.fetches and not url.startswith("data:"):
            return {"type": "url", "url": url}
        self.notes.lose(path, f"the {kind} has neither data, nor an id, nor a URL that the provider fetches")
        return None

    def _file(self, part: FilePart, path: str) -> Block | None:
        data, mime_type = part.data_base64, _mime_type(part)
        if data is not None and mime_type in _IMAGE_TYPES:
            image = ImagePart(data_base64=data, mime_type=mime_type, extra=part.extra)
            return self._image(image, path)
        source = self._document_source(data, mime_type, part, path)
        kept = self.notes.carried(part.extra, _DOCUMENT_MEMBERS, path, NO_SUCH_FIELD)
        if source is None:
            return None
        return drop_none({"type": "document", "source": source}, kept) | (
            {"title": part.filename} if part.filename and "title" not in dict(kept) else {}
        )

    def _document_source(self, data: str | None, mime_type: str, part: FilePart, path: str) -> Block | None:
        if data is None:
            return self._elsewhere(part.file_id, part.url, "file", path)
        if mime_type == _PDF:
            return {"type": "base64", "media_type": _PDF, "data": data}
        if mime_type.startswith("text/") or mime_type in _TEXT_TYPES:
            text = _decoded(data)
            if text is not None:
                return {"type": "text", "media_type": "text/plain", "data": text}
        self.notes.lose(path, "Anthropic takes PDF and UTF-8 text documents only")
        return None

    def _thinking(self, part: ThinkingPart, path: str) -> Block | None:
        self.notes.carried(part.extra, (), path, NO_SUCH_FIELD)
        if part.redacted_data is not None:
            return {"type": "redacted_thinking", "data": part.redacted_data}
        if part.signature is not None:
            return {"type": "thinking", "thinking": part.text, "signature": part.signature}
        self.notes.lose(path, "Anthropic takes thinking back only with its signature")
        return None

    def _raw(self, raw: msgspec.Raw, path: str) -> msgspec.Raw | None:
        kind = kind_of_block(raw)
        if kind in _NATIVE_BLOCKS or kind.endswith(_RESULT):
            return raw
        self.notes.lose(path, f"Anthropic has no content of type {kind!r}")
        return None


def kind_of_block(raw: msgspec.Raw) -> str:
    """Give the `type` of a block, or nothing if it has none."""
    try:
        return msgspec.json.decode(raw, type=_Kind).type
    except msgspec.DecodeError:
        return ""


def _mime_type(part: FilePart) -> str:
    """Tell a file's type from what is known of it."""
    suffix = (part.filename or "").rpartition(".")[2].lower()
    told = part.mime_type or _SUFFIXES.get(suffix) or _sniffed(part.data_base64 or "") or ""
    return told.partition(";")[0].strip().lower()


def _sniffed(data: str) -> str | None:
    return next((mime_type for start, mime_type in _MAGIC.items() if data.startswith(start)), None)


def _decoded(data: str) -> str | None:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
