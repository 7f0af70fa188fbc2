"""Images, documents, videos and sounds: which formats Converse takes, how they are told, and where their bytes lie.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html
"""

from __future__ import annotations

import re

_IMAGES = {"png": "png", "jpeg": "jpeg", "jpg": "jpeg", "gif": "gif", "webp": "webp"}
_DOCUMENTS = {
    "pdf": "pdf",
    "csv": "csv",
    "doc": "doc",
    "docx": "docx",
    "xls": "xls",
    "xlsx": "xlsx",
    "html": "html",
    "htm": "html",
    "txt": "txt",
    "md": "md",
    "markdown": "md",
}
_VIDEOS = {
    "mkv": "mkv",
    "mov": "mov",
    "mp4": "mp4",
    "webm": "webm",
    "flv": "flv",
    "mpeg": "mpeg",
    "mpg": "mpg",
    "wmv": "wmv",
    "3gp": "three_gp",
}
_SOUNDS = {
    name: name for name in ("mp3", "opus", "wav", "aac", "flac", "ogg", "mka", "m4a", "mpga", "pcm", "x-aac")
} | {"mp4": "mp4", "mkv": "mkv", "mpeg": "mpeg", "webm": "webm"}

_BY_EXTENSION = {
    extension: (kind, form)
    for kind, table in (("audio", _SOUNDS), ("video", _VIDEOS), ("document", _DOCUMENTS), ("image", _IMAGES))
    for extension, form in table.items()
}
_BY_MIME_TYPE = {
    **{f"image/{name}": ("image", form) for name, form in _IMAGES.items()},
    **{f"video/{name}": ("video", form) for name, form in _VIDEOS.items()},
    **{f"audio/{name}": ("audio", form) for name, form in _SOUNDS.items()},
    "audio/x-wav": ("audio", "wav"),
    "video/quicktime": ("video", "mov"),
    "video/x-matroska": ("video", "mkv"),
    "video/x-flv": ("video", "flv"),
    "video/x-ms-wmv": ("video", "wmv"),
    "video/3gpp": ("video", "three_gp"),
    "application/pdf": ("document", "pdf"),
    "text/csv": ("document", "csv"),
    "application/msword": ("document", "doc"),
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ("document", "docx"),
    "application/vnd.ms-excel": ("document", "xls"),
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ("document", "xlsx"),
    "text/html": ("document", "html"),
    "text/plain": ("document", "txt"),
    "text/markdown": ("document", "md"),
    "application/json": ("document", "txt"),
    "application/xml": ("document", "txt"),
}
_BY_BEGINNING = {
    "iVBORw0KGgo": ("image", "png"),
    "/9j/": ("image", "jpeg"),
    "R0lGOD": ("image", "gif"),
    "UklGR": ("image", "webp"),
    "JVBERi0": ("document", "pdf"),
}
"""How known formats begin in base64: for bytes that come without a type."""

_NOT_IN_NAMES = re.compile(r"[^0-9A-Za-z()\[\]-]+")
_MAX_NAME = 200
_TO_STANDARD = str.maketrans("-_", "+/")

S3 = "s3://"

Source = dict[str, object]
Medium = tuple[str, str]
"""Kind of the block, and format."""
UNKNOWN: Medium = ("", "")


def medium_of(mime_type: str | None, name: str | None, data: str | None) -> Medium:
    """Tell what a file is: by its type, else by its name, else by its first bytes; `UNKNOWN` if Converse takes no
    such."""
    plain = (mime_type or "").partition(";")[0].strip().lower()
    extension = (name or "").partition("?")[0].rpartition(".")[2].lower()
    found = _BY_MIME_TYPE.get(plain) or _BY_EXTENSION.get(extension)
    if found is None and data is not None:
        found = next((medium for start, medium in _BY_BEGINNING.items() if data.startswith(start)), None)
    return found or (("document", "txt") if plain.startswith("text/") else UNKNOWN)


def sound_of(form: str) -> str | None:
    """Give Converse's name of an audio format."""
    return _SOUNDS.get(form.lower())


def source_of(data: str | None, url: str | None) -> Source | None:
    """Tell where the bytes lie; None if Converse cannot reach them."""
    if data is not None:
        standard = data.translate(_TO_STANDARD).rstrip("=")
        return {"bytes": standard + "=" * (-len(standard) % 4)}
    if url is not None and url.startswith(S3):
        return {"s3Location": {"uri": url}}
    return None


class DocumentNames:
    """Names for the documents of one request: Converse demands them, allows few characters, and wants no two alike."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._numbers: dict[str, int] = {}
        """Name to the last number that was put behind it."""

    def name(self, filename: str | None) -> str:
        """Give the next document's name."""
        stem = (filename or "").rpartition("/")[2]
        stem = stem.rpartition(".")[0] or stem
        plain = _NOT_IN_NAMES.sub(" ", stem).strip()[: _MAX_NAME - 8].strip() or "document"
        name = plain
        while name in self._taken:
            number = self._numbers[plain] = self._numbers.get(plain, 1) + 1
            name = f"{plain} ({number})"
        self._taken.add(name)
        return name
