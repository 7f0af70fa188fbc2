"""Pieces of a message's content, both ways. The messages around them are `messages.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from isthmus.v1 import chat_pb2 as pb

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
from isthmusd.dialects.isthmus.fields import (
    BadField,
    decode_under,
    from_base64,
    join,
    json_object,
    member,
    members,
    merge,
    quote,
    to_base64,
    utf8,
)
from isthmusd.dialects.isthmus.spoken import read_spoken

_DATA_URL = "data:"
_BASE64_MARK = ";base64"


def decode_content(parts: Iterable[pb.Part]) -> tuple[tuple[Part, ...] | None, JsonText | None]:
    """Give the content of a message and the spoken answer among its parts, each None if there is none."""
    content: list[Part] = []
    spoken: JsonText | None = None
    index = 0
    try:
        for index, part in enumerate(parts):  # noqa: B007 the index names the part that is wrong
            kind = part.WhichOneof("kind")
            if kind == "audio" and part.audio.HasField("id"):
                if spoken is not None:
                    raise BadField("audio.id", "is given twice: a message has one spoken answer")
                spoken = _decode_spoken(part)
            elif kind is None:
                raise BadField("", "has no form that this gateway knows")
            else:
                content.append(_DECODE[kind](part, members("extra_json", part.extra_json)))
    except BadField as bad:
        raise bad.under(f"parts[{index}]") from None
    return tuple(content) or None, spoken


def _decode_text(part: pb.Part, extra: Extra) -> Part:
    return TextPart(text=part.text, extra=extra)


def _decode_refusal(part: pb.Part, extra: Extra) -> Part:
    return RefusalPart(text=part.refusal, extra=extra)


def _decode_image(part: pb.Part, extra: Extra) -> Part:
    image = part.image
    detail = image.detail if image.HasField("detail") else None
    match image.WhichOneof("source"):
        case "url":
            mime_type, data = _split_data_url(image.url)
            url = None if data is not None else image.url
            return ImagePart(url=url, data_base64=data, mime_type=mime_type, detail=detail, extra=extra)
        case "inline":
            mime_type, data = _decode_blob(image.inline)
            return ImagePart(data_base64=data, mime_type=mime_type, detail=detail, extra=extra)
        case "file_id":
            return ImagePart(file_id=image.file_id, detail=detail, extra=extra)
        case "raw_json":
            return _raw_source("image", "image_url", image.raw_json, member("detail", detail), extra)
        case _:
            raise BadField("image", "has no source that this gateway knows")


def _decode_file(part: pb.Part, extra: Extra) -> Part:
    file = part.file
    filename = file.filename if file.HasField("filename") else None
    match file.WhichOneof("source"):
        case "url":
            mime_type, data = _split_data_url(file.url)
            url = None if data is not None else file.url
            return FilePart(url=url, data_base64=data, mime_type=mime_type, filename=filename, extra=extra)
        case "inline":
            mime_type, data = _decode_blob(file.inline)
            return FilePart(data_base64=data, mime_type=mime_type, filename=filename, extra=extra)
        case "file_id":
            return FilePart(file_id=file.file_id, filename=filename, extra=extra)
        case "raw_json":
            return _raw_source("file", "file", file.raw_json, member("filename", filename), extra)
        case _:
            raise BadField("file", "has no source that this gateway knows")


def _raw_source(field: str, type_: str, text: str, own: Extra, extra: Extra) -> RawPart:
    """Wrap the JSON object of an image or a file into the part that OpenAI's format puts around it."""
    source = decode_under(field, text, lambda raw: json_object("raw_json", raw, own))
    return RawPart(json=JsonText(join(merge((("type", quote(type_)), (type_, source)), extra))))


def _decode_blob(blob: pb.Blob) -> tuple[str | None, str]:
    return blob.mime_type or None, to_base64(blob.data)


def _split_data_url(url: str) -> tuple[str | None, str | None]:
    """Give media type and base64 data of a data URL; the hub keeps inline media in one form only."""
    if not url.startswith(_DATA_URL):
        return None, None
    head, comma, data = url[len(_DATA_URL) :].partition(",")
    if not comma or not head.endswith(_BASE64_MARK):
        return None, None
    return head.removesuffix(_BASE64_MARK) or None, data


def _decode_audio(part: pb.Part, extra: Extra) -> Part:
    audio = part.audio
    own = _audio_members(audio)
    return AudioPart(data_base64=to_base64(audio.data), format=audio.format, extra=merge(own, extra))


