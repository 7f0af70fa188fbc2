"""One streamed answer on its way: silence, limits, failures before and within it, and what is accounted for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from isthmusd.core.errors import Garbled, GatewayError, Interrupted, Rejected, TimedOut, Unreachable, UpstreamError
from isthmusd.core.record import EndReason, Record
from isthmusd.core.usage import Usage
from isthmusd.pipeline.options import PipelineOptions
from isthmusd.pipeline.record import Draft
from isthmusd.pipeline.stream import Patience, RunningStream

from tests.unit.pipeline.targets import NEVER, Answer, Step
from tests.unit.pipeline.world import FakeClock, KeptJournal, arrival_of, play

OPTIONS = PipelineOptions(request_s=600.0, first_event_s=120.0, idle_s=300.0, keep_alive_s=15.0)


class LineRelay:
    """Passes whole lines. `.` is the terminator, a line with `!` breaks the stream, `#` counts a token."""

    def __init__(self, *, says_errors: bool = True) -> None:
        self.failure: UpstreamError | None = None
        self.ended = False
        self.usage: Usage | None = None
        self._held = b""
        self._says_errors = says_errors

    def feed(self, data: bytes) -> bytes | None:
        *lines, self._held = (self._held + data).split(b"\n")
        passed = [line for line in lines if self._take(line)]
        return b"|".join(passed) or None

    def close(self) -> bytes | None:
        if not self.ended:
            self.failure = Interrupted("no end")
        return None

    def fail(self, error: GatewayError) -> bytes | None:
        return f"failed: {error.code}".encode() if self._says_errors else None

    def _take(self, line: bytes) -> bool:
        if b"!" in line:
            self.failure = Rejected("the model does not like it") if b"no" in line else Garbled("not a line")
        if b"#" in line:
            before = self.usage.completion_tokens if self.usage is not None else None
            self.usage = Usage(completion_tokens=(before or 0) + 1)
        self.ended = self.ended or line == b"."
        return self.failure is None and line not in (b".", b"")


class Listener:
    """Takes a stream and notes when each piece came."""

    def __init__(self, *steps: Step, deadline_at: float | None = None, says_errors: bool = True) -> None:
        self.answer = Answer(steps=steps)
        self.heard: list[tuple[float, Any]] = []
        self.journal = KeptJournal()
        self.draft = Draft(arrival_of(stream=True), FakeClock(), self.journal)
        self._relay = LineRelay(says_errors=says_errors)
        self._deadline_at = deadline_at

    def running(self) -> RunningStream:
        patience = Patience.of(OPTIONS, 0.0, self._deadline_at)
        return RunningStream(self.answer, self._relay, b":", patience, FakeClock(), self.draft)

    async def listen(self, pause_s: float = 0.0, at_most: int | None = None) -> None:
        running = self.running()
        await running.prime()
        pieces = running.pieces()
        async for piece in pieces:
            self.heard.append((asyncio.get_running_loop().time(), piece))
            if len(self.heard) == at_most:
                await pieces.aclose()
            await asyncio.sleep(pause_s)

    def record(self) -> Record:
        return self.draft.finish()


def heard_from(*steps: Step, **how: Any) -> Listener:
    listener = Listener(*steps, **how)
    play(listener.listen())
    return listener


def test_pieces_pass_as_they_come_and_a_clean_end_is_complete() -> None:
    listener = heard_from(b"a\n", 1.0, b"b\nc", 2.0, b"d\n.\n")

    assert listener.heard == [(0.0, b"a"), (1.0, b"b"), (3.0, b"cd")]
    assert listener.record().end is EndReason.COMPLETE
    assert listener.record().first_event_s == 0.0


@pytest.mark.parametrize("rest", [(b"more\n",), (NEVER,), (Interrupted("cut"),)])
def test_nothing_after_the_terminator_reaches_the_caller(rest: tuple[Step, ...]) -> None:
    listener = heard_from(b"a\n.\n", *rest)

    assert [piece for _, piece in listener.heard] == [b"a"]
    assert listener.record().end is EndReason.COMPLETE


@pytest.mark.parametrize(
    ("steps", "records_at_pieces"),
    [
        ((b"a\n", b"b\n.\n"), [0, 1]),
        ((b"a\n.\n",), [1]),
        ((b"a\n", b"b\n!\n"), [0, 0, 1]),
        ((b"a\n", Interrupted("cut")), [0, 1]),
    ],
    ids=["complete", "in one piece", "garbled", "cut"],
)
def test_the_record_is_written_before_the_last_piece_leaves(
    steps: tuple[Step, ...], records_at_pieces: list[int]
) -> None:
    listener = Listener(*steps)
    seen = list[int]()

    async def scene() -> None:
        running = listener.running()
        await running.prime()
        async for _ in running.pieces():
            seen.append(len(listener.journal.records))

    play(scene())

    assert seen == records_at_pieces
    assert listener.journal.only.usage == listener.draft.usage


def test_a_caller_who_leaves_with_the_last_piece_has_a_complete_call() -> None:
    listener = Listener(b"a#\n", b"b#\n.\n", NEVER)

    play(listener.listen(at_most=2))

    assert listener.journal.only.end is EndReason.COMPLETE
    assert listener.journal.only.usage == Usage(completion_tokens=2)


def test_nothing_is_read_ahead_of_the_caller() -> None:
    listener = Listener(b"a\n", b"b\n", b"c\n", b".\n")

    async def scene() -> int:
        running = listener.running()
        await running.prime()
        await anext(running.pieces())
        return listener.answer.read_count

    assert play(scene()) == 1


def test_silence_gets_a_keep_alive_every_so_often() -> None:
    listener = heard_from(b"a\n", 40.0, b"b\n.\n")

    assert listener.heard == [(0.0, b"a"), (15.0, b":"), (30.0, b":"), (40.0, b"b")]


def test_a_slow_target_gets_keep_alives_before_its_first_event() -> None:
    listener = heard_from(35.0, b"a\n.\n")

    assert listener.heard == [(15.0, b":"), (30.0, b":"), (35.0, b"a")]
    assert listener.record().first_event_s == 35.0


def test_bytes_that_make_no_event_are_no_reason_for_a_keep_alive_to_come_early() -> None:
    listener = heard_from(5.0, b"half ", 5.0, b"a line\n.\n")

    assert listener.heard == [(10.0, b"half a line")]


def test_a_target_that_sends_no_first_event_in_time_fails_in_band() -> None:
    listener = heard_from(NEVER)

    assert listener.heard[-1] == (120.0, b"failed: timeout")
    assert [piece for _, piece in listener.heard[:-1]] == [b":"] * 7
    assert listener.record().first_event_s is None


def test_a_target_that_falls_silent_fails_in_band() -> None:
    listener = heard_from(10.0, b"a\n", NEVER)

    assert listener.heard[-1] == (310.0, b"failed: timeout")
    assert listener.record().end is EndReason.INTERRUPTED
    assert listener.record().error_code == "timeout"


def test_a_stream_may_last_longer_than_any_limit_as_long_as_it_moves() -> None:
    steps: list[Step] = [step for _ in range(20) for step in (290.0, b"a\n")]

    listener = heard_from(b"a\n", *steps, b".\n")

    assert listener.heard[-1] == (5800.0, b"a")
    assert listener.record().end is EndReason.COMPLETE


def test_a_slow_reader_is_not_taken_for_a_silent_target() -> None:
    listener = Listener(b"a\n", b"b\n", 5.0, b"c\n", 5.0, b"d\n.\n")

    play(listener.listen(pause_s=400.0))

    assert [piece for _, piece in listener.heard] == [b"a", b"b", b"c", b"d"]
    assert listener.record().end is EndReason.COMPLETE


@pytest.mark.parametrize(("steps", "pieces"), [((b"a\n", NEVER), [b"a"]), ((NEVER,), [])])
def test_the_callers_deadline_ends_the_stream(steps: tuple[Step, ...], pieces: list[bytes]) -> None:
    listener = heard_from(*steps, deadline_at=20.0)

    assert listener.heard[-1] == (20.0, b"failed: timeout")
    assert [piece for _, piece in listener.heard[:-1]] == [*pieces, b":"]


@pytest.mark.parametrize(
    ("steps", "raised"),
    [
        ((b"!\n",), Garbled),
        ((b"no!\n",), Rejected),
        ((1.0, b"half", Interrupted("cut")), Unreachable),
        ((b"half",), Unreachable),
        ((), Unreachable),
    ],
)
def test_a_failure_before_the_first_piece_is_raised(steps: tuple[Step, ...], raised: type[UpstreamError]) -> None:
    listener = Listener(*steps)

    with pytest.raises(raised) as failure:
        play(listener.listen())

    assert listener.heard == []
    assert failure.value.fall_back == (raised is not Rejected)


def test_a_deadline_before_the_first_piece_and_the_first_keep_alive_is_raised() -> None:
    listener = Listener(NEVER, deadline_at=10.0)

    with pytest.raises(TimedOut, match="deadline"):
        play(listener.listen())


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ((b"a\n", Interrupted("cut")), "upstream_interrupted"),
        ((b"a\n", b"half"), "upstream_interrupted"),
        ((b"a\n", b"b!\n"), "upstream_garbled"),
        ((b"a\nb!\n",), "upstream_garbled"),
        ((b"a\n", b"no!\n"), "invalid_request"),
    ],
)
def test_a_failure_after_the_first_piece_is_told_in_band(steps: tuple[Step, ...], code: str) -> None:
    listener = heard_from(*steps)

    assert [piece for _, piece in listener.heard] == [b"a", f"failed: {code}".encode()]
    record = listener.record()
    assert (record.end, record.error_code, record.status) == (EndReason.INTERRUPTED, code, 200)


def test_where_the_wire_cannot_say_so_the_failure_is_raised_after_the_pieces() -> None:
    listener = Listener(b"a\n", Interrupted("cut"), says_errors=False)

    with pytest.raises(Interrupted):
        play(listener.listen())

    assert [piece for _, piece in listener.heard] == [b"a"]
    assert listener.record().end is EndReason.INTERRUPTED


@pytest.mark.parametrize("steps", [(b"a#\nb#\n.\n",), (b"a#\n", b"b#\n", Interrupted("cut"))])
def test_usage_is_recorded_however_the_stream_ends(steps: tuple[Step, ...]) -> None:
    assert heard_from(*steps).record().usage == Usage(completion_tokens=2)


def test_usage_is_recorded_of_what_a_caller_who_left_has_read() -> None:
    listener = Listener(b"a#\n", b"b#\n", b"c#\n", b".\n")

    play(listener.listen(at_most=2))

    assert listener.record().usage == Usage(completion_tokens=2)
