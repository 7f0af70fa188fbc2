"""The same format on both sides: bytes survive, and the tap sees what it must."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isthmusd.core.errors import Garbled, Interrupted, Overloaded, Rejected, Throttled
from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation, Peeked
from isthmusd.core.usage import Usage, estimate
from isthmusd.dialects.base import Relay
from isthmusd.dialects.registry import identity, served

PROFILE = Profile()
NO_OPTIONS = Profile(accepts_stream_options=False)
NO_DONE = Profile(stream_ends_with_done=False)
ODD = (
    b'{ "messages" : [{"role":"user","content":"\\u00e4"}] ,"seed":12345678901234567890123'
    b',\t"x":null,"model":"fast"%s}\n'
)


def splice(
    body: bytes, model: str = "fast", profile: Profile = PROFILE, operation: Operation = Operation.CHAT
) -> bytes:
    peeked = served("openai", operation).peek(body)
    way = identity("openai", operation)
    assert way is not None
    spliced, losses = way.splice(body, peeked, model, profile)
    assert losses == ()
    return spliced


def test_a_body_that_needs_nothing_passes_as_it_is() -> None:
    body = ODD % b""

    assert splice(body) is body


def test_only_the_models_value_changes() -> None:
    assert splice(ODD % b"", "gpt-4o") == ODD.replace(b'"fast"', b'"gpt-4o"') % b""


@pytest.mark.parametrize(
    ("options", "spliced"),
    [
        (b"", b',"stream":true,"stream_options":{"include_usage":true}'),
        (b',"stream_options":null', b',"stream_options":{"include_usage":true},"stream":true'),
        (b',"stream_options": { }', b',"stream_options": { "include_usage":true},"stream":true'),
        (
            b',"stream_options":{"include_usage":false, "z":1.0}',
            b',"stream_options":{"include_usage":true, "z":1.0},"stream":true',
        ),
        (
            b',"stream_options":{"include_obfuscation":false }',
            b',"stream_options":{"include_obfuscation":false ,"include_usage":true},"stream":true',
        ),
        (b',"stream_options":{"include_usage":true}', b',"stream_options":{"include_usage":true},"stream":true'),
    ],
)
def test_streams_ask_for_usage(options: bytes, spliced: bytes) -> None:
    assert splice(ODD % (options + b',"stream":true')) == ODD % spliced


def test_usage_is_not_asked_for_where_it_cannot_be() -> None:
    body = ODD % b',"stream":true'

    assert splice(body, profile=NO_OPTIONS) is body
    assert splice(b'{"model":"m","input":"x","stream":true}', "m", operation=Operation.RESPONSES).endswith(b"true}")
    assert splice(ODD % b',"stream":false') == ODD % b',"stream":false'


def test_a_moderation_without_a_model_stays_without_unless_routed_elsewhere() -> None:
    body = b'{"input":"x"}'

    assert splice(body, "omni-moderation-latest", operation=Operation.MODERATION) is body
    assert splice(body, "m", operation=Operation.MODERATION) == b'{"input":"x","model":"m"}'


def chunk(inner: str, tail: str = "") -> bytes:
    return f'data: {{"id":"c","object":"chat.completion.chunk","choices":[{inner}]{tail}}}\n\n'.encode()


def delta(text: str, finish: str = "null", index: int = 0) -> str:
    return f'{{"index":{index},"delta":{{"content":"{text}"}},"finish_reason":{finish}}}'


USAGE = ',"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}'
DONE = b"data: [DONE]\n\n"


def relay(
    *, asked: bool = False, profile: Profile = PROFILE, operation: Operation = Operation.CHAT, size: int = 40
) -> Relay:
    way = identity("openai", operation)
    assert way is not None
    return way.tap(Peeked(model="m", stream=True, include_usage=asked), size, profile)


def run(tap: Relay, stream: bytes, cuts: list[int] | None = None) -> bytes:
    out = b""
    start = 0
    for cut in [*sorted(cuts or []), len(stream)]:
        out += tap.feed(stream[start:cut]) or b""
        start = cut
    return out + (tap.close() or b"")


def test_what_the_caller_asked_for_passes_untouched() -> None:
    stream = (
        chunk(delta("a"), ',"usage":null') + b": ping\n\n" + chunk(delta("b", '"stop"'), ',"usage":null')
    ) + chunk("", USAGE)
    tap = relay(asked=True)

    assert run(tap, stream + DONE) == stream + DONE
    assert (tap.ended, tap.failure) == (True, None)
    assert tap.usage == Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)


@pytest.mark.parametrize(
    ("null", "obfuscation"),
    [
        (',"usage":null', ""),
        (',"usage":null', ',"o":"x"'),
        (', "usage" : null ', ""),
        (',"usage": null', ',"usage2":1'),
    ],
)
def test_what_only_the_gateway_asked_for_is_hidden(null: str, obfuscation: str) -> None:
    tap = relay()

    out = run(tap, chunk(delta("a"), null + obfuscation) + chunk("", USAGE) + DONE)

    assert out == chunk(delta("a"), obfuscation) + DONE
    assert tap.usage == Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)


def test_a_leading_usage_member_is_cut_with_its_comma_and_nested_ones_stay() -> None:
    tap = relay()

    out = run(tap, b'data: {"usage":null, "choices":[{"x":{"a":1,"usage":null}}]}\n\n')

    assert out == b'data: { "choices":[{"x":{"a":1,"usage":null}}]}\n\n'


def test_the_only_member_can_be_cut_and_data_of_several_lines_stays_json() -> None:
    assert run(relay(), b'data: {"usage":null}\n\n') == b"data: {}\n\n"
    assert run(relay(), b'data: {"a":1,\ndata: "usage": null}\n\n') == b'data: {"a":1}\n\n'
    assert run(relay(), b'data: {"a":\ndata: 1,"usage" : null}\n\n') == b'data: {"a":\ndata: 1}\n\n'


def test_an_event_whose_keys_repeat_passes_as_it_is() -> None:
    stream = b'data: {"a":1,"a":2,"usage": null}\n\n'

    assert run(relay(), stream + DONE) == stream + DONE


def test_usage_in_a_chunk_with_choices_is_the_providers_own_and_stays() -> None:
    stream = chunk(delta("a", '"stop"'), USAGE) + DONE
    tap = relay()

    assert run(tap, stream) == stream
    assert tap.usage == Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)


def test_usage_that_nobody_reported_is_estimated_from_what_was_written() -> None:
    calls = '{"delta":{"reasoning":"12","refusal":null,"tool_calls":[1]}}'
    tap = relay(size=40)

    run(tap, chunk(delta("abcdefgh")) + chunk(calls) + chunk('{"index":0,"text":"xyz"}') + DONE)

    assert tap.usage == estimate(40, 8 + 2 + 1 + 3)


STREAM = (
    b"\xef\xbb\xbf: hi\r\n\r\n"
    + chunk(delta("ä"), ',"usage":null')
    + chunk(delta("b", '"stop"'), ',"usage": null').replace(b"\n", b"\r\n")
    + chunk("", USAGE)
    + DONE
)


@settings(deadline=None)
@given(st.lists(st.integers(0, len(STREAM)), max_size=8), st.booleans())
def test_any_cut_gives_the_same_bytes(cuts: list[int], asked: bool) -> None:
    assert run(relay(asked=asked), STREAM, cuts) == run(relay(asked=asked), STREAM)


def test_fed_byte_by_byte_it_gives_the_same_bytes() -> None:
    assert run(relay(), STREAM, list(range(len(STREAM)))) == run(relay(), STREAM)


@pytest.mark.parametrize(
    "event",
    [
        *(b"{", b"[1]", b"7", b'{"a":"\xff"}', b"ping", b"[" * 100_000, b'{"choices":[}'),
        *(b'{"choices":1,"a":}', b'{"choices":1', b'{"choices":1,"a":' + b"[" * 100_000),
    ],
)
def test_what_is_no_json_object_is_garbled_and_never_passed(event: bytes) -> None:
    tap = relay()

    out = run(tap, chunk(delta("a")) + b"data: " + event + b"\n\n" + chunk(delta("b")))

    assert out == chunk(delta("a"))
    assert isinstance(tap.failure, Garbled)
    assert tap.feed(chunk(delta("c"))) is None
    assert tap.usage == estimate(40, 1)


def test_types_that_the_format_does_not_know_pass() -> None:
    stream = b'data: {"choices":{"0":1},"usage":null}\n\ndata: {"choices":[{"index":"0"}]}\n\n'

    assert run(relay(asked=True), stream + DONE) == stream + DONE


def test_a_usage_that_is_no_usage_is_garbled() -> None:
    tap = relay(asked=True)

    assert run(tap, chunk("", ',"usage":7')) == b""
    assert isinstance(tap.failure, Garbled)


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (b'{"error":{"message":"x","type":"server_error"}}', Overloaded),
        (b'{"error":{"message":"x","code":429},"choices":[]}', Throttled),
        (b'{"object":"error","message":"x","type":"BadRequestError"}', Rejected),
    ],
)
def test_an_error_event_ends_the_stream_with_its_kind(event: bytes, kind: type[Exception]) -> None:
    tap = relay()

    assert run(tap, b"data: " + event + b"\n\n") == b""
    assert type(tap.failure) is kind


def test_an_error_that_is_null_is_none() -> None:
    stream = chunk(delta("a"), ',"error":null') + DONE

    assert run(relay(), stream) == stream


def test_a_failure_is_written_in_band() -> None:
    assert relay().fail(Interrupted("cut")) == (
        b'data: {"error":{"message":"cut","type":"upstream_error","param":null,"code":"upstream_interrupted"}}\n\n'
    )


@pytest.mark.parametrize("tail", [b"", b'data: {"id":"c","choi', b"data: [DON"])
def test_a_stream_without_its_terminator_is_interrupted(tail: bytes) -> None:
    tap = relay()
    stream = chunk(delta("a", '"stop"'))

    assert run(tap, stream + tail) == stream
    assert isinstance(tap.failure, Interrupted)
    assert not tap.ended


def test_a_terminator_without_its_empty_line_counts() -> None:
    tap = relay()

    assert run(tap, chunk(delta("a")) + b"data: [DONE]") == chunk(delta("a")) + DONE
    assert tap.ended


def test_what_follows_the_terminator_is_ignored() -> None:
    tap = relay()

    assert run(tap, DONE + chunk(delta("a"))) == DONE
    assert tap.feed(b"data: x\n\n") is None


def test_done_is_added_where_the_host_leaves_it_out() -> None:
    tap = relay(profile=NO_DONE)
    stream = chunk(delta("a", '"stop"', 0)) + chunk(delta("b", '"length"', 1))

    assert run(tap, stream) == stream + DONE
    assert tap.ended


def test_the_last_chunk_may_lack_its_empty_line_where_done_is_left_out() -> None:
    tap = relay(profile=NO_DONE)
    stream = chunk(delta("a", '"stop"'))

    assert run(tap, stream.rstrip(b"\n")) == stream + DONE


@pytest.mark.parametrize("stream", [b"", chunk(delta("a")), chunk(delta("a", '"stop"')) + chunk(delta("b", "null", 1))])
def test_without_a_finish_reason_for_every_choice_it_is_interrupted(stream: bytes) -> None:
    tap = relay(profile=NO_DONE)

    assert run(tap, stream) == stream
    assert isinstance(tap.failure, Interrupted)


def test_a_cut_last_chunk_passes_if_it_is_whole_but_the_stream_is_interrupted() -> None:
    tap = relay()
    stream = chunk(delta("a", '"stop"'))

    assert run(tap, stream[:-1]) == stream
    assert isinstance(tap.failure, Interrupted)


def test_an_endless_event_is_garbled() -> None:
    tap = relay()

    assert tap.feed(b"data: " + b"x" * (9 << 20)) is None
    assert isinstance(tap.failure, Garbled)


def test_the_usage_of_a_whole_answer_is_read() -> None:
    way = identity("openai", Operation.CHAT)
    assert way is not None

    assert way.usage_of(b'{"usage":{"prompt_tokens":5}}') == Usage(prompt_tokens=5)
    assert way.usage_of(b'{"id":"\xc3\xa4"}') is None
    assert way.usage_of(b'{"choices":[],"usage":[]}') is None, "the answer is sound, whatever its usage is"
    assert way.usage_of(b'{"usage":{"prompt_tokens":-5}}') == Usage()
    for body in (b"", b"[]", b"<html>", b'{"a":"\xff"}'):
        with pytest.raises(Garbled):
            way.usage_of(body)


RESPONSE = msgspec.json.encode(
    {
        "type": "response.completed",
        "response": {
            "usage": {
                "input_tokens": 1,
                "output_tokens": 2,
                "total_tokens": 3,
                "input_tokens_details": {"cached_tokens": 1},
                "output_tokens_details": {"reasoning_tokens": 2},
            }
        },
    }
)
COUNTED = Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3, cached_tokens=1, reasoning_tokens=2)


def test_a_response_stream_ends_with_its_own_terminator() -> None:
    stream = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"hi \xc3\xa4"}\n\n'
    stream += b"event: response.completed\ndata: " + RESPONSE + b"\n\n"
    tap = relay(operation=Operation.RESPONSES)

    assert run(tap, stream + b"data: {}\n\n") == stream
    assert (tap.ended, tap.usage) == (True, COUNTED)


@pytest.mark.parametrize("event", [b'{"type":"response.failed"}', b'{"type":"response.incomplete"}', b"[DONE]"])
def test_a_response_stream_may_end_otherwise(event: bytes) -> None:
    tap = relay(operation=Operation.RESPONSES)

    assert run(tap, b"data: " + event + b"\n\n") == b"data: " + event + b"\n\n"
    assert tap.ended
    assert tap.usage == estimate(40, 0)


@pytest.mark.parametrize("event", [b'{"type":"error","message":"x","code":"429"}', b'{"error":{"code":429}}'])
def test_an_error_of_a_response_stream_is_typed(event: bytes) -> None:
    tap = relay(operation=Operation.RESPONSES)

    assert run(tap, b"data: " + event + b"\n\n") == b""
    assert isinstance(tap.failure, Throttled)


def test_a_cut_response_stream_is_interrupted_and_says_so_in_its_own_shape() -> None:
    tap = relay(operation=Operation.RESPONSES)

    assert run(tap, b'data: {"type":"response.created"}\n\n') == b'data: {"type":"response.created"}\n\n'
    assert isinstance(tap.failure, Interrupted)
    assert tap.fail(Interrupted("cut")) == (
        b'event: error\ndata: {"type":"error","code":"upstream_interrupted","message":"cut","param":null}\n\n'
    )


@pytest.mark.parametrize("event", [b"{", b'{"type":7}', b'{"type":"response.completed","response":7}', b'{"a":"\xff"}'])
def test_a_response_stream_can_be_garbled(event: bytes) -> None:
    tap = relay(operation=Operation.RESPONSES)

    assert run(tap, b"data: " + event + b"\n\n") == b""
    assert isinstance(tap.failure, Garbled)


def test_the_usage_of_a_whole_response_is_read() -> None:
    way = identity("openai", Operation.RESPONSES)
    assert way is not None

    assert way.usage_of(b'{"usage":{"input_tokens":4}}') == Usage(prompt_tokens=4)
    assert way.usage_of(b'{"usage":{"input_tokens":4,"output_tokens":-1}}') == Usage(prompt_tokens=4)
    with pytest.raises(Garbled):
        way.usage_of(b"[]")
