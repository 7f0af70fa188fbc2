"""Parts of a message: media, documents and their names, thinking, and blocks in Bedrock's own form."""

from __future__ import annotations

import re
from typing import Any

import pytest
from isthmusd.core.chat import (
    AudioPart,
    FilePart,
    ImagePart,
    JsonText,
    Message,
    Part,
    RawPart,
    RefusalPart,
    TextPart,
    ThinkingPart,
)

from tests.unit.dialects_bedrock.requests import CLAUDE, GPT, Sent, sent, user

WORD = TextPart(text="look")
BYTES = {"bytes": "AAAA"}


def with_part(part: Part, model: str = CLAUDE) -> Sent:
    return sent(Message(role="user", content=(WORD, part)), model=model)


def block_of(part: Part) -> Any:
    written = with_part(part)
    first, block = written.body["messages"][0]["content"]
    assert first == {"text": "look"}
    assert written.losses == {}
    return block


@pytest.mark.parametrize(
    ("mime_type", "data", "form"),
    [
        ("image/png", "AAAA", "png"),
        ("image/jpeg", "AAAA", "jpeg"),
        ("image/jpg", "AAAA", "jpeg"),
        ("image/gif", "AAAA", "gif"),
        ("image/webp", "AAAA", "webp"),
        (None, "/9j/4AAQ", "jpeg"),
        ("application/octet-stream", "iVBORw0KGgo=", "png"),
    ],
)
def test_images_are_bytes_in_a_named_format(mime_type: str | None, data: str, form: str) -> None:
    image = ImagePart(data_base64=data, mime_type=mime_type, detail="auto")

    assert block_of(image) == {"image": {"format": form, "source": {"bytes": data}}}


def test_url_safe_base64_is_made_plain() -> None:
    assert block_of(ImagePart(data_base64="_-8", mime_type="image/png"))["image"]["source"] == {"bytes": "/+8="}


def test_an_image_in_s3_is_named() -> None:
    block = block_of(ImagePart(url="s3://bucket/cat.JPG"))

    assert block == {"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://bucket/cat.JPG"}}}}


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (ImagePart(url="https://x.example/a.png"), "Bedrock takes bytes or s3:// addresses"),
        (ImagePart(file_id="file-1"), "Bedrock keeps no files for callers"),
        (ImagePart(data_base64="AAAA", mime_type="image/tiff"), "Bedrock takes no image/tiff here"),
        (ImagePart(data_base64="JVBERi0x"), "Bedrock takes no file of unknown type here"),
        (FilePart(url="https://x.example/a.pdf"), "Bedrock takes bytes or s3:// addresses"),
        (FilePart(file_id="file-1"), "Bedrock keeps no files for callers"),
        (FilePart(data_base64="AAAA", mime_type="application/zip"), "Bedrock takes no application/zip here"),
        (AudioPart(data_base64="AAAA", format="midi"), "Bedrock does not take audio as midi"),
        (ThinkingPart(text="hm"), "the model takes thinking back only with its signature"),
        (RawPart(json=JsonText('{"type":"input_thing","x":1,"y":2}')), "Bedrock has no such part"),
        (RawPart(json=JsonText('{"type":"odd","odd":1}')), "Bedrock has no such part"),
        (RawPart(json=JsonText("[1]")), "Bedrock has no such part"),
        (RawPart(json=JsonText('{"type":"video_url","video_url":7}')), "Bedrock has no such part"),
    ],
)
def test_parts_that_cannot_be_sent_are_lost_by_name(part: Part, reason: str) -> None:
    lost = with_part(part)

    assert lost.body["messages"] == [{"role": "user", "content": [{"text": "look"}]}]
    assert lost.losses == {"messages[0].content[1]": reason}


def test_detail_of_an_image_is_lost() -> None:
    lost = with_part(ImagePart(data_base64="AAAA", mime_type="image/png", detail="high"))

    assert list(lost.losses) == ["messages[0].content[1].image_url.detail"]


