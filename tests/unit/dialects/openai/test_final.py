"""Answers that came to a clean end and still are none to give again."""

from __future__ import annotations

import pytest
from isthmusd.core.errors import UnsupportedFeature
from isthmusd.core.request import Operation, Peeked
from isthmusd.dialects import registry

CHAT = registry.kept("openai", Operation.CHAT)
RESPONSES = registry.kept("openai", Operation.RESPONSES)
EMBEDDING = registry.kept("openai", Operation.EMBEDDING)

FAILED = b'{"choices":[{"index":0,"message":{"content":"so f"},"finish_reason" : "error"}]}'
QUOTED = rb'{"choices":[{"index":0,"message":{"content":"\"finish_reason\":\"error\""},"finish_reason":"stop"}]}'


@pytest.mark.parametrize(("body", "final"), [(FAILED, False), (QUOTED, True), (b'{"choices":[]}', True)])
def test_a_choice_that_broke_makes_no_answer(body: bytes, final: bool) -> None:
    assert CHAT.is_final((body,), False) is final
    assert CHAT.is_final((b"data: " + body + b"\n\n", b"data: [DONE]\n\n"), True) is final


@pytest.mark.parametrize(
    ("body", "final"),
    [
        (b'{"status":"completed"}', True),
        (b'{"status":"incomplete"}', True),
        (b"{}", True),
        (b'{"status":"queued"}', False),
        (b'{"status":"in_progress"}', False),
        (b'{"status":"failed"}', False),
        (b'{"status":"cancelled"}', False),
        (b'{"status":7}', False),
        (b"no JSON", False),
    ],
)
def test_a_response_is_final_by_its_status(body: bytes, final: bool) -> None:
    assert RESPONSES.is_final((body,), False) is final


@pytest.mark.parametrize(
    ("last", "final"),
    [
        (b'{"type":"response.completed","response":{"status":"completed"}}', True),
        (b'{"type":"response.failed","response":{"status":"failed"}}', False),
        (b'{"type":"response.output_text.done"}', False),
        (b'{"response":', False),
        (b"", False),
    ],
)
@pytest.mark.parametrize("done", [b"", b"data: [DONE]\n\n"])
def test_a_streamed_response_is_final_by_its_last_event(last: bytes, final: bool, done: bytes) -> None:
    created = b'event: response.created\ndata: {"response":{"status":"in_progress"}}\n\n'
    ended = (b"event: x\ndata: " + last + b"\n\n") if last else b": nothing\n\n"

    assert RESPONSES.is_final((created, ended, done) if last else (ended, done), True) is final


def test_a_stream_that_only_ends_says_nothing() -> None:
    assert not CHAT.is_final((b": hello\n\n", b"data: [DONE]\n\n"), True)


def test_what_has_no_end_of_its_own_is_final() -> None:
    assert EMBEDDING.is_final((b"{}",), False)


def test_what_no_dialect_serves_is_not_kept() -> None:
    with pytest.raises(UnsupportedFeature):
        registry.kept("openai", Operation.FORWARD)


@pytest.mark.parametrize("options", [b"7", b'"x"', b"[]", b"true"])
def test_stream_options_that_are_no_object_stay_a_part_of_what_was_asked(options: bytes) -> None:
    plain = b'{"model":"m","stream":true}'
    odd = b'{"model":"m","stream":true,"stream_options":' + options + b"}"
    peeked = Peeked(model="m", stream=True)

    assert CHAT.canonical(odd, peeked) != CHAT.canonical(plain, peeked)
