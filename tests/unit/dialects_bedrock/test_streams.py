"""The states of a stream: how it begins, ends, breaks and fails."""

from __future__ import annotations

import pytest
from isthmusd.core.errors import (
    Garbled,
    Interrupted,
    KeyRejected,
    Overloaded,
    Rejected,
    Throttled,
    TimedOut,
    UpstreamError,
)
from isthmusd.core.events import (
    ChoiceEnd,
    End,
    Event,
    RawDelta,
    RoleDelta,
    StreamStart,
    TextDelta,
    ThinkingSignature,
    UsageReport,
)
from isthmusd.core.profile import Profile
from isthmusd.core.usage import Usage

from tests.unit.dialects_bedrock.frames import (
    block_start,
    block_stop,
    delta,
    event,
    exception,
    failure,
    header,
    message,
    raw_event,
    streamed,
)
from tests.unit.dialects_bedrock.requests import CHAT, STAMP

START = StreamStart(id="chatcmpl-s7", model="", created_at=STAMP.created_at)
BEGUN = event("messageStart", role="assistant") + delta(0, text="Hi")
BEGUN_EVENTS = [START, RoleDelta(choice=0, role="assistant"), TextDelta(choice=0, text="Hi")]
ENDED = [ChoiceEnd(choice=0, finish_reason="stop", native_finish_reason="end_turn")]
STOP = event("messageStop", stopReason="end_turn")


def read(data: bytes) -> tuple[list[Event], UpstreamError | None]:
    decoder = CHAT.stream_decoder(STAMP, Profile())
    events = decoder.feed(data)
    after = decoder.feed(BEGUN) if decoder.ended or decoder.failure else []
    assert after == []
    return events + decoder.close(), decoder.failure


def test_the_order_of_events() -> None:
    usage = {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}

    events, broken = read(streamed(delta(0, text="Hi"), block_stop(0), usage=usage, metrics={"latencyMs": 1}))

    assert broken is None
    assert events == [
        *BEGUN_EVENTS,
        # Before the choice ends: later it would go out in a chunk without a choice.
        RawDelta(choice=None, extra=(("metrics", '{"latencyMs":1}'),)),
        *ENDED,
        UsageReport(usage=Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)),
        End(),
    ]


def test_metadata_ends_the_stream_at_once() -> None:
    decoder = CHAT.stream_decoder(STAMP, Profile())

    decoder.feed(BEGUN + STOP)
    assert not decoder.ended
    decoder.feed(event("metadata"))
    assert decoder.ended
    assert decoder.close() == []


def test_usage_may_be_missing() -> None:
    assert read(BEGUN + STOP) == ([*BEGUN_EVENTS, *ENDED, End()], None)


def test_metadata_may_come_early() -> None:
    assert read(BEGUN + event("metadata") + STOP) == ([*BEGUN_EVENTS, *ENDED, End()], None)


def test_fields_beside_the_reason_are_kept() -> None:
    stop = event("messageStop", stopReason="end_turn", additionalModelResponseFields={"stop_sequence": "x"})

    events, _ = read(BEGUN + stop)

    kept = RawDelta(choice=None, extra=(("additionalModelResponseFields", '{"stop_sequence":"x"}'),))
    assert events == [*BEGUN_EVENTS, kept, *ENDED, End()]


def test_unknown_events_say_nothing() -> None:
    odd = event("initial-response") + raw_event("brandNew", b"\xff") + message(header(":message-type", "event"), b"")

    assert read(odd + BEGUN + STOP) == ([*BEGUN_EVENTS, *ENDED, End()], None)


@pytest.mark.parametrize("first", [delta(0, text="Hi"), delta(3, text="Hi"), block_start(1) + delta(1, text="Hi")])
def test_a_stream_may_begin_without_its_start(first: bytes) -> None:
    assert read(first + STOP) == ([*BEGUN_EVENTS, *ENDED, End()], None)


@pytest.mark.parametrize("data", [b"", BEGUN, BEGUN + STOP[:-1], BEGUN + b"\x00\x00", BEGUN + block_stop(0)])
def test_a_stream_without_its_stop_was_interrupted(data: bytes) -> None:
    events, broken = read(data)

    assert isinstance(broken, Interrupted)
    assert End() not in events


@pytest.mark.parametrize(
    "bad",
    [
        raw_event("messageStart", b"{"),
        raw_event("contentBlockStart", b'{"start":{"toolUse":{"name":"f"}}}'),
        raw_event("contentBlockDelta", b'{"delta":{"text":7}}'),
        raw_event("contentBlockDelta", b'{"delta":{"text":"\xff"}}'),
        raw_event("messageStop", b"[]"),
        raw_event("metadata", b'{"usage":{"inputTokens":"x"}}'),
        delta(0, citation=7) + block_stop(0),
        delta(0, text="x")[:-1] + b"\x00",
        b"data: {}\n\n" * 4,
    ],
)
def test_broken_pieces_make_a_garbled_stream(bad: bytes) -> None:
    events, broken = read(BEGUN + bad + STOP)

    assert isinstance(broken, Garbled)
    assert events == BEGUN_EVENTS


@pytest.mark.parametrize(
    ("name", "kind", "status"),
    [
        ("throttlingException", Throttled, 429),
        ("serviceUnavailableException", Overloaded, 502),
        ("internalServerException", Overloaded, 502),
        ("modelStreamErrorException", Overloaded, 502),
        ("modelTimeoutException", TimedOut, 504),
        ("validationException", Rejected, 400),
        ("accessDeniedException", KeyRejected, 401),
        ("brandNewException", Overloaded, 502),
    ],
)
def test_exceptions_are_failures_of_their_kind(name: str, kind: type[UpstreamError], status: int) -> None:
    events, broken = read(BEGUN + exception(name, message="No luck.") + STOP)

    assert type(broken) is kind
    assert broken is not None
    assert broken.http_status == status
    assert broken.told.detail == f"{name[0].upper()}{name[1:]}: No luck."
    assert events == BEGUN_EVENTS


@pytest.mark.parametrize(
    ("original", "kind"), [(500, Overloaded), (429, Throttled), (504, TimedOut), (400, Overloaded), (None, Overloaded)]
)
def test_the_model_s_own_server_says_more(original: int | None, kind: type[UpstreamError]) -> None:
    words = {} if original is None else {"originalStatusCode": original, "originalMessage": "Deep trouble."}

    _, broken = read(BEGUN + exception("modelStreamErrorException", message="Model error", **words))

    assert type(broken) is kind
    assert broken is not None
    assert ("Deep trouble." in (broken.told.detail or "")) is (original is not None)


def test_errors_of_the_transport_are_failures_too() -> None:
    _, broken = read(BEGUN + failure("InternalFailure", "It broke."))

    assert type(broken) is Overloaded
    assert broken is not None
    assert broken.told.detail == "InternalFailure: It broke."


def test_bytes_that_were_padded_piece_by_piece_are_joined_as_bytes() -> None:
    pieces = [delta(0, reasoningContent={"redactedContent": piece}) for piece in ("cg==", "ZWQ=")]

    events, failed = read(event("messageStart", role="assistant") + b"".join(pieces) + block_stop(0) + STOP)

    assert ThinkingSignature(choice=0, redacted_data="cmVk") in events
    assert failed is None


def test_padded_bytes_that_are_none_break_the_format() -> None:
    pieces = [delta(0, image={"source": {"bytes": piece}}) for piece in ("a===", "b")]

    _, failed = read(block_start(0, image={"format": "png"}) + b"".join(pieces) + block_stop(0))

    assert isinstance(failed, Garbled)
