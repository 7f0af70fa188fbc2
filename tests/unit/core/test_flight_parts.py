"""What workers tell each other, as bytes and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from isthmusd.core import errors
from isthmusd.core.entry import Unreadable
from isthmusd.core.errors import (
    Exhausted,
    GatewayError,
    Overloaded,
    Rejected,
    Throttled,
    Told,
    Unavailable,
    UpstreamError,
)
from isthmusd.core.flight_parts import (
    KINDS,
    HeadPart,
    Landing,
    PeerAsking,
    error_of,
    failure_of,
    read_asking,
    read_head,
    read_landing,
    written,
)
from isthmusd.core.record import Attempt
from isthmusd.core.request import Operation, Surface
from isthmusd.core.usage import Usage

from tests.unit.core.entries import HEAD, HEADS, MAYBE, TEXT, USAGES

ASKING = PeerAsking(
    operation=Operation.CHAT,
    surface=Surface.OPENAI,
    dialect="openai",
    method="POST",
    path="/v1/chat/completions",
    headers={"authorization": ["Bearer sk-live"], "x-a": ["1", "2"]},
    body=b'{"secret":1}',
    stream=True,
    authority="gateway.test",
    started_at=1_700_000_000.5,
    name=b"n" * 32,
    id=b"i" * 16,
)
TOLD = Told(status=429, type="their_type", request_id="r", detail="for the log")
ATTEMPT = Attempt(provider="p", model="m", status=429, duration_s=0.5, error="rate_limit_exceeded", endpoint="e")
FAILURE = failure_of(Throttled("Slow down.", retry_after_s=1.5, told=TOLD))
LANDING = Landing(usage=Usage(prompt_tokens=1), attempts=(ATTEMPT,), failure=FAILURE, told=True)
HEAD_PART = HeadPart(head=HEAD, fresh=True, joined=False)
PARTS: list[tuple[Any, Callable[[bytes], Any]]] = [
    (ASKING, read_asking),
    (HEAD_PART, read_head),
    (LANDING, read_landing),
    (Landing(usage=None, attempts=()), read_landing),
]
TOLDS = st.builds(Told, status=st.none() | st.integers(100, 599), type=MAYBE, request_id=MAYBE, detail=MAYBE)
WAITS = st.none() | st.floats(min_value=0, allow_infinity=False)
CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, GatewayError)]
ERRORS = st.sampled_from(
    [kind for kind in CLASSES if issubclass(kind, UpstreamError) and kind is not Exhausted]
).flatmap(
    lambda kind: st.builds(
        kind,
        message=TEXT,
        code=MAYBE,
        param=MAYBE,
        http_status=st.integers(400, 599),
        retry_after_s=WAITS,
        told=TOLDS,
    )
)


def facts(error: GatewayError) -> tuple[Any, ...]:
    """Give all that those who show or judge an error look at."""
    told = error.told if isinstance(error, UpstreamError) else None
    answer = (error.message, str(error), error.type, error.code, error.param, error.http_status, error.reason)
    return (*answer, error.retryable, error.fall_back, error.retry_after_s, told)


def through(error: GatewayError) -> GatewayError:
    """Tell an error to another worker."""
    landing = read_landing(written(Landing(usage=None, attempts=(), failure=failure_of(error))))
    assert landing.failure is not None
    return error_of(landing.failure)


@pytest.mark.parametrize(("part", "read"), PARTS)
def test_parts_come_back_and_every_cut_is_noticed(part: Any, read: Callable[[bytes], Any]) -> None:
    data = written(part)

    assert read(data) == part
    for length in range(len(data)):
        with pytest.raises(Unreadable):
            read(data[:length])
    with pytest.raises(Unreadable):
        read(data + b"\0")


@pytest.mark.parametrize("read", [read_asking, read_head, read_landing])
def test_garbage_is_no_part(read: Callable[[bytes], Any]) -> None:
    others = [written(part) for part, reader in PARTS if reader is not read]

    for data in (b"", b"\xc1", b"\x80", b"\xa1\xff", b"\x81\xa1z" + b"\x91" * 100_000, *others):
        with pytest.raises(Unreadable):
            read(data)


@given(st.builds(HeadPart, head=HEADS, fresh=st.booleans(), joined=st.booleans()))
def test_any_head_comes_back(part: HeadPart) -> None:
    assert read_head(written(part)) == part


@given(
    st.builds(
        PeerAsking,
        operation=st.sampled_from(Operation),
        surface=st.sampled_from(Surface),
        dialect=TEXT,
        method=TEXT,
        path=TEXT,
        headers=st.dictionaries(TEXT, st.lists(TEXT, max_size=2), max_size=2),
        body=st.binary(max_size=9),
        stream=st.booleans(),
        authority=MAYBE,
        started_at=st.floats(allow_nan=False),
        name=st.binary(max_size=9),
        id=st.binary(max_size=9),
        fresh=st.booleans(),
    )
)
def test_any_asking_comes_back(asking: PeerAsking) -> None:
    assert read_asking(written(asking)) == asking


@given(st.none() | USAGES, st.sampled_from(CLASSES), TEXT, TOLDS, st.booleans())
def test_any_landing_comes_back(usage: Usage | None, kind: type[Any], text: str, told: Told, in_band: bool) -> None:
    failure = failure_of(Rejected(text, told=told) if kind is Exhausted else kind(text))
    landing = Landing(usage=usage, attempts=(ATTEMPT,), failure=failure, told=in_band)

    assert read_landing(written(landing)) == landing


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind is not Exhausted])
def test_an_error_of_every_class_is_the_same_elsewhere(kind: type[Any]) -> None:
    plain = kind("Do something else.")
    special = kind("Wait.", code="special", param="messages[0]", http_status=418, retry_after_s=2.5)
    special.retryable, special.type = not kind.retryable, "special_type"

    for error in (plain, special):
        back = through(error)

        assert type(back) is kind
        assert facts(back) == facts(error)


@given(ERRORS)
def test_what_a_provider_said_is_the_same_elsewhere(error: UpstreamError) -> None:
    assert facts(through(error)) == facts(error)


def test_what_is_no_unicode_is_told_with_question_marks() -> None:
    error = Rejected("No \udcff.", told=Told(request_id="r\udcff", detail="d\udcff"))

    back = through(error)

    assert (back.message, back.told.request_id, back.told.detail) == ("No ?.", "r?", "d?")


def test_an_error_without_a_code_has_none_elsewhere() -> None:
    error = Rejected("No.")
    error.code = None

    assert through(error).code is None


def test_what_failed_everywhere_speaks_with_its_speaker() -> None:
    attempts = (Overloaded("Broken."), Throttled("Slow down.", retry_after_s=3.0, told=TOLD), Rejected("No."))
    exhausted = Exhausted(attempts)

    back = through(exhausted)

    assert type(back) is Throttled
    assert facts(back)[:-3] == facts(exhausted)[:-3]
    assert (back.retry_after_s, back.type) == (3.0, "their_type")
    assert facts(back)[-1] == exhausted.told


def test_every_class_can_be_told() -> None:
    assert set(KINDS.values()) == {*CLASSES} - {Exhausted}
    assert type(through(Unavailable("Later."))) is Unavailable


def test_a_class_from_elsewhere_is_told_as_what_it_is_derived_from() -> None:
    class Unheard(Unavailable):
        """Of no worker's tree."""

    back = through(Unheard("Something else.", http_status=499))

    assert type(back) is Unavailable
    assert (back.message, back.http_status) == ("Something else.", 499)


def test_no_repr_shows_what_was_asked_or_by_whom() -> None:
    assert "sk-live" not in repr(ASKING)
    assert "secret" not in repr(ASKING)
