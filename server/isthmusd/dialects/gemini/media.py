"""Kinds and places of media: MIME types, and the URLs that Google's servers read themselves. It fetches nothing.

Source: https://ai.google.dev/gemini-api/docs/file-input-methods
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_FILES = re.compile(r"(?:https://generativelanguage\.googleapis\.com/v[\w.]+/)?files/[\w-]+\Z")
_FILES_URL = "https://generativelanguage.googleapis.com/v1beta/"
_OWN = re.compile(r"gs://|https://(?:www\.|m\.)?(?:youtube\.com/|youtu\.be/)")

_BY_ENDING = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
    "xml": "text/xml",
    "json": "application/json",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "aac": "audio/aac",
    "mp4": "video/mp4",
    "mov": "video/mov",
    "mpeg": "video/mpeg",
    "webm": "video/webm",
}
_ALIASES = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "audio/x-wav": "audio/wav"}
"""Google refuses them by the other names: "Unsupported MIME type: image/jpg"."""
_BY_AUDIO_FORMAT = {"m4a": "audio/mp4", "opus": "audio/ogg", "pcm16": "audio/pcm"}


def own_uri(url: str) -> str | None:
    """Give the URI of a file that Google's servers have: its files API, its storage, YouTube; None for others."""
    if _FILES.match(url):
        return url if "://" in url else _FILES_URL + url
    return url if _OWN.match(url) else None


def mime_type_of(name: str | None) -> str | None:
    """Guess a MIME type by the ending of a file's name or URL."""
    path = urlsplit(name).path if name is not None and "://" in name else name or ""
    return _BY_ENDING.get(path.rpartition(".")[2].lower())


def known_mime_type(mime_type: str | None) -> str | None:
    """Give the name that Google knows a type by, without its parameters."""
    name = (mime_type or "").partition(";")[0].strip().lower()
    return _ALIASES.get(name, name) or None


def audio_mime_type(form: str) -> str:
    """Give the MIME type of OpenAI's audio format."""
    return _BY_AUDIO_FORMAT.get(form, f"audio/{form}")
