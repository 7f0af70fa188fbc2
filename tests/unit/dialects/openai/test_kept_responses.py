"""Kept answers of the Responses API: the last event holds the whole, and the whole makes the events of its stream."""

from __future__ import annotations

import json
from typing import Any

import pytest
from isthmusd.core.errors import Garbled, UnsupportedFeature
from isthmusd.core.request import Operation

from tests.golden.recorded import differences
from tests.unit.dialects.openai.recasting import PLAIN, WHOLE, completed, recast, sse, stream_of, whole_of

TEXT = {"type": "output_text", "text": "Good day", "annotations": [{"type": "url_citation", "url": "u"}]}
MESSAGE = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [TEXT]}
CALL = {
    "id": "fc_1",
    "type": "function_call",
    "status": "completed",
    "call_id": "call_1",
    "name": "look_up",
    "arguments": '{"a":1}',
}
THOUGHT = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "Hm"}, {"type": "summary_text", "text": "So"}],
    "content": [{"type": "reasoning_text", "text": "I think"}],
    "encrypted_content": "abc",
}
SEARCH = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}}
CUSTOM = {"id": "ctc_1", "type": "custom_tool_call", "call_id": "call_2", "name": "run", "input": "ls"}
USAGE = {
    "input_tokens": 3,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 4,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 7,
}


def response(*output: Any, **members: Any) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "completed_at": 2,
        "error": None,
        "incomplete_details": None,
        "model": "m",
        "output": list(output),
        "temperature": 1.0,
        "usage": USAGE,
        "metadata": {"status": "as it was"},
    } | members


FULL = response(
    THOUGHT,
    SEARCH,
    MESSAGE | {"content": [TEXT | {"logprobs": [{"token": "a"}]}, {"type": "refusal", "refusal": "No"}, {"type": "x"}]},
    CALL,
    CUSTOM,
)

KNOWN = FULL | {"output": [item for item in FULL["output"] if item["type"] != "message"]}
"""Without the part that no client knows."""


def of_kind(events: list[Any], kind: str) -> list[Any]:
    return [event for event in events if event["type"] == kind]


def test_a_stream_begins_with_what_is_known_and_ends_with_all() -> None:
    events = stream_of(FULL, Operation.RESPONSES)

    created, progress, *_, last = events
    begun = FULL | {"status": "in_progress", "output": [], "usage": None, "completed_at": None}
    assert created == {"type": "response.created", "sequence_number": 0, "response": begun}
    assert progress == {"type": "response.in_progress", "sequence_number": 1, "response": begun}
    assert last == {"type": "response.completed", "sequence_number": len(events) - 1, "response": FULL}
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


def test_each_event_is_named_by_its_type() -> None:
    stream = b"".join(recast(Operation.RESPONSES, [json.dumps(FULL, indent=2).encode()], WHOLE, PLAIN))

    for block in stream.split(b"\n\n")[:-1]:
        name, data = block.split(b"\n")
        assert name == b"event: " + json.loads(data.removeprefix(b"data: "))["type"].encode()


def test_a_message_comes_in_parts() -> None:
    events = stream_of(response(FULL["output"][2]), Operation.RESPONSES)[2:-1]

    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    second = where | {"content_index": 1}
    third = where | {"content_index": 2}
    likely = {"logprobs": [{"token": "a"}]}
    part, refusal, other = FULL["output"][2]["content"]
    begun = MESSAGE | {"status": "in_progress", "content": []}
    told = [{name: value for name, value in event.items() if name != "sequence_number"} for event in events]
    assert told == [
        {"type": "response.output_item.added", "output_index": 0, "item": begun},
        {
            "type": "response.content_part.added",
            **where,
            "part": {"type": "output_text", "text": "", "annotations": [], "logprobs": []},
        },
        {"type": "response.output_text.delta", **where, "delta": "Good day", **likely},
        {
            "type": "response.output_text.annotation.added",
            **where,
            "annotation_index": 0,
            "annotation": TEXT["annotations"][0],
        },
        {"type": "response.output_text.done", **where, "text": "Good day", **likely},
        {"type": "response.content_part.done", **where, "part": part},
        {"type": "response.content_part.added", **second, "part": {"type": "refusal", "refusal": ""}},
        {"type": "response.refusal.delta", **second, "delta": "No"},
        {"type": "response.refusal.done", **second, "refusal": "No"},
        {"type": "response.content_part.done", **second, "part": refusal},
        {"type": "response.content_part.added", **third, "part": other},
        {"type": "response.content_part.done", **third, "part": other},
        {"type": "response.output_item.done", "output_index": 0, "item": FULL["output"][2]},
    ]


def test_thinking_comes_as_summary_and_text() -> None:
    events = stream_of(FULL, Operation.RESPONSES)

    (added, *_) = of_kind(events, "response.output_item.added")
    assert added["item"] == THOUGHT | {"summary": [], "content": []}
    assert [event["part"]["text"] for event in of_kind(events, "response.reasoning_summary_part.added")] == ["", ""]
    summary = of_kind(events, "response.reasoning_summary_text.delta")
    assert [(event["delta"], event["summary_index"]) for event in summary] == [("Hm", 0), ("So", 1)]
    (text,) = of_kind(events, "response.reasoning_text.done")
    assert (text["text"], text["item_id"]) == ("I think", "rs_1")


