"""Events written as a stream of OpenAI chunks."""

from __future__ import annotations

import msgspec
from isthmusd.core.errors import Interrupted
from isthmusd.core.events import (
    AudioDelta,
    ChoiceEnd,
    End,
    Event,
    LogprobsDelta,
    RawDelta,
    RefusalDelta,
    StreamStart,
    TextDelta,
    ThinkingDelta,
    ThinkingSignature,
    UsageReport,
)
from isthmusd.core.request import Operation
from isthmusd.core.usage import Usage
from isthmusd.dialects.registry import served

from tests.unit.dialects.openai.values import STAMP

START = StreamStart(id="c", model="m", created_at=7)


def write(*events: Event, include_usage: bool = False, operation: Operation = Operation.CHAT) -> list[object]:
    written = served("openai", operation).stream_encoder(STAMP, include_usage).feed(events)
    blocks = (written or b"").decode().split("\n\n")[:-1]
    return [b if b == "data: [DONE]" else msgspec.json.decode(b.removeprefix("data: ").encode()) for b in blocks]


def choice(written: object) -> list[dict[str, object]]:
    assert isinstance(written, dict)
    return written["choices"]


def test_usage_members_appear_only_if_they_were_asked_for() -> None:
    usage = Usage(prompt_tokens=1, completion_tokens=2, cached_tokens=1)
    events = [START, TextDelta(choice=0, text="a"), UsageReport(usage=usage), End()]

    plain = write(*events)
    asked = write(*events, include_usage=True)

    assert ["usage" in chunk for chunk in plain[:-1]] == [False]  # pyright: ignore[reportOperatorIssue]
    assert asked[0]["usage"] is None  # pyright: ignore[reportIndexIssue]
    assert asked[1]["choices"] == []  # pyright: ignore[reportIndexIssue]
    assert asked[1]["usage"] == {  # pyright: ignore[reportIndexIssue]
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "total_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 1},
    }
    assert plain[-1] == asked[-1] == "data: [DONE]"


def test_log_probabilities_join_the_tokens_before_them() -> None:
    probabilities = LogprobsDelta(choice=0, json='{"content":[]}')  # pyright: ignore[reportArgumentType]

    joined = write(START, TextDelta(choice=0, text="a"), probabilities)
    alone = write(probabilities)
    after_nothing = write(START, ThinkingSignature(choice=0), probabilities)

    assert choice(joined[0]) == [
        {"index": 0, "delta": {"content": "a"}, "logprobs": {"content": []}, "finish_reason": None}
    ]
    for written in (alone, after_nothing):
        assert choice(written[0]) == [{"index": 0, "delta": {}, "logprobs": {"content": []}, "finish_reason": None}]
    assert len(joined) == len(alone) == len(after_nothing) == 1


def test_what_has_no_form_on_the_wire_is_nothing() -> None:
    encoder = served("openai", Operation.CHAT).stream_encoder(STAMP, False)

    assert encoder.feed([START]) is None
    assert encoder.feed([ThinkingSignature(choice=0)]) is None
    assert write(START, ThinkingDelta(choice=0, text="x"), operation=Operation.COMPLETION) == []


def test_members_of_the_whole_answer_wait_for_a_chunk() -> None:
    extra = RawDelta(choice=None, extra=(("provider", '"p"'),))  # pyright: ignore[reportArgumentType]

    first = write(START, extra, TextDelta(choice=0, text="a"), TextDelta(choice=0, text="b"))
    last = write(START, extra, End())

    assert [chunk.get("provider") for chunk in first] == ["p", None]  # pyright: ignore[reportAttributeAccessIssue]
    assert last[0]["choices"] == []  # pyright: ignore[reportIndexIssue]


def test_a_stream_that_nobody_started_is_named_by_the_stamp() -> None:
    (written,) = write(ChoiceEnd(choice=1, finish_reason="stop", native_finish_reason="END"))

    assert written == {
        "id": "chatcmpl-abc123",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "",
        "choices": [
            {"index": 1, "delta": {}, "logprobs": None, "finish_reason": "stop", "native_finish_reason": "END"}
        ],
    }


def test_audio_and_refusals_are_written() -> None:
    audio = AudioDelta(choice=0, json='{"id":"a"}')  # pyright: ignore[reportArgumentType]

    chunks = write(START, audio, RefusalDelta(choice=0, text="no"))

    assert [choice(chunk)[0]["delta"] for chunk in chunks] == [{"audio": {"id": "a"}}, {"refusal": "no"}]


def test_a_failure_is_written_in_band() -> None:
    encoder = served("openai", Operation.COMPLETION).stream_encoder(STAMP, False)

    assert encoder.fail(Interrupted("cut")).startswith(b'data: {"error":{"message":"cut",')
