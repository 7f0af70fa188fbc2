"""Parts of a message to Converse's content blocks. The turns they stand in are `messages.py`.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from isthmusd.core.chat import (
    AudioPart,
    Extra,
    FilePart,
    ImagePart,
    JsonText,
    Part,
    RawPart,
    RefusalPart,
    TextPart,
    ThinkingPart,
)
from isthmusd.core.request import Loss
from isthmusd.dialects.bedrock.families import Family
from isthmusd.dialects.bedrock.marks import CACHE_MARKS, NO_POINT, Block, cache_point, lose_members, only_member
from isthmusd.dialects.bedrock.media import DocumentNames, medium_of, sound_of, source_of

_NATIVE = frozenset(
    {
        "audio", "cachePoint", "document", "guardContent", "image", "json", "searchResult", "text", "toolAddition",
        "toolRemoval", "video",
    }
)  # fmt: skip
"""Blocks that a caller may write in Bedrock's own form."""

_OF_DOCUMENTS = frozenset({"citations", "context"})
"""Members of a document block that pass."""


class _Url(msgspec.Struct):
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Medium:
    """What may be an image, a document, a video or a sound."""

    data: str | None = None
    url: str | None = None
    mime_type: str | None = None
    name: str | None = None
    kinds: frozenset[str] = frozenset({"image", "document", "video", "audio"})
    """What it may be in this place."""
    beside: Block = field(default_factory=dict[str, object])
    """Members of the block, if it is a document's."""


class PartWriter:
    """Writes the parts of one request, whose documents share their names. `losses` grows as it goes."""

    def __init__(self, family: Family, losses: list[Loss]) -> None:
        self.losses = losses
        self._family = family
        self._names = DocumentNames()

    def blocks(self, content: tuple[Part, ...] | None, path: str) -> list[Block]:
        """Write a content; blank texts are left out, because Bedrock refuses them."""
        written: list[Block] = []
        for place, part in enumerate(content or ()):
            written += self._part(part, f"{path}[{place}]")
        return written

    def lose(self, path: str, reason: str) -> list[Block]:
        """Tell of a part that cannot be sent."""
        self.losses.append(Loss(field=path, reason=reason))
        return []

    def points(self, extra: Extra, path: str, marked: list[Block]) -> list[Block]:
        """Give the cache point behind what a mark in `extra` marks: none or one."""
        point = cache_point(extra, lasting=self._family.caches_tools)
        if point and not (marked and self._family.caches):
            self.lose(f"{path}.cache_control", NO_POINT if marked else "there is nothing that could be marked")
            return []
        return point

    def _part(self, part: Part, path: str) -> list[Block]:
        match part:
            case TextPart() | RefusalPart():
                return self._marked(text_blocks(part.text), part.extra, path)
            case ImagePart():
                return self._marked(self._image(part, path), part.extra, path)
            case FilePart():
                return self._marked(self._file(part, path), part.extra, path, _OF_DOCUMENTS)
            case AudioPart():
                return self._marked(self._audio(part, path), part.extra, path)
            case ThinkingPart():
                return self._marked(self._thinking(part, path), part.extra, path)
            case RawPart():
                return self._raw(part.json, path)

    def _marked(self, blocks: list[Block], extra: Extra, path: str, known: frozenset[str] = frozenset()) -> list[Block]:
        if not extra:
            return blocks
        lose_members(extra, path, self.losses, CACHE_MARKS | known)
        return blocks + self.points(extra, path, blocks)

    def _image(self, part: ImagePart, path: str) -> list[Block]:
        if part.detail not in (None, "auto"):
            self.lose(f"{path}.image_url.detail", "Bedrock decides by itself how closely a model looks")
        medium = _Medium(
            data=part.data_base64, url=part.url, mime_type=part.mime_type, name=part.url, kinds=frozenset({"image"})
        )
        return self._media(medium, path)

    def _audio(self, part: AudioPart, path: str) -> list[Block]:
        form = sound_of(part.format)
        if form is None:
            return self.lose(path, f"Bedrock does not take audio as {part.format}")
        return [{"audio": {"format": form, "source": source_of(part.data_base64, None)}}]

    def _file(self, part: FilePart, path: str) -> list[Block]:
        medium = _Medium(
            data=part.data_base64,
            url=part.url,
            mime_type=part.mime_type,
            name=part.filename or part.url,
            beside={key: msgspec.Raw(text) for key, text in part.extra if key in _OF_DOCUMENTS},
        )
        return self._media(medium, path)

    def _media(self, medium: _Medium, path: str) -> list[Block]:
        source = source_of(medium.data, medium.url)
        if source is None:
            reason = "Bedrock takes bytes or s3:// addresses" if medium.url else "Bedrock keeps no files for callers"
            return self.lose(path, reason)
        kind, form = medium_of(medium.mime_type, medium.name, medium.data)
        if kind not in medium.kinds:
            return self.lose(path, f"Bedrock takes no {medium.mime_type or 'file of unknown type'} here")
        if kind == "document":
            name = self._names.name(medium.name)
            return [{kind: {"format": form, "name": name, "source": source, **medium.beside}}]
        return [{kind: {"format": form, "source": source}}]

    def _thinking(self, part: ThinkingPart, path: str) -> list[Block]:
        if part.redacted_data is not None:
            return [{"reasoningContent": {"redactedContent": part.redacted_data}}]
        if part.signature is None and self._family.signs_thinking:
            return self.lose(path, "the model takes thinking back only with its signature")
        if part.signature is None and not part.text.strip():
            return []
        text: Block = {"text": part.text}
        if part.signature is not None:
            text["signature"] = part.signature
        return [{"reasoningContent": {"reasoningText": text}}]

    def _raw(self, json: JsonText, path: str) -> list[Block]:
        member = only_member(json)
        match member:
            case ("cachePoint", _) if not self._family.caches:
                return self.lose(path, NO_POINT)
            case (name, raw) if name in _NATIVE:
                return [{name: raw}]
            case ("video_url", raw):
                return self._video(raw, path)
            case _:
                return self.lose(path, "Bedrock has no such part")

    def _video(self, raw: msgspec.Raw, path: str) -> list[Block]:
        """An extension of vLLM and OpenRouter: https://openrouter.ai/docs/features/multimodal/videos"""
        try:
            url = msgspec.json.decode(raw, type=_Url).url
        except msgspec.DecodeError:
            return self.lose(path, "Bedrock has no such part")
        head, _, data = url.partition(";base64,")
        video = frozenset({"video"})
        if data and head.startswith("data:"):
            return self._media(_Medium(data=data, mime_type=head.removeprefix("data:"), kinds=video), path)
        return self._media(_Medium(url=url, name=url, kinds=video), path)


def text_blocks(text: str) -> list[Block]:
    """Write a text: none or one block."""
    return [{"text": text}] if text.strip() else []
