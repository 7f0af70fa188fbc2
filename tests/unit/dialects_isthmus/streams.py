"""Arbitrary streams of the hub: what a provider's decoder may give, in any order that `core/events.py` allows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import strategies as st
from isthmus.v1 import chat_stream_pb2, completion_pb2
from isthmusd.core.call import Stamp
from isthmusd.core.chat import JsonText
from isthmusd.core.events import (
    AudioDelta,
    ChoiceEnd,
    End,
    Event,
    LogprobsDelta,
    RawDelta,
    RefusalDelta,
    RoleDelta,
    StreamStart,
    TextDelta,
    ThinkingDelta,
    ThinkingSignature,
    ToolCallDelta,
    ToolCallStart,
    UsageReport,
)
from isthmusd.core.request import Operation
from isthmusd.dialects.isthmus import SERVED
from isthmusd.dialects.isthmus.provenance import name_provider_of_stream

from tests.unit.dialects_isthmus.hub import FINISHED, IDS, LEGACY_LOGPROBS, LOGPROBS, MAYBE, TEXT, USAGES, WORD

Chunk = chat_stream_pb2.ChatChunk | completion_pb2.CompletionChunk

CHOICE = st.integers(min_value=0, max_value=1)
ROLE = st.sampled_from(["assistant", "critic"])
CALL = st.integers(min_value=0, max_value=1)
EXTRA = st.sampled_from(
    [
        (),
        (("x", JsonText("1.50")), ("y", JsonText('{"b":1,"a":[]}'))),
        (("x", JsonText('"late"')),),
        (("citations", JsonText("[1]")),),
    ]
)
SOUND = st.sampled_from(
    [
        '{"id":"a","data":"AA==","transcript":"t","expires_at":3,"z":1}',
        '{"data":"AAA="}',
        '{"transcript":"u"}',
        '{"id":"b"}',
    ]
)
CUSTOM = (
    ("tool_calls", '[{"index":5,"id":"c","type":"custom","custom":{"name":"f","input":"SEL"}}]'),
    ("tool_calls", '[{"index":5,"custom":{"input":"ECT"}}]'),
    ("tool_calls", '[{"index":5,"custom":{"input":" 1"},"z":1.50}]'),
)
RAW = st.sampled_from(
    [
        (("content", '[{"type":"mine","n":1.50}]'),),
        CUSTOM[:1],
        CUSTOM[:2],
        CUSTOM,
        (("tool_calls", '[{"index":6,"id":"s","type":"server","arguments":"x"}]'),),
        (("tool_calls", '[{"index":6,"z":{"a":1}}]'),),
        (("tool_calls", '[{"index":0,"late":true}]'),),
        (("annotations", '[{"type":"url_citation"}]'), ("tool_calls", '[{"id":"s","type":"server"}]')),
    ]
)
"""Members without a field, in one event: pieces of a call follow what opens it."""


ONE_SHAPE = (LEGACY_LOGPROBS | LOGPROBS).filter(bool)
"""All of one stream's probabilities have the same shape."""


def _raw(choice: int, members: Sequence[tuple[str, str]]) -> RawDelta:
    return RawDelta(choice=choice, extra=tuple((name, JsonText(text)) for name, text in members))


SHARED: list[st.SearchStrategy[Event]] = [
    st.builds(TextDelta, choice=CHOICE, text=TEXT),
    st.builds(RawDelta, choice=st.none(), extra=EXTRA),
]
CHAT_DELTAS = st.one_of(
    *SHARED,
    st.builds(ThinkingDelta, choice=CHOICE, text=WORD),
    st.builds(ThinkingSignature, choice=CHOICE, signature=WORD),
    st.builds(ThinkingSignature, choice=CHOICE, redacted_data=TEXT),
    st.builds(ThinkingSignature, choice=CHOICE, signature=WORD, redacted_data=TEXT),
    st.builds(RefusalDelta, choice=CHOICE, text=TEXT),
    st.builds(AudioDelta, choice=CHOICE, json=SOUND.map(JsonText)),
    st.builds(ToolCallDelta, choice=CHOICE, index=CALL, arguments=TEXT),
    st.builds(LogprobsDelta, choice=CHOICE, json=LOGPROBS.filter(bool)),
    st.builds(RawDelta, choice=CHOICE, extra=EXTRA),
    st.builds(_raw, CHOICE, RAW),
)


def _completion_deltas(logprobs: JsonText) -> st.SearchStrategy[Event]:
    return st.one_of(*SHARED, st.builds(LogprobsDelta, choice=CHOICE, json=st.just(logprobs)))


@st.composite
def _streams(draw: st.DrawFn, deltas: st.SearchStrategy[Event], *, chat: bool) -> tuple[Event, ...]:
    start = draw(
        st.builds(
            StreamStart,
            **IDS,
            service_tier=MAYBE if chat else st.none(),
            extra=EXTRA,
        )
    )
    roles = [RoleDelta(choice=choice, role=draw(ROLE)) for choice in (0, 1) if chat]
    starts = [
        ToolCallStart(choice=choice, index=index, id=draw(TEXT), name=draw(TEXT), extra=draw(EXTRA))
        for choice in (0, 1)
        for index in (0, 1)
        if chat
    ]
    ends = [
        ChoiceEnd(choice=choice, finish_reason=reason, native_finish_reason=native if chat else None, extra=draw(EXTRA))
        for choice in (0, 1)
        for reason, native in [draw(FINISHED)]
    ]
    said = draw(st.lists(deltas, max_size=12))
    usage = draw(st.lists(st.builds(UsageReport, usage=USAGES), max_size=2))
    return (start, *roles, *starts, *said, *ends, *usage, End())


CHATS = _streams(CHAT_DELTAS, chat=True)
COMPLETIONS = ONE_SHAPE.flatmap(lambda logprobs: _streams(_completion_deltas(logprobs), chat=False))
CUTS = st.lists(st.integers(min_value=0), max_size=4)


def encoded(operation: Operation, events: Sequence[Event], cuts: Sequence[int] = ()) -> list[Chunk]:
    """Give the chunks of a stream that came in pieces cut at some places."""
    encoder = SERVED[operation].stream_encoder(Stamp(id="0", created_at=0), include_usage=True)
    places = sorted({0, len(events), *(cut % len(events) for cut in cuts)})
    chunks = [encoder.feed(events[start:end]) for start, end in pairwise(places)]
    for chunk in chunks:
        if chunk is not None:
            name_provider_of_stream(chunk, "acme")
    return [chunk for chunk in chunks if chunk is not None]
