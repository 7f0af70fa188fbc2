"""Parts of a message's content as Google's parts. Turns around them are `messages.py`.

Source: https://ai.google.dev/api/caching#Part
"""

from __future__ import annotations

from dataclasses import dataclass

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
from isthmusd.core.profile import Profile
from isthmusd.core.request import Loss
from isthmusd.dialects.gemini.media import audio_mime_type, known_mime_type, mime_type_of, own_uri
from isthmusd.dialects.gemini.native import lose, members_of
from isthmusd.dialects.gemini.paths import camel
from isthmusd.dialects.gemini.signatures import is_of_claude, recall
from isthmusd.framing.fields import drop_none

Written = dict[str, object]

_KINDS = frozenset(
    {
        "text",
        "inlineData",
        "fileData",
        "functionCall",
        "functionResponse",
        "executableCode",
        "codeExecutionResult",
        "toolCall",
        "toolResponse",
    }
)
_BESIDE = frozenset({"thought", "thoughtSignature", "videoMetadata", "mediaResolution", "partMetadata"})
_UNREACHABLE = "Gemini does not read this URL: send the data"


class _Url(msgspec.Struct):
    url: str


class _Video(msgspec.Struct):
    video_url: _Url


class _ImageUrl(msgspec.Struct):
    image_url: _Url


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Writes parts; what a part cannot say becomes a loss."""

    profile: Profile
    losses: list[Loss]

    def content(self, content: tuple[Part, ...] | None, path: str) -> list[Written]:
        """Write the parts that say something: Google refuses empty text."""
        written = [self._part(part, f"{path}.content[{place}]") for place, part in enumerate(content or ())]
        return [part for part in written if part is not None]

    def lose(self, field: str, reason: str) -> None:
        """Note a loss."""
        self.losses.append(Loss(field=field, reason=reason))

    def _part(self, part: Part, path: str) -> Written | None:
        match part:
            case TextPart(text=text, extra=extra) | RefusalPart(text=text, extra=extra):
                beside = self._beside(extra, path)
                return {"text": text, **beside} if text or "thoughtSignature" in beside else None
            case ThinkingPart():
                return self._thinking(part, path)
            case ImagePart():
                return self._image(part, path)
            case AudioPart():
                blob = {"mimeType": audio_mime_type(part.format), "data": part.data_base64}
                return {"inlineData": blob, **self._beside(part.extra, path)}
            case FilePart():
                return self._file(part, path)
            case RawPart():
                return self._raw(part.json, path)

    def _thinking(self, part: ThinkingPart, path: str) -> Written | None:
        lose(part.extra, path, self.losses)
        if part.redacted_data is not None:
            self.lose(f"{path}.redacted_data", "Gemini takes thoughts as text only")
        signature = part.signature
        if signature is not None and is_of_claude(signature):
            self.lose(f"{path}.signature", "Gemini takes its own signatures only")
            signature = None
        if not part.text and signature is None:
            return None
        return drop_none({"text": part.text, "thought": True, "thoughtSignature": signature})

    def _image(self, part: ImagePart, path: str) -> Written | None:
        beside = self._beside(part.extra, path)
        if part.data_base64 is not None:
            mime_type = known_mime_type(part.mime_type) or "image/png"
            return {"inlineData": {"mimeType": mime_type, "data": part.data_base64}, **beside}
        return self._by_uri(part.url or part.file_id or "", part.mime_type, "image", path, beside)

    def _file(self, part: FilePart, path: str) -> Written | None:
        beside = self._beside(part.extra, path)
        mime_type = known_mime_type(part.mime_type) or mime_type_of(part.filename)
        if part.filename is not None:
            self.lose(f"{path}.file.filename", "Gemini has no names of files")
        if part.data_base64 is not None:
            return {"inlineData": {"mimeType": mime_type or "application/pdf", "data": part.data_base64}, **beside}
        return self._by_uri(part.url or part.file_id or "", mime_type, "file", path, beside)

    def _by_uri(self, uri: str, mime_type: str | None, kind: str, path: str, beside: Written) -> Written | None:
        own = own_uri(uri)
        if own is None and uri.startswith("https://") and kind in self.profile.fetches:
            own = uri
        if own is None:
            self.lose(path, _UNREACHABLE if "://" in uri else "Gemini has no such file")
            return None
        return {"fileData": drop_none({"fileUri": own, "mimeType": mime_type or mime_type_of(own)}), **beside}

    def _raw(self, json: JsonText, path: str) -> Written | None:
        """Google's own parts pass, with or without OpenAI's `type` beside them; so do videos by URL."""
        try:
            return self._by_uri(msgspec.json.decode(json, type=_Video).video_url.url, None, "file", path, {})
        except msgspec.DecodeError:
            pass
        members = {camel(name): value for name, value in (members_of(json) or {}).items() if name != "type"}
        if _KINDS.isdisjoint(members) or not (_KINDS | _BESIDE).issuperset(members):
            self.lose(path, "Gemini has no such part")
            return None
        return dict(members)

    def _beside(self, extra: Extra, path: str) -> Written:
        """Write the members beside a part's data."""
        kept, rest = recall(extra)
        passing = {camel(name): msgspec.Raw(text) for name, text in rest if camel(name) in _BESIDE}
        lose(tuple((name, text) for name, text in rest if camel(name) not in _BESIDE), path, self.losses)
        return drop_none({**passing, "thoughtSignature": kept.signature}) if extra else {}


def image_parts(json: JsonText, path: str, writer: Writer) -> list[Written] | None:
    """Write the images that a model made in an earlier turn; None if they are not as our answers have them."""
    try:
        images = msgspec.json.decode(json, type=list[msgspec.Raw])
        urls = [msgspec.json.decode(image, type=_ImageUrl).image_url.url for image in images]
    except msgspec.DecodeError:
        return None
    written: list[Written] = []
    for place, (url, image) in enumerate(zip(urls, images, strict=True)):
        head, comma, data = url.partition(";base64,")
        kept, _ = recall(
            tuple((name, JsonText(bytes(raw).decode())) for name, raw in (members_of(image) or {}).items())
        )
        if not comma or not head.startswith("data:"):
            writer.lose(f"{path}.images[{place}]", _UNREACHABLE)
            continue
        blob = {"mimeType": head.removeprefix("data:"), "data": data}
        written.append(drop_none({"inlineData": blob, "thoughtSignature": kept.signature}))
    return written