def _decode_spoken(part: pb.Part) -> JsonText:
    """Give what the assistant said earlier, or the reference to it, in the shape of OpenAI's `message.audio`."""
    audio = part.audio
    own = (
        ("id", quote(audio.id)),
        *member("data", to_base64(audio.data) or None),
        *member("format", audio.format or None),
        *_audio_members(audio),
    )
    return JsonText(join(merge(own, members("extra_json", part.extra_json))))


def _audio_members(audio: pb.Audio) -> Extra:
    transcript = audio.transcript if audio.HasField("transcript") else None
    expires_at = audio.expire_time.seconds if audio.HasField("expire_time") else None
    return (*member("transcript", transcript), *member("expires_at", expires_at))


def _decode_thinking(part: pb.Part, extra: Extra) -> Part:
    thinking = part.thinking
    opaque = utf8("thinking.signature", thinking.signature)
    if thinking.redacted:
        return ThinkingPart(text=thinking.text, redacted_data=opaque, extra=extra)
    return ThinkingPart(text=thinking.text, signature=opaque or None, extra=extra)


def _decode_raw(part: pb.Part, extra: Extra) -> Part:
    return RawPart(json=json_object("raw_json", part.raw_json, extra))


_DECODE: dict[str, Callable[[pb.Part, Extra], Part]] = {
    "text": _decode_text,
    "image": _decode_image,
    "audio": _decode_audio,
    "file": _decode_file,
    "refusal": _decode_refusal,
    "thinking": _decode_thinking,
    "raw_json": _decode_raw,
}


def encode_content(content: Iterable[Part]) -> Iterator[pb.Part]:
    """Write parts; thinking that is redacted in part is two of them. Raises ValueError if the hub holds base64 that is
    none."""
    for part in content:
        match part:
            case ThinkingPart(signature=str(), redacted_data=str(hidden)):
                yield _encode_part(replace(part, redacted_data=None))
                yield _encode_part(ThinkingPart(redacted_data=hidden))
            case _:
                yield _encode_part(part)


def _encode_part(part: Part) -> pb.Part:
    match part:
        case TextPart():
            return pb.Part(text=part.text, extra_json=join(part.extra))
        case ImagePart():
            return pb.Part(image=_encode_image(part), extra_json=join(part.extra))
        case AudioPart():
            audio = pb.Audio(format=part.format, data=from_base64(part.data_base64))
            return pb.Part(audio=audio, extra_json=join(part.extra))
        case FilePart():
            return pb.Part(file=_encode_file(part), extra_json=join(part.extra))
        case RefusalPart():
            return pb.Part(refusal=part.text, extra_json=join(part.extra))
        case ThinkingPart():
            return _encode_thinking(part)
        case RawPart():
            return pb.Part(raw_json=part.json)


def _encode_thinking(part: ThinkingPart) -> pb.Part:
    redacted = part.redacted_data is not None
    opaque = part.redacted_data if redacted else part.signature
    thinking = pb.Thinking(text=part.text, signature=(opaque or "").encode(), redacted=redacted)
    return pb.Part(thinking=thinking, extra_json=join(part.extra))


def _encode_image(part: ImagePart) -> pb.Image:
    if part.data_base64 is not None:
        return pb.Image(inline=_encode_blob(part.mime_type, part.data_base64), detail=part.detail)
    return pb.Image(url=part.url, file_id=part.file_id, detail=part.detail)


def _encode_file(part: FilePart) -> pb.File:
    if part.data_base64 is not None:
        return pb.File(inline=_encode_blob(part.mime_type, part.data_base64), filename=part.filename)
    return pb.File(url=part.url, file_id=part.file_id, filename=part.filename)


def _encode_blob(mime_type: str | None, data_base64: str) -> pb.Blob:
    return pb.Blob(mime_type=mime_type or "", data=from_base64(data_base64))


def encode_spoken(text: JsonText) -> pb.Part | None:
    """Write a message's spoken answer; None if it has another shape, or no id to tell it from a caller's sound."""
    spoken = read_spoken(text)
    if spoken is None or spoken.id is None:
        return None
    audio = pb.Audio(id=spoken.id, data=spoken.data, transcript=spoken.transcript, expire_time=spoken.expire_time)
    return pb.Part(audio=audio, extra_json=join(spoken.extra))
