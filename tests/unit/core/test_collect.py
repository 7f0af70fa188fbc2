"""Streams to whole answers and back, beyond what the generated round trips reach."""

from __future__ import annotations

import base64
import time

import msgspec
import pytest
from isthmusd.core.chat import (
    ChatResponse,
    Choice,
    ImagePart,
    JsonText,
    Message,
    RawPart,
    RefusalPart,
    TextPart,
    ThinkingPart,
)
from isthmusd.core.collect import Collector, collect_chat, collect_completion
from isthmusd.core.deltas import fold
from isthmusd.core.events import (
    AudioDelta,
    End,
    LogprobsDelta,
    RawDelta,
    StreamStart,
    TextDelta,
    ThinkingDelta,
    ThinkingSignature,
    ToolCallDelta,
)
from isthmusd.core.replay import replay


def texts(*pieces: str) -> list[JsonText]:
    return [JsonText(piece) for piece in pieces]


@pytest.mark.parametrize(
    ("name", "pieces", "whole"),
    [
        ("x", ('{"b" : 1.0}',), '{"b" : 1.0}'),
        ("x", ("1", "2"), "2"),
        ("x", ("1", "null"), "1"),
        ("x", ('"a"', '"b"'), '"b"'),
        ("arguments", ('"a"', '"b"'), '"ab"'),
        (
            "x",
            ('{"arguments":"a","k":{"l":1}}', '{"arguments":"b","k":{"m":2}}'),
            '{"arguments":"ab","k":{"l":1,"m":2}}',
        ),
        ("x", ("[1]", "[2]"), "[1,2]"),
        (
            "x",
            ('[{"index":0,"text":"a"}]', '[{"index":0,"text":"b"},{"index":1}]'),
            '[{"index":0,"text":"ab"},{"index":1}]',
        ),
        ("x", ("[1]", '[{"index":0}]'), '[1,{"index":0}]'),
        ("", ('{"data":"QUI="}', '{"data":"Qw=="}'), '{"data":"QUJD"}'),
        ("", ('{"data":"QUJD"}', '{"data":"QUJD"}'), '{"data":"QUJDQUJD"}'),
        ("", ('{"data":"QQ=="}', '{"data":"Q"}'), '{"data":"QQ==Q"}'),
    ],
)
def test_pieces_fold_into_one_value(name: str, pieces: tuple[str, ...], whole: str) -> None:
    assert fold(texts(*pieces), name) == whole


def test_thinking_blocks_are_closed_by_their_signature() -> None:
    response = collect_chat(
        [
            ThinkingDelta(choice=0, text="a"),
            ThinkingDelta(choice=0, text="b"),
            ThinkingSignature(choice=0, signature="s"),
            ThinkingSignature(choice=0, redacted_data="r"),
            ThinkingDelta(choice=0, text="c"),
            TextDelta(choice=0, text="d"),
        ]
    )

    content = response.choices[0].message.content
    assert content == (
        ThinkingPart(text="ab", signature="s"),
        ThinkingPart(redacted_data="r"),
        ThinkingPart(text="c"),
        TextPart(text="d"),
    )
    assert response.choices[0].finish_reason is None
    assert collect_chat(replay(response)) == response


def test_audio_and_log_probabilities_are_folded() -> None:
    message = collect_chat(
        [
            AudioDelta(choice=0, json=JsonText('{"id":"a","data":"QQ==","transcript":"x"}')),
            AudioDelta(choice=0, json=JsonText('{"data":"Qg==","transcript":"y","expires_at":7}')),
            LogprobsDelta(choice=0, json=JsonText('{"content":[{"token":"x"}],"refusal":null}')),
            LogprobsDelta(choice=0, json=JsonText('{"content":[{"token":"y"}],"refusal":null}')),
        ]
    ).choices[0]

    assert message.message.audio == '{"id":"a","data":"QUI=","transcript":"xy","expires_at":7}'
    assert message.logprobs == '{"content":[{"token":"x"},{"token":"y"}],"refusal":null}'


def test_members_of_the_whole_answer_are_the_last_ones_said() -> None:
    one, two = JsonText("1"), JsonText("2")
    start = StreamStart(id="c", model="m", created_at=1, extra=(("a", one), ("b", one)))

    late = RawDelta(choice=None, extra=(("b", two), ("c", two)))

    assert collect_chat([start, late]).extra == (("a", one), ("b", two), ("c", two))


def test_a_delta_without_its_start_is_ignored() -> None:
    assert collect_chat([ToolCallDelta(choice=0, index=0, arguments="x")]).choices[0].message.tool_calls == ()


def test_a_collector_knows_whether_the_stream_ended() -> None:
    collector = Collector()
    collector.feed([TextDelta(choice=0, text="a")])

    assert not collector.ended
    assert collector.completion().choices[0].text == "a"

    collector.feed([TextDelta(choice=0, text="b"), End()])

    assert collector.ended
    assert collector.completion().choices[0].text == "ab"


def test_a_completion_reads_text_only() -> None:
    assert collect_completion([ThinkingDelta(choice=0, text="a"), TextDelta(choice=0, text="b")]).choices[0].text == "b"


def test_parts_of_answers_are_replayed_and_those_of_questions_are_not() -> None:
    content = (RawPart(json=JsonText('{"type":"r"}')), RefusalPart(text="no"), ImagePart(url="u"))
    choice = Choice(index=0, message=Message(role="assistant", content=content), finish_reason=None)
    response = ChatResponse(id="c", model="m", created_at=1, choices=(choice,))

    message = collect_chat(replay(response)).choices[0].message

    assert message.content == content[:1]
    assert message.refusal == "no"


def test_many_elements_of_an_array_fold_in_time_that_grows_with_their_number() -> None:
    pieces = [JsonText(f'[{{"index":{index % 20_000},"text":"x"}}]') for index in range(40_000)]
    started = time.process_time()

    folded = msgspec.json.decode(fold(pieces))

    assert folded == [{"index": index, "text": "xx"} for index in range(20_000)]
    assert time.process_time() - started < 20


def test_many_padded_pieces_of_base64_fold_in_time_that_grows_with_their_number() -> None:
    sound = bytes(range(250)) * 4
    pieces = [JsonText(f'{{"data":"{base64.b64encode(sound).decode()}"}}') for _ in range(3000)]
    started = time.process_time()

    folded = msgspec.json.decode(fold(pieces))

    assert base64.b64decode(folded["data"]) == sound * 3000
    assert time.process_time() - started < 10
