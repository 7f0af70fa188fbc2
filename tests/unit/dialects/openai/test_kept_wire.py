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