@pytest.mark.parametrize(
    ("mime_type", "filename", "form", "name"),
    [
        ("application/pdf", "My report_v1.final.pdf", "pdf", "My report v1 final"),
        ("text/csv; charset=utf-8", None, "csv", "document"),
        (None, "notes.MD", "md", "notes"),
        (None, "a/b/[c] (d)-e.docx", "docx", "[c] (d)-e"),
        ("text/x-python", "code", "txt", "code"),
        ("application/vnd.ms-excel", "日本.xls", "xls", "document"),
    ],
)
def test_documents_have_a_format_and_a_harmless_name(
    mime_type: str | None, filename: str | None, form: str, name: str
) -> None:
    block = block_of(FilePart(data_base64="AAAA", mime_type=mime_type, filename=filename))

    assert block == {"document": {"format": form, "name": name, "source": BYTES}}


def test_names_of_documents_differ_and_are_short() -> None:
    same = FilePart(data_base64="AAAA", mime_type="application/pdf", filename="x" * 300 + ".pdf")

    body = sent(Message(role="user", content=(WORD, same, same)), Message(role="user", content=(same,))).body
    names = [block["document"]["name"] for block in body["messages"][0]["content"][1:]]

    assert len(set(names)) == 3
    assert all(len(name) <= 200 and re.fullmatch(r"[\w ()\[\]-]+", name) for name in names)


def test_a_document_never_stands_without_a_text() -> None:
    document = FilePart(data_base64="AAAA", mime_type="application/pdf")

    body = sent(Message(role="user", content=(document,))).body

    assert [next(iter(block)) for block in body["messages"][0]["content"]] == ["text", "document"]


def test_documents_keep_what_bedrock_knows_of_them() -> None:
    extra = (("citations", JsonText('{"enabled":true}')), ("context", JsonText('"c"')), ("title", JsonText('"t"')))

    written = with_part(FilePart(url="s3://b/a.pdf", extra=extra))

    assert written.body["messages"][0]["content"][1]["document"] == {
        "format": "pdf",
        "name": "a",
        "source": {"s3Location": {"uri": "s3://b/a.pdf"}},
        "citations": {"enabled": True},
        "context": "c",
    }
    assert list(written.losses) == ["messages[0].content[1].title"]


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (FilePart(data_base64="AAAA", mime_type="image/png"), {"image": {"format": "png", "source": BYTES}}),
        (FilePart(data_base64="AAAA", mime_type="video/quicktime"), {"video": {"format": "mov", "source": BYTES}}),
        (FilePart(data_base64="AAAA", filename="a.3gp"), {"video": {"format": "three_gp", "source": BYTES}}),
        (FilePart(data_base64="AAAA", mime_type="audio/x-wav"), {"audio": {"format": "wav", "source": BYTES}}),
        (AudioPart(data_base64="AAAA", format="MP3"), {"audio": {"format": "mp3", "source": BYTES}}),
        (RefusalPart(text="no"), {"text": "no"}),
        (
            RawPart(json=JsonText('{"type":"video_url","video_url":{"url":"data:video/mp4;base64,AAAA"}}')),
            {"video": {"format": "mp4", "source": BYTES}},
        ),
        (
            RawPart(json=JsonText('{"type":"video_url","video_url":{"url":"s3://b/a.webm"}}')),
            {"video": {"format": "webm", "source": {"s3Location": {"uri": "s3://b/a.webm"}}}},
        ),
        (
            RawPart(json=JsonText('{"type":"guardContent","guardContent":{"text":{"text":"g"}}}')),
            {"guardContent": {"text": {"text": "g"}}},
        ),
        (RawPart(json=JsonText('{"cachePoint":{"type":"default"}}')), {"cachePoint": {"type": "default"}}),
        (
            ThinkingPart(text="hm", signature="s"),
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
        ),
        (ThinkingPart(redacted_data="cmVk"), {"reasoningContent": {"redactedContent": "cmVk"}}),
    ],
)
def test_other_parts_have_blocks_of_their_own(part: Part, block: dict[str, Any]) -> None:
    assert block_of(part) == block


def test_a_video_by_url_is_lost() -> None:
    video = RawPart(json=JsonText('{"type":"video_url","video_url":{"url":"https://x.example/a.mp4"}}'))

    assert with_part(video).losses == {"messages[0].content[1]": "Bedrock takes bytes or s3:// addresses"}


def test_models_that_do_not_sign_take_thinking_as_it_is() -> None:
    turn = Message(role="assistant", content=(ThinkingPart(text="hm"), ThinkingPart(text=""), TextPart(text="yes")))

    body = sent(user("hi"), turn, user("so?"), model=GPT)

    assert body.body["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "hm"}}},
        {"text": "yes"},
    ]
    assert body.losses == {}
