"""Requests and answers of the OpenAI surface are kept as the bytes that they are."""

from __future__ import annotations

import pytest
from isthmusd.core.errors import Interrupted
from isthmusd.core.request import Operation
from isthmusd.dialects.openai.kept import KEPT
from isthmusd.dialects.registry import kept, served

BODY = b'{ "model":"m", "stream":true,"stream_options":{"include_usage":true}, "prompt":"a","seed":1.0 }'


@pytest.mark.parametrize("operation", KEPT)
def test_bytes_are_their_own_written_form(operation: Operation) -> None:
    half = kept("openai", operation)

    for there, back in (
        (half.freeze_request, half.thaw_request),
        (half.freeze, half.thaw_whole),
        (half.freeze, half.thaw_piece),
    ):
        assert there(BODY) == BODY
        assert back(BODY) == BODY


def test_a_request_is_the_same_whether_or_not_it_streams() -> None:
    peeked = served("openai", Operation.COMPLETION).peek(BODY)

    canonical = kept("openai", Operation.COMPLETION).canonical(BODY, peeked)

    assert canonical == b'{"model":"m","prompt":"a","seed":1.0}'


@pytest.mark.parametrize(
    ("operation", "begins"), [(Operation.CHAT, b'data: {"error":'), (Operation.RESPONSES, b"event: error\n")]
)
def test_a_stream_fails_in_the_words_of_its_operation(operation: Operation, begins: bytes) -> None:
    written = kept("openai", operation).write_failure(Interrupted("It broke off."))

    assert written.startswith(begins)
    assert b"It broke off." in written


@pytest.mark.parametrize(
    ("members", "is_same"),
    [
        ("", True),
        ('"stream":null,"stream_options":null', True),
        ('"stream":false', True),
        ('"stream":true', True),
        ('"stream":true,"stream_options":null', True),
        ('"stream":true,"stream_options":{}', True),
        ('"stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false}', True),
        ('"stream":true,"stream_options":{"include_usage":null}', True),
        ('"stream_options":{"include_usage":true}', False),
        ('"stream":false,"stream_options":{}', False),
        ('"stream":true,"stream_options":{"include_usage":true,"x":9}', False),
        ('"stream":true,"stream_options":{"include_obfuscation":1}', False),
        ('"stream":true,"stream_options":{"include_obfuscation":0.0}', False),
        ('"stream":true,"stream_options":{"include_obfuscation":[]}', False),
    ],
)
def test_what_a_provider_may_refuse_is_no_part_of_the_form(members: str, is_same: bool) -> None:
    def canonical(more: str) -> bytes | None:
        body = ("{" + ",".join(part for part in ('"model":"m","prompt":"a"', more) if part) + "}").encode()
        return kept("openai", Operation.COMPLETION).canonical(body, served("openai", Operation.COMPLETION).peek(body))

    assert (canonical(members) == canonical("")) is is_same