def test_calls_come_with_their_arguments_apart() -> None:
    events = stream_of(FULL, Operation.RESPONSES)

    *_, call, custom = of_kind(events, "response.output_item.added")
    assert call["item"] == CALL | {"status": "in_progress", "arguments": ""}
    assert custom["item"] == CUSTOM | {"input": ""}
    (done,) = of_kind(events, "response.function_call_arguments.done")
    assert (done["arguments"], done["name"], done["output_index"]) == ('{"a":1}', "look_up", 3)
    (written,) = of_kind(events, "response.custom_tool_call_input.done")
    assert (written["input"], written["item_id"]) == ("ls", "ctc_1")


def test_of_other_items_it_is_told_that_they_began_and_what_became_of_them() -> None:
    events = stream_of(response(SEARCH), Operation.RESPONSES)[2:-1]

    assert [event["item"] for event in events] == [SEARCH | {"status": "in_progress"}, SEARCH]


def test_an_empty_text_has_no_piece() -> None:
    events = stream_of(response(CALL | {"arguments": ""}), Operation.RESPONSES)

    assert of_kind(events, "response.function_call_arguments.delta") == []
    assert len(of_kind(events, "response.function_call_arguments.done")) == 1


@pytest.mark.parametrize(
    "whole",
    [KNOWN, response(), response(MESSAGE), response(CALL | {"status": None}, seed=12345678901234567890123)],
)
def test_there_and_back_is_the_same(whole: dict[str, Any]) -> None:
    stream = b"".join(recast(Operation.RESPONSES, [json.dumps(whole, indent=1).encode()], WHOLE, PLAIN))

    assert whole_of(stream, Operation.RESPONSES) == whole
    assert list(differences(completed(stream), whole)) == []


def test_an_incomplete_answer_ends_as_one() -> None:
    whole = response(MESSAGE, status="incomplete", incomplete_details={"reason": "max_output_tokens"})

    events = stream_of(whole, Operation.RESPONSES)

    assert events[-1]["type"] == "response.incomplete"
    assert events[0]["response"]["incomplete_details"] is None
    assert whole_of(sse_of(events), Operation.RESPONSES) == whole


def sse_of(events: list[Any]) -> bytes:
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def test_the_whole_is_the_bytes_of_the_last_event() -> None:
    written = b'{ "status":"completed","x":1.50, "output":[]}'
    stream = b': hm\n\nevent: response.completed\ndata: {"type":"response.completed","response":' + written + b"}\n\n"

    assert recast(Operation.RESPONSES, [stream], PLAIN, WHOLE) == [written]
    assert recast(Operation.RESPONSES, [stream + b"data: [DONE]\n\n"], PLAIN, WHOLE) == [written]


@pytest.mark.parametrize(
    "events",
    [
        [],
        [{"type": "response.failed", "response": response(status="failed")}],
        [{"type": "response.created", "response": response()}],
        # Some servers leave out of the last event what the others said.
        [
            {"type": "response.output_item.done", "item": MESSAGE},
            {"type": "response.completed", "response": response()},
        ],
        *(
            [{"type": f"response.{kind}.delta", "delta": "a"}, {"type": "response.completed", "response": response()}]
            for kind in ("output_text", "refusal", "reasoning_summary_text", "function_call_arguments")
        ),
    ],
)
def test_a_stream_without_a_whole_answer_in_it_gives_none(events: list[Any]) -> None:
    with pytest.raises(UnsupportedFeature):
        recast(Operation.RESPONSES, [sse(*events)], PLAIN, WHOLE)


@pytest.mark.parametrize("last", [b"{", b'{"type":"response.completed"}', b'{"type":1}'])
def test_a_stream_that_is_not_of_the_format_is_garbled(last: bytes) -> None:
    with pytest.raises(Garbled):
        recast(Operation.RESPONSES, [b"data: " + last + b"\n\n"], PLAIN, WHOLE)


@pytest.mark.parametrize(
    "whole",
    [
        response(status="queued"),
        response(status="failed"),
        response({**CALL, "id": None}),
        response({**MESSAGE, "id": None}),
    ],
)
def test_an_answer_that_no_stream_can_give_is_not_given(whole: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedFeature):
        stream_of(whole, Operation.RESPONSES)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"status":"completed"}',
        b'{"status":"completed","output":[1]}',
        b'{"status":"completed","output":[{}]}',
        b'{"status":"completed","status":"completed","output":[]}',
        json.dumps(response({**CALL, "arguments": {}})).encode(),
        json.dumps(response({**MESSAGE, "content": [{"type": "output_text"}]})).encode(),
        json.dumps(response({**MESSAGE, "content": "a"})).encode(),
        json.dumps(response()).encode().replace(b'"m"', b'"\xff"'),
    ],
)
def test_an_answer_that_is_not_of_the_format_is_garbled(body: bytes) -> None:
    with pytest.raises(Garbled):
        recast(Operation.RESPONSES, [body], WHOLE, PLAIN)
