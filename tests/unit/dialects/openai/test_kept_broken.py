"""A kept answer that is broken anywhere is garbled, or has no other form; nothing else is raised."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from isthmusd.core.errors import Garbled, UnsupportedFeature
from isthmusd.core.request import Operation

from tests.unit.dialects.openai.recasting import COUNTED, PLAIN, TOLD, USAGE, WHOLE, recast, stream_of
from tests.unit.dialects.openai.test_kept_responses import FULL as RESPONSE
from tests.unit.dialects.openai.test_kept_streams import FULL as CHAT

CHOICE = {"index": 0, "text": "a", "logprobs": {"tokens": ["a"]}, "finish_reason": "stop"}
COMPLETION = {"id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": [CHOICE], "usage": TOLD}
WHOLES = {Operation.CHAT: CHAT, Operation.COMPLETION: COMPLETION, Operation.RESPONSES: RESPONSE}
STREAMS = {operation: stream_of(whole, operation) for operation, whole in WHOLES.items()}
WRONG = (None, True, "", "x", 0, -1, 1.5, [], {}, [1], [None], {"a": 1}, [{"index": 0}], "\ud83d", [[1]], 10**30)
Path = tuple[str | int, ...]

many = settings(max_examples=300, deadline=None)


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    match value:
        case dict():
            for name, inner in value.items():
                yield from places(inner, (*path, name))
        case list():
            for place, inner in enumerate(value):
                yield from places(inner, (*path, place))
        case _:
            pass


def broken(value: Any, path: Path, wrong: Any) -> Any:
    if not path:
        return wrong
    copy = value.copy()
    copy[path[0]] = broken(value[path[0]], path[1:], wrong)
    return copy


@many
@given(st.data(), st.sampled_from(list(WHOLES)), st.sampled_from(WRONG), st.sampled_from([PLAIN, COUNTED]))
def test_a_whole_answer(data: st.DataObject, operation: Operation, wrong: Any, wanted: Any) -> None:
    whole = WHOLES[operation]
    body = json.dumps(broken(whole, data.draw(st.sampled_from(list(places(whole)))), wrong)).encode()

    try:
        pieces = recast(operation, [body], WHOLE, wanted, USAGE)
    except (Garbled, UnsupportedFeature) as error:
        assert str(error)
    else:
        assert all(piece.endswith(b"\n\n") for piece in pieces)


@many
@given(st.data(), st.sampled_from(list(STREAMS)), st.sampled_from(WRONG), st.sampled_from([WHOLE, PLAIN, COUNTED]))
def test_a_stream(data: st.DataObject, operation: Operation, wrong: Any, wanted: Any) -> None:
    events = STREAMS[operation]
    path = data.draw(st.sampled_from([path for path in places(events) if path]))
    texts = [each if each == "[DONE]" else json.dumps(each) for each in broken(events, path, wrong)]
    stream = "".join(f"data: {text}\n\n" for text in texts).encode()

    try:
        pieces = recast(operation, [stream], COUNTED if wanted is PLAIN else PLAIN, wanted, USAGE)
    except (Garbled, UnsupportedFeature) as error:
        assert str(error)
    else:
        assert pieces
