"""Parts of a message's content, both ways. The message around them is `message.py`.

Source: https://platform.openai.com/docs/api-reference/chat/create#chat-create-messages
"""

from __future__ import annotations

import re
from collections.abc import Callable

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
from isthmusd.core.request import Loss
from isthmusd.dialects.openai.thinking import decode_redacted, decode_thinking, encode_thinking_part
from isthmusd.framing.fields import Fault, Fields, drop_none, json_text, kind_of, read_text

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,([A-Za-z0-9+/=_-]*)\Z")


def decode_content(raw: msgspec.Raw | None, path: str, fault: Fault) -> tuple[Part, ...] | None:
    """Read a content: a string, an array of parts, or nothing."""
    if raw is None:
        return None
    match kind_of(raw):
        case "a string":
            return (TextPart(text=read_text(raw, path, fault)),)
        case "an array":
            items = msgspec.json.decode(raw, type=list[msgspec.Raw])
            return tuple(_decode_part(item, f"{path}[{place}]", fault) for place, item in enumerate(items))
        case kind:
            raise fault(f"{path!r} must be a string or an array of parts, not {kind}.", path)


def encode_content(
    content: tuple[Part, ...] | None, path: str, losses: list[Loss], *, with_thinking: bool = False
) -> object:
    """Write a content, as a rule without its thinking, which OpenAI's shape has beside it; None if nothing is left."""
    match content:
        case None:
            return None
        case (TextPart(text=text, extra=()),):
            return text
        case _:
            parts = [part for part in content if with_thinking or not isinstance(part, ThinkingPart)]
    if content and not parts:
        return None
    match parts:
        case [TextPart(text=text, extra=())]:
            return text
        case _:
            written = [
                _encode_part(part, f"{path}[{place}]", losses)
                for place, part in enumerate(content)
                if with_thinking or not isinstance(part, ThinkingPart)
            ]
            return [part for part in written if part is not None]


def encode_said(content: tuple[Part, ...] | None) -> object:
    """Write the content of an answer, which clients expect to be one string; None if nothing is left."""
    texts: list[str] = []
    for part in content or ():
        match part:
            case TextPart(text=text, extra=()):
                texts.append(text)
            case ThinkingPart():
                pass
            case _:
                # There is more than text in it: none of that is dropped.
                return encode_content(content, "", [])
    return "".join(texts) if texts else None


def _decode_part(raw: msgspec.Raw, path: str, fault: Fault) -> Part:
    fields = Fields.of(raw, path, fault)
    kind = fields.required_text("type")
    decode = _DECODERS.get(kind)
    part = decode(fields) if decode is not None else None
    return part if part is not None else RawPart(json=json_text(raw))


def _decode_text(fields: Fields) -> Part | None:
    return TextPart(text=fields.required_text("text"), extra=fields.rest())


def _decode_refusal(fields: Fields) -> Part | None:
    return RefusalPart(text=fields.required_text("refusal"), extra=fields.rest())


def _decode_image(fields: Fields) -> Part | None:
    if fields.kind("image_url") == "a string":
        # Mistral accepts the bare URL: https://docs.mistral.ai/capabilities/vision/
        return _image(fields.required_text("image_url"), None, fields)
    inner = fields.required_object("image_url")
    url, detail = inner.required_text("url"), inner.text("detail")
    return None if inner.names() else _image(url, detail, fields)


def _image(url: str, detail: str | None, fields: Fields) -> Part:
    embedded = _DATA_URL.match(url)
    if embedded is None:
        return ImagePart(url=url, detail=detail, extra=fields.rest())
    mime_type, data = embedded.groups()
    return ImagePart(data_base64=data, mime_type=mime_type, detail=detail, extra=fields.rest())


def _decode_audio(fields: Fields) -> Part | None:
    inner = fields.required_object("input_audio")
    data, form = inner.required_text("data"), inner.required_text("format")
    return None if inner.names() else AudioPart(data_base64=data, format=form, extra=fields.rest())


def _decode_file(fields: Fields) -> Part | None:
    inner = fields.required_object("file")
    data, file_id, filename = inner.text("file_data"), inner.text("file_id"), inner.text("filename")
    if inner.names():
        return None
    embedded = _DATA_URL.match(data) if data is not None else None
    mime_type, data = embedded.groups() if embedded is not None else (None, data)
    return FilePart(data_base64=data, mime_type=mime_type, file_id=file_id, filename=filename, extra=fields.rest())


_DECODERS: dict[str, Callable[[Fields], Part | None]] = {
    "text": _decode_text,
    "refusal": _decode_refusal,
    "thinking": decode_thinking,
    "redacted_thinking": decode_redacted,
    "image_url": _decode_image,
    "input_audio": _decode_audio,
    "file": _decode_file,
}
"""A decoder gives None for an inner object with members that the hub has no place for: the part is kept as it came."""


def _encode_part(part: Part, path: str, losses: list[Loss]) -> object:
    match part:
        case TextPart():
            return drop_none({"type": "text", "text": part.text}, part.extra)
        case RefusalPart():
            return drop_none({"type": "refusal", "refusal": part.text}, part.extra)
        case AudioPart():
            audio = {"data": part.data_base64, "format": part.format}
            return drop_none({"type": "input_audio", "input_audio": audio}, part.extra)
        case ImagePart():
            return _encode_image(part, path, losses)
        case FilePart():
            return _encode_file(part, path, losses)
        case RawPart():
            return msgspec.Raw(part.json)
        case ThinkingPart():
            written = encode_thinking_part(part)
            if written is None:
                losses.append(Loss(field=path, reason="only the provider that redacted this can read it"))
            return written


def _encode_image(part: ImagePart, path: str, losses: list[Loss]) -> object:
    if part.data_base64 is not None:
        url = _data_url(part.mime_type or "image/png", part.data_base64)
    elif part.url is not None:
        url = part.url
    else:
        losses.append(Loss(field=path, reason="OpenAI's chat takes images by URL or as data, not by file id"))
        return None
    return drop_none({"type": "image_url", "image_url": drop_none({"url": url, "detail": part.detail})}, part.extra)


def _encode_file(part: FilePart, path: str, losses: list[Loss]) -> object:
    data = part.data_base64
    if part.url is not None:
        losses.append(Loss(field=f"{path}.url", reason="OpenAI's chat takes files as data or by file id, not by URL"))
    if data is None and part.file_id is None:
        return None
    if data is not None and part.mime_type is not None:
        data = _data_url(part.mime_type, data)
    inner = drop_none({"file_data": data, "file_id": part.file_id, "filename": part.filename})
    return drop_none({"type": "file", "file": inner}, part.extra)


def _data_url(mime_type: str, data: str) -> str:
    return f"data:{mime_type};base64,{data}"
