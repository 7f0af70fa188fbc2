"""Parts of a message become content blocks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from isthmusd.core.chat import ChatRequest, FilePart, ImagePart, JsonText, Message, Part, RefusalPart, ThinkingPart
from isthmusd.core.profile import Profile

from tests.unit.dialects_anthropic.sent import BUDGET, Sent, send, turns

MARK = {"type": "ephemeral", "ttl": "1h"}
MARKER = (("cache_control", JsonText('{"type":"ephemeral","ttl":"1h"}')),)
NO_FETCHING = replace(BUDGET, fetches=frozenset())


def parts(*content: Part, profile: Profile = BUDGET) -> Sent:
    return send(ChatRequest(model="m", messages=(Message(role="user", content=content),)), profile)


def only(sent: Sent) -> Any:
    return sent.body["messages"][0]["content"][0]


def test_native_members_of_parts_pass_and_others_are_lost() -> None:
    text = {"type": "text", "text": "A", "cache_control": MARK, "prompt_cache_breakpoint": {"mode": "explicit"}}

    sent = turns({"role": "user", "content": [text]})

    assert only(sent) == {"type": "text", "text": "A", "cache_control": MARK}
    assert sent.losses == ["messages[0].content[0].prompt_cache_breakpoint"]


@pytest.mark.parametrize(
    ("part", "source"),
    [
        (ImagePart(url="https://x/y.png"), {"type": "url", "url": "https://x/y.png"}),
        (
            ImagePart(data_base64="QUJD", mime_type="image/webp"),
            {"type": "base64", "media_type": "image/webp", "data": "QUJD"},
        ),
        (
            ImagePart(data_base64="QUJD", mime_type="image/jpg"),
            {"type": "base64", "media_type": "image/jpeg", "data": "QUJD"},
        ),
        (
            ImagePart(data_base64="iVBORw0KGgoAA"),
            {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgoAA"},
        ),
        # As tools write it that call every image a PNG.
        (
            ImagePart(data_base64="/9j/4AAQ", mime_type="image/png"),
            {"type": "base64", "media_type": "image/jpeg", "data": "/9j/4AAQ"},
        ),
        (ImagePart(file_id="file_1", detail="auto"), {"type": "file", "file_id": "file_1"}),
        (
            FilePart(data_base64="R0lGODlh", filename="a.bin", mime_type="image/gif"),
            {"type": "base64", "media_type": "image/gif", "data": "R0lGODlh"},
        ),
    ],
)
def test_images(part: ImagePart | FilePart, source: dict[str, str]) -> None:
    sent = parts(replace(part, extra=MARKER))

    assert only(sent) == {"type": "image", "source": source, "cache_control": MARK}
    assert sent.losses == []


@pytest.mark.parametrize(
    ("part", "losses"),
    [
        (ImagePart(data_base64="QUJD", mime_type="image/bmp"), ["messages[0].content[0]"]),
        (ImagePart(data_base64="QUJD"), ["messages[0].content[0]"]),
        (ImagePart(url="data:image/svg+xml,<svg/>"), ["messages[0].content[0]"]),
        (FilePart(data_base64="QUJD", mime_type="application/zip"), ["messages[0].content[0]"]),
        (FilePart(data_base64="//8=", mime_type="text/plain"), ["messages[0].content[0]"]),
        (FilePart(data_base64="not base64", mime_type="text/csv"), ["messages[0].content[0]"]),
        (FilePart(), ["messages[0].content[0]"]),
    ],
)
def test_media_that_anthropic_does_not_take_are_lost(part: Part, losses: list[str]) -> None:
    sent = parts(part, RefusalPart(text="x", extra=MARKER))

    assert sent.body["messages"][0]["content"] == [{"type": "text", "text": "x", "cache_control": MARK}]
    assert sent.losses == losses


def test_url_is_lost_where_the_host_fetches_none() -> None:
    sent = parts(ImagePart(url="https://x/y.png"), FilePart(url="https://x/y.pdf"), profile=NO_FETCHING)

    assert sent.body["messages"] == []
    assert sent.losses == ["messages[0].content[0]", "messages[0].content[1]", "messages[0]"]


def test_detail_of_an_image_is_lost() -> None:
    sent = parts(ImagePart(url="https://x/y.png", detail="high"))

    assert sent.losses == ["messages[0].content[0].image_url.detail"]


@pytest.mark.parametrize(
    ("part", "document"),
    [
        (
            FilePart(data_base64="JVBERi0x", mime_type="application/pdf", filename="a.pdf"),
            {"source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x"}, "title": "a.pdf"},
        ),
        (
            FilePart(data_base64="JVBERi0x"),
            {"source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x"}},
        ),
        (
            FilePart(data_base64="SMOpbGxv", filename="a.md"),
            {"source": {"type": "text", "media_type": "text/plain", "data": "Héllo"}, "title": "a.md"},
        ),
        (
            FilePart(data_base64="e30=", mime_type="application/json; charset=utf-8"),
            {"source": {"type": "text", "media_type": "text/plain", "data": "{}"}},
        ),
        (FilePart(url="https://x/y.pdf"), {"source": {"type": "url", "url": "https://x/y.pdf"}}),
        (FilePart(file_id="file_1"), {"source": {"type": "file", "file_id": "file_1"}}),
    ],
)
def test_documents(part: FilePart, document: dict[str, Any]) -> None:
    sent = parts(part)

    assert only(sent) == {"type": "document", **document}
    assert sent.losses == []


def test_document_keeps_what_was_said_of_it() -> None:
    said = (("title", JsonText('"T"')), ("citations", JsonText('{"enabled":true}')), ("context", JsonText('"C"')))

    sent = parts(FilePart(url="https://x/y.pdf", filename="y.pdf", extra=said))

    assert only(sent) == {
        "type": "document",
        "source": {"type": "url", "url": "https://x/y.pdf"},
        "title": "T",
        "citations": {"enabled": True},
        "context": "C",
    }


def test_files_by_id_need_a_beta_header() -> None:
    assert parts(FilePart(file_id="file_1")).headers["anthropic-beta"] == "files-api-2025-04-14"
    assert "anthropic-beta" not in parts(FilePart(url="https://x/y.pdf")).headers


def test_audio_is_lost() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}

    sent = turns({"role": "user", "content": [audio, {"type": "text", "text": "x"}]})

    assert sent.losses == ["messages[0].content[0]"]


def test_blocks_of_anthropic_pass_untouched_and_other_kinds_are_lost() -> None:
    search = {"type": "search_result", "source": "https://x", "title": "T", "content": [{"type": "text", "text": "x"}]}
    found = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}

    sent = turns({"role": "user", "content": [search, found, {"type": "video_url", "video_url": {"url": "u"}}]})

    assert sent.body["messages"][0]["content"] == [search, found]
    assert sent.losses == ["messages[0].content[2]"]


def test_members_of_thinking_are_lost() -> None:
    sent = parts(ThinkingPart(text="a", signature="s", extra=MARKER))

    assert only(sent) == {"type": "thinking", "thinking": "a", "signature": "s"}
    assert sent.losses == ["messages[0].content[0].cache_control"]


def test_marker_on_an_empty_text_is_a_loss() -> None:
    empty = {"type": "text", "text": "", "cache_control": MARK}

    sent = turns({"role": "user", "content": [{"type": "text", "text": "x"}, empty]})

    assert sent.losses == ["messages[0].content[1]"]
