"""A translated stream: usage, failures and any cut, with OpenAI's format on both sides."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from isthmusd.core.call import Stamp
from isthmusd.core.errors import Garbled, Interrupted
from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation
from isthmusd.core.usage import Usage, estimate
from isthmusd.dialects.registry import called, served
from isthmusd.dialects.translation import Translation

STAMP = Stamp(id="abc", created_at=7)
DONE = b"data: [DONE]\n\n"


def translation(*, include_usage: bool = True) -> Translation:
    return Translation(
        called("openai", Operation.CHAT).stream_decoder(STAMP, Profile()),
        served("openai", Operation.CHAT).stream_encoder(STAMP, include_usage),
        prompt_bytes=8,
    )


def chunk(delta: str, rest: str = "") -> bytes:
    return f'data: {{"id":"c","choices":[{{"index":0,"delta":{delta}}}]{rest}}}\n\n'.encode()


CALL = '{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}'
STREAM = (
    chunk('{"role":"assistant","content":""}')
    + chunk('{"reasoning":"hm"}').replace(b"\n", b"\r\n")
    + chunk('{"content":"ä"}')
    + chunk('{"refusal":"no"}')
    + chunk(CALL)
)


def run(relay: Translation, stream: bytes, cuts: list[int] | None = None) -> bytes:
    out = b""
    start = 0
    for cut in [*sorted(cuts or []), len(stream)]:
        out += relay.feed(stream[start:cut]) or b""
        start = cut
    return out + (relay.close() or b"")


def test_reported_usage_passes() -> None:
    relay = translation()

    out = run(relay, STREAM + chunk("null", ',"usage":{"prompt_tokens":1,"completion_tokens":2}') + DONE)

    assert relay.usage == Usage(prompt_tokens=1, completion_tokens=2)
    assert b'"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}' in out
    assert out.endswith(DONE)


def test_unreported_usage_is_estimated_and_shown_to_who_asked() -> None:
    relay = translation()

    out = run(relay, STREAM + DONE)

    assert relay.usage == estimate(8, len("hmäno{}".encode()))
    assert b'"usage":{"prompt_tokens":2,' in out
    assert (relay.ended, relay.failure) == (True, None)


def test_a_cut_stream_fails_with_an_estimate_and_without_a_terminator() -> None:
    relay = translation()

    out = run(relay, STREAM)

    assert isinstance(relay.failure, Interrupted)
    assert relay.usage is not None
    assert relay.usage.estimated
    assert DONE not in out
    assert (relay.fail(relay.failure) or b"").startswith(b'data: {"error":')


def test_a_garbled_stream_keeps_what_came_before() -> None:
    relay = translation()

    out = relay.feed(chunk('{"content":"a"}') + b"data: {\n\n")

    assert isinstance(relay.failure, Garbled)
    assert b'"content":"a"' in (out or b"")
    assert relay.close() is None


@settings(deadline=None)
@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_any_cut_gives_the_same_bytes(cuts: list[int]) -> None:
    assert run(translation(), STREAM + DONE, cuts) == run(translation(), STREAM + DONE)


def test_fed_byte_by_byte_it_gives_the_same_bytes() -> None:
    stream = STREAM + DONE

    assert run(translation(), stream, list(range(len(stream)))) == run(translation(), stream)
