"""Parts of a message's content as Cohere's blocks. The message around them is `messages.py`.

Source: https://docs.cohere.com/reference/chat (messages), https://docs.cohere.com/docs/image-inputs
"""

from __future__ import annotations

import msgspec

from isthmusd.core.chat import (
    AudioPart,
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
from isthmusd.dialects.cohere.losses import lose, lose_extra
from isthmusd.framing.fields import drop_none

BLOCKS = {
    "system": frozenset({"text"}),
    "user": frozenset({"text", "image_url"}),
    "assistant": frozenset({"text", "thinking"}),
    "tool": frozenset({"text", "document"}),
}
"""Role to the types of blocks that its messages may hold."""

Block = dict[str, object] | msgspec.Raw

PLAIN_THINKING = "Cohere's thinking is plain text"


def encode_parts(content: tuple[Part, ...] | None, role: str, path: str, losses: list[Loss]) -> list[Block]:
    """Write the blocks of a content; texts that are empty say nothing and are refused, so they are left out."""
    blocks: list[Block] = []
    for place, part in enumerate(content or ()):
        block = _encode_part(part, role, f"{path}[{place}]", losses)
        if block is not None:
            blocks.append(block)
    return blocks


def as_content(blocks: list[Block]) -> object:
    """Give one text block as the plain string that most callers write."""
    match blocks:
        case []:
            return ""
        case [{"type": "text", "text": text}]:
            return text
        case _:
            return blocks


def _encode_part(part: Part, role: str, path: str, losses: list[Loss]) -> Block | None:
    match part:
        case TextPart(text=text, extra=extra) | RefusalPart(text=text, extra=extra):
            lose_extra(losses, extra, path)
            return text_block(text)
        case ThinkingPart():
            return _encode_thinking(part, role, path, losses)
        case ImagePart():
            return _encode_image(part, role, path, losses)
        case AudioPart():
            lose(losses, path, "Cohere takes no audio")
            return None
        case FilePart():
            lose(losses, path, "Cohere takes no files: send their text, or 'documents'")
            return None
        case RawPart(json=json):
            if _type_of(json) in BLOCKS[role]:
                return msgspec.Raw(json)
            lose(losses, path, f"Cohere has no such part in messages of the role {role!r}")
            return None


def text_block(text: str) -> Block | None:
    """Write a text block; None if there is nothing to say."""
    return {"type": "text", "text": text} if text else None


def _encode_thinking(part: ThinkingPart, role: str, path: str, losses: list[Loss]) -> Block | None:
    unsaid = {"signature": part.signature, "redacted_data": part.redacted_data}
    for name, value in unsaid.items():
        if value is not None:
            lose(losses, f"{path}.{name}", PLAIN_THINKING)
    lose_extra(losses, part.extra, path)
    if "thinking" in BLOCKS[role]:
        return {"type": "thinking", "thinking": part.text} if part.text else None
    lose(losses, path, f"Cohere takes no thinking in messages of the role {role!r}")
    return None


def _encode_image(part: ImagePart, role: str, path: str, losses: list[Loss]) -> Block | None:
    lose_extra(losses, part.extra, path)
    url = part.url
    if part.data_base64 is not None:
        url = f"data:{part.mime_type or 'image/png'};base64,{part.data_base64}"
    if url is None:
        lose(losses, path, "Cohere takes images by URL or as data, not by file id")
    elif "image_url" not in BLOCKS[role]:
        lose(losses, path, f"Cohere takes no images in messages of the role {role!r}")
    else:
        return {"type": "image_url", "image_url": drop_none({"url": url, "detail": part.detail})}
    return None


def _type_of(json: JsonText) -> str | None:
    match msgspec.json.decode(json):
        case {"type": str(kind)}:
            return kind
        case _:
            return None
