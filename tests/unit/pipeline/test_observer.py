"""Usage read out of forwarded answers in passing; what cannot be read has none."""

from __future__ import annotations

import msgspec
import pytest
from isthmusd.core.headers import Headers
from isthmusd.core.profile import Profile
from isthmusd.core.usage import Usage
from isthmusd.pipeline.observer import OBSERVED_BYTES, UsageObserver

from tests.unit.pipeline.gateway import DONE, HELLO, STOP, USAGE, chat_answer
from tests.unit.pipeline.targets import EVENTS, JSON

REPORT = b"data: " + msgspec.json.encode({"id": "c", "choices": [], "usage": USAGE}) + b"\n\n"
STREAM = HELLO + STOP + REPORT + DONE


def seen(path: str, headers: Headers, *chunks: bytes) -> Usage | None:
    observer = UsageObserver(path, headers, Profile())
    for chunk in chunks:
        observer.feed(chunk)
    return observer.close()


@pytest.mark.parametrize("path", ["chat/completions", "/chat/completions/", "completions", "embeddings"])
def test_whole_answers_tell_their_usage_however_they_are_cut(path: str) -> None:
    body = chat_answer()

    for chunks in ([body], [body[:9], body[9:]], [body[i : i + 1] for i in range(len(body))]):
        usage = seen(path, JSON, *chunks)
        assert usage is not None
        assert usage.total_tokens == 8


def test_streams_tell_their_usage_however_they_are_cut() -> None:
    for chunks in ([STREAM], [STREAM[i : i + 1] for i in range(len(STREAM))]):
        usage = seen("chat/completions", EVENTS, *chunks)
        assert usage is not None
        assert usage.total_tokens == 8


@pytest.mark.parametrize(
    ("path", "headers", "chunks"),
    [
        ("files", JSON, [chat_answer()]),
        ("chat/completions/id", JSON, [chat_answer()]),
        ("chat/completions", {**JSON, "content-encoding": ["gzip"]}, [b"\x1f\x8b"]),
        ("chat/completions", {**EVENTS, "content-encoding": ["br"]}, [STREAM]),
        ("chat/completions", {"content-type": ["text/html"]}, [chat_answer()]),
        ("chat/completions", {}, [chat_answer()]),
        ("chat/completions", JSON, []),
        ("chat/completions", JSON, [b"not json"]),
        ("chat/completions", JSON, [b"\xff"]),
        ("chat/completions", JSON, [b'{"usage": 3}']),
        ("chat/completions", EVENTS, [HELLO, STOP, DONE]),
        ("chat/completions", EVENTS, [HELLO]),
        ("chat/completions", EVENTS, [b"data: {broken\n\n", REPORT]),
    ],
)
def test_what_tells_no_usage_has_none(path: str, headers: Headers, chunks: list[bytes]) -> None:
    assert seen(path, headers, *chunks) is None


def test_an_answer_too_large_is_not_held() -> None:
    assert seen("chat/completions", JSON, chat_answer(), b" " * OBSERVED_BYTES, b" ") is None


def test_media_types_are_read_without_their_parameters() -> None:
    headers = {"content-type": ["Application/JSON; charset=utf-8"], "content-encoding": ["Identity"]}

    assert seen("chat/completions", headers, chat_answer()) is not None
