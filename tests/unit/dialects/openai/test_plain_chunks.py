"""The quick way of reading a chunk gives what the careful one gives."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from isthmusd.core.call import Stamp
from isthmusd.core.events import Event
from isthmusd.core.profile import Profile
from isthmusd.dialects.openai.chat_stream import _DeltaReader, chat_decoder  # pyright: ignore[reportPrivateUsage]
from isthmusd.dialects.openai.chunk_decoder import ChunkDecoder
from isthmusd.dialects.openai.plain_chunk import plain_choices

STAMP = Stamp(id="s", created_at=1)
HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
TEXTS = st.text(max_size=3)
INDICES = st.integers(0, 2)


def odd(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Sometimes what should not be there."""
    return st.one_of(values, values, st.sampled_from([None, 1, {}, [], True, "x"]))


CALLS = st.fixed_dictionaries(
    {"function": st.fixed_dictionaries({}, optional={"arguments": odd(TEXTS), "name": odd(TEXTS)})},
    optional={"index": odd(INDICES), "id": odd(TEXTS), "type": odd(st.just("function")), "novel": TEXTS},
)
DELTAS = st.fixed_dictionaries(
    {},
    optional={
        "content": odd(TEXTS),
        "role": odd(st.just("assistant")),
        "reasoning_content": odd(TEXTS),
        "reasoning": odd(TEXTS),
        "refusal": odd(TEXTS),
        "tool_calls": odd(st.lists(CALLS, max_size=2)),
        "function_call": st.none(),
        "novel": TEXTS,
    },
)
CHOICES = st.fixed_dictionaries(
    {"delta": odd(DELTAS)},
    optional={"index": odd(INDICES), "finish_reason": odd(st.just("stop")), "logprobs": odd(st.none())},
)
CHUNKS = st.fixed_dictionaries(
    {"choices": odd(st.lists(CHOICES, max_size=2))},
    optional={"usage": odd(st.none()), "novel": TEXTS, "service_tier": odd(TEXTS), "object": odd(st.just("error"))},
)


def careful() -> ChunkDecoder:
    return ChunkDecoder(_DeltaReader(STAMP).read, fallback_id="chatcmpl-s", stamp=STAMP, profile=Profile())


def read(decoder: ChunkDecoder, chunks: list[dict[str, Any]]) -> tuple[list[Event], str]:
    events: list[Event] = []
    for chunk in chunks:
        events += decoder.feed(b"data: " + msgspec.json.encode(HEAD | chunk) + b"\n\n")
    events += decoder.feed(b"data: [DONE]\n\n")
    return events, str(decoder.failure)


@given(st.lists(CHUNKS, max_size=6))
def test_both_ways_give_the_same(chunks: list[dict[str, Any]]) -> None:
    assert read(chat_decoder(STAMP, Profile()), chunks) == read(careful(), chunks)


@pytest.mark.parametrize(
    "delta",
    [{"content": "a"}, {"content": "a", "refusal": None}, {"reasoning_content": "a"}, {"role": "assistant"}, {}],
)
def test_what_streams_are_made_of_is_plain(delta: dict[str, Any]) -> None:
    assert plain_choices(msgspec.json.encode(HEAD | {"choices": [{"index": 0, "delta": delta}]})) is not None


def test_arguments_go_on_where_their_call_was_opened() -> None:
    def piece(**call: Any) -> dict[str, Any]:
        return {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}

    opening = piece(index=0, id="call_1", type="function", function={"name": "f", "arguments": ""})
    more = [piece(index=0, function={"arguments": text}) for text in ('{"a"', ":1}")]
    unopened = piece(index=3, function={"arguments": "{}"})

    assert plain_choices(msgspec.json.encode(HEAD | more[0])) is not None
    assert read(chat_decoder(STAMP, Profile()), [opening, *more, unopened]) == read(
        careful(), [opening, *more, unopened]
    )
