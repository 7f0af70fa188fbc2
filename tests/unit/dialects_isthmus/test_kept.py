"""Requests of our own API in one form, and messages as bytes and back. Other forms of answers: `test_kept_forms.py`."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from isthmus.v1 import chat_pb2, chat_stream_pb2, completion_pb2, embedding_pb2
from isthmusd.core.errors import Interrupted
from isthmusd.core.request import Operation, Peeked
from isthmusd.dialects.isthmus import KEPT
from isthmusd.dialects.registry import kept

from tests.unit.dialects_isthmus.wire import messages, paths, without

REQUESTS = {
    Operation.CHAT: chat_pb2.ChatRequest,
    Operation.COMPLETION: completion_pb2.CompletionRequest,
    Operation.EMBEDDING: embedding_pb2.EmbeddingRequest,
}
MAPS = ("logit_bias", "metadata")
UNKNOWN = bytes.fromhex("fa3e0161")
"""Field 1007 of a later version: the text `a`."""
slow = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def canonical(operation: Operation, request: Message) -> bytes:
    written = KEPT[operation].canonical(request, Peeked(model="m"))
    assert written is not None
    return written


ASKED = st.sampled_from(list(REQUESTS)).flatmap(
    lambda operation: st.tuples(st.just(operation), messages(REQUESTS[operation]))
)


def refilled(request: Any) -> Any:
    """Copy a message with its maps filled the other way round."""
    copy = type(request)()
    copy.CopyFrom(request)
    for name in MAPS:
        entries = dict(getattr(copy, name, {}))
        if entries:
            copy.ClearField(name)
            for key in reversed(entries):
                getattr(copy, name)[key] = entries[key]
    return copy


def test_every_operation_of_ours_is_kept() -> None:
    for operation, request in REQUESTS.items():
        assert kept("isthmus", operation) is KEPT[operation]
        assert isinstance(KEPT[operation].thaw_request(b""), request)


@slow
@given(ASKED)
def test_the_order_of_maps_does_not_count(asked: tuple[Operation, Any]) -> None:
    operation, request = asked

    assert canonical(operation, refilled(request)) == canonical(operation, request)


@slow
@given(ASKED)
def test_all_that_is_set_counts(asked: tuple[Operation, Any]) -> None:
    operation, request = asked
    written = canonical(operation, request)

    # What can be read back from the bytes is in them: no two different requests share them.
    assert canonical(operation, KEPT[operation].thaw_request(written)) == written
    for path in paths(request):
        less = without(request, path)
        assert (canonical(operation, less) == written) == (less == request), path


@slow
@given(ASKED, st.data())
def test_requests_are_equal_if_their_bytes_are(asked: tuple[Operation, Any], data: st.DataObject) -> None:
    operation, one = asked
    other = data.draw(messages(REQUESTS[operation]))
    assume("nan" not in f"{one}{other}" and "-0" not in f"{one}{other}")

    assert (canonical(operation, one) == canonical(operation, other)) == (one == other)


@pytest.mark.parametrize("size", [2, 3, 50])
def test_maps_filled_in_any_order_are_one_request(size: int) -> None:
    bias = {str(token): float(token) for token in range(size)}
    forth = chat_pb2.ChatRequest(model="m", logit_bias=bias, metadata=dict.fromkeys(bias, "a"))
    back = chat_pb2.ChatRequest(model="m")
    for token in reversed(bias):
        back.logit_bias[token] = bias[token]
        back.metadata[token] = "a"

    assert canonical(Operation.CHAT, back) == canonical(Operation.CHAT, forth)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"temperature": 0.0}),
        ({"temperature": 0.0}, {"temperature": -0.0}),
        ({}, {"seed": 0}),
        ({}, {"store": False}),
        ({}, {"user": ""}),
        ({"extra_json": '{"a":1}'}, {"extra_json": '{"a": 1}'}),
        ({"stop": ["a", "b"]}, {"stop": ["b", "a"]}),
        ({"stop": ["ab"]}, {"stop": ["a", "b"]}),
        ({"modalities": ["a"]}, {"stop": ["a"]}),
        ({"messages": [{"role": "user"}]}, {"messages": [{"role": "user"}, {}]}),
    ],
)
def test_what_differs_is_another_request(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = (chat_pb2.ChatRequest(model="m", **fields) for fields in (one, other))

    assert canonical(Operation.CHAT, first) != canonical(Operation.CHAT, second)


@pytest.mark.parametrize("operation", REQUESTS)
def test_fields_of_a_later_version_count(operation: Operation) -> None:
    plain = KEPT[operation].thaw_request(b"")
    later = KEPT[operation].thaw_request(UNKNOWN)
    even_later = KEPT[operation].thaw_request(UNKNOWN[:-1] + b"b")

    assert len({canonical(operation, request) for request in (plain, later, even_later)}) == 3


def test_fields_of_a_later_version_count_in_parts() -> None:
    plain, later = (chat_pb2.ChatRequest(messages=[chat_pb2.Message.FromString(fields)]) for fields in (b"", UNKNOWN))

    assert canonical(Operation.CHAT, plain) != canonical(Operation.CHAT, later)


@slow
@given(ASKED)
def test_requests_come_back(asked: tuple[Operation, Any]) -> None:
    operation, request = asked

    back = KEPT[operation].thaw_request(KEPT[operation].freeze_request(request))

    assert canonical(operation, back) == canonical(operation, request)


def test_answers_and_pieces_come_back() -> None:
    chat, embedding = KEPT[Operation.CHAT], KEPT[Operation.EMBEDDING]
    whole, chunk = chat_pb2.ChatResponse(id="c"), chat_stream_pb2.ChatChunk(events=[{"usage": {"input_tokens": 1}}])
    vectors = embedding_pb2.EmbeddingResponse(model="m")

    assert chat.thaw_whole(chat.freeze(whole)) == whole
    assert chat.thaw_piece(chat.freeze(chunk)) == chunk
    assert embedding.thaw_whole(embedding.freeze(vectors)) == vectors


def test_pieces_of_streams_stay_apart() -> None:
    assert KEPT[Operation.CHAT].compact([b"a", b"", b"bc"]) == (b"a", b"", b"bc")


def test_failures_are_statuses_not_pieces() -> None:
    assert KEPT[Operation.CHAT].write_failure(Interrupted("The provider hung up.")) is None
