"""Answers that came to a clean end and still are none to give again."""

from __future__ import annotations

import pytest
from isthmusd.core.errors import UnsupportedFeature
from isthmusd.core.request import Operation, Peeked
from isthmusd.dialects import registry
from isthmusd.dialects.base import Kept

CHAT = registry.kept("openai", Operation.CHAT)
COMPLETION = registry.kept("openai", Operation.COMPLETION)
RESPONSES = registry.kept("openai", Operation.RESPONSES)
EMBEDDING = registry.kept("openai", Operation.EMBEDDING)
MODERATION = registry.kept("openai", Operation.MODERATION)


def ended(word: str, member: str = '"finish_reason" : ') -> bytes:
    """Give an answer, and a chunk, whose choice ends with a word."""
    return f'{{"choices":[{{"index":0,"message":{{"content":"so f"}},{member}{word}}}]}}'.encode()


QUOTED = (
    rb'{"choices":[{"index":0,"message":{"content":"\"finish_reason\":\"error\",\"error\":1"},"finish_reason":"stop"}]}'
)


@pytest.mark.parametrize("word", ["error", "abort", "insufficient_system_resource", "cancelled"])
def test_a_choice_that_broke_off_makes_no_answer(word: str) -> None:
    for body in (ended(f'"{word}"'), ended(f'"stop","native_finish_reason":"{word}"')):
        assert not CHAT.is_final((body,), False)
        assert not CHAT.is_final((b"data: " + body + b"\n\n", b"data: [DONE]\n\n"), True)


@pytest.mark.parametrize(
    "body",
    [
        QUOTED,
        *(
            ended(word)
            for word in ('"stop"', '"length"', '"content_filter"', '"errors"', '"no error"', "null", '"eos"')
        ),
        ended('"abort"', '"stop_reason":'),
        b'{"choices":[{"index":0,"message":{"content":"a"}}]}',
        b'{"choices":[{"message":{"content":"a"},"error":null}],"error":null}',
        b'{"choices":[{"message":{"content":"a","error":{}}}],"metadata":{"error":"b"}}',
    ],
)
def test_a_choice_that_ended_in_another_way_makes_one(body: bytes) -> None:
    assert CHAT.is_final((body,), False)
    assert COMPLETION.is_final((body,), False)
    assert CHAT.is_final((b"data: " + body + b"\n\n", b"data: [DONE]\n\n"), True)


@pytest.mark.parametrize(
    ("kept", "name"), [(CHAT, "choices"), (COMPLETION, "choices"), (EMBEDDING, "data"), (MODERATION, "results")]
)
def test_a_whole_answer_holds_what_was_asked_for_and_no_error(kept: Kept, name: str) -> None:
    def said(members: str) -> bool:
        body = f"{{{members.replace('entries', name)}}}".encode()
        # However it came in pieces.
        assert kept.is_final((body,), False) is kept.is_final((body[:9], body[9:]), False)
        return kept.is_final((body,), False)

    assert said('"entries":[{"index":0}]')
    assert said('"entries":[{"index":0}],"error":null')
    assert said('"entries":[{"embedding":[0.5,-1e9],"x":{"error":1}}],"others":"x"')
    for members in (
        "",
        '"request_id":"r"',
        '"entries":null',
        '"entries":[]',
        '"entries":{}',
        '"entries":[null]',
        '"entries":"x"',
        '"entries":null,"error":{"message":"overloaded"}',
        '"entries":[{"index":0}],"error":{"message":"overloaded"}',
        '"entries":[{"index":0}],"error":"overloaded"',
        '"entries":[{"index":0},{"index":1,"error":{"code":502}}]',
        '"object":"error","message":"overloaded"',
        '"detail":"loading"',
        '"entries":[{"index":0}',
        '"entries":' + "[" * 5000 + "]" * 5000,
    ):
        assert not said(members), members


@pytest.mark.parametrize(
    ("chunk", "final"),
    [
        (b'{"choices":[{"delta":{},"finish_reason":null,"error":{"code":502}}]}', False),
        (b'{"choices":[{"delta":{},"finish_reason":"stop","error":null}]}', True),
        (b'{"choices":[{"delta":{"error":1},"finish_reason":"stop"}]}', True),
        (b'{"choices":null,"x":{"error":1}}', True),
        (b'{"choices":[{"content_filter_results":{"error":{"code":"content_filter_error"}}}]}', True),
        (b'{"choices":[7],"error":null}', False),
        (b'{"error":', False),
    ],
)
def test_a_choice_of_a_stream_that_has_an_error_makes_no_answer(chunk: bytes, final: bool) -> None:
    pieces = (b'data: {"choices":[{"delta":{"content":"so f"}}]}\n\n', b"data: " + chunk + b"\n\n", b"data: [DONE]\n\n")

    assert CHAT.is_final(pieces, True) is final


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


def test_what_no_dialect_serves_is_not_kept() -> None:
    with pytest.raises(UnsupportedFeature):
        registry.kept("openai", Operation.FORWARD)


@pytest.mark.parametrize("options", [b"7", b'"x"', b"[]", b"true"])
def test_stream_options_that_are_no_object_stay_a_part_of_what_was_asked(options: bytes) -> None:
    plain = b'{"model":"m","stream":true}'
    odd = b'{"model":"m","stream":true,"stream_options":' + options + b"}"
    peeked = Peeked(model="m", stream=True)

    assert CHAT.canonical(odd, peeked) != CHAT.canonical(plain, peeked)
