"""What is cached, and what callers are told of it: every rule and every pair of wishes, over HTTP and typed gRPC."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import grpc
import pytest
from isthmus.v1 import chat_pb2, chat_pb2_grpc, completion_pb2, completion_pb2_grpc, embedding_pb2, embedding_pb2_grpc

from tests.fakes.answers import Answer, sse, stream, whole
from tests.system.cache_rules import ABSENT, Case, Rule, cases, rule
from tests.system.caching import asked, fresh_text, headers_of, told
from tests.system.pair import Pair, running_pair
from tests.system.wire import ask

pytestmark = pytest.mark.edge
TRIES = 5
SLACK_S = 20
"""A busy machine may let so much time pass between two calls."""

PATHS = {
    "chat": "/v1/chat/completions",
    "completion": "/v1/completions",
    "auto chat": "/v1/auto",
    "auto completion": "/v1/auto",
    "embedding": "/v1/embeddings",
    "moderation": "/v1/moderations",
    "responses": "/v1/responses",
    "forward": "/v1/images/generations",
}
TEXTS = {"completion": "prompt", "auto completion": "prompt", "forward": "prompt"}
"""Where the text is, unless in `messages` or `input`."""

NAMES = {"mode": ("x-isthmus-cache", "x-bt-use-cache"), "ttl": ("x-isthmus-cache-ttl", "x-bt-cache-ttl")}

RESPONSE = {"id": "resp_1", "object": "response", "created_at": 1700000000, "model": "ok", "status": "completed"} | {
    "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": []}],
    "usage": {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8},
}
STREAMED_RESPONSE = (
    {"type": "response.created", "sequence_number": 0, "response": RESPONSE | {"status": "in_progress", "output": []}},
    {"type": "response.completed", "sequence_number": 1, "response": RESPONSE},
)
MODERATION = {"id": "modr-1", "model": "ok", "results": [{"flagged": False, "categories": {}, "category_scores": {}}]}


@pytest.fixture(scope="module")
def table() -> Iterator[Pair]:
    with running_pair(2) as pair:
        yield pair


@pytest.fixture(scope="module")
def line(table: Pair) -> Iterator[grpc.Channel]:
    with table.channel() as channel:
        yield channel


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a call got."""

    status: int | str
    said: tuple[Mapping[str, str], ...]
    """Headers; or the initial and the trailing metadata."""
    message: str = ""


def wishes(case: Case) -> list[tuple[str, str]]:
    told = [(NAMES[each][case.older], value) for each, value in (("mode", case.mode), ("ttl", case.ttl))]
    return [(name, value) for name, value in (*told, ("cache-control", case.control)) if value != ABSENT]


def body_of(case: Case, text: str) -> dict[str, Any]:
    match case.operation:
        case "chat" | "auto chat":
            asking: dict[str, Any] = {"messages": [{"role": "user", "content": text}]}
        case other:
            asking = {TEXTS.get(other, "input"): text}
    members = {"temperature": case.temperature, "seed": case.seed}
    return {"model": "ok", **asking, **{name: value for name, value in members.items() if value != ABSENT}} | (
        {"stream": True} if case.stream else {}
    )


async def over_http(table: Pair, case: Case, text: str) -> Heard:
    content = json.dumps(body_of(case, text)).encode()
    answer = await ask(table.url, PATHS[case.operation], content, headers=headers_of(None, *wishes(case)))
    message = "" if answer.status == 200 else answer.error["message"]
    return Heard(status=answer.status, said=(answer.headers,), message=message)


def typed_call(line: grpc.Channel, case: Case, text: str) -> tuple[Any, Any]:
    knobs = {name: value for name, value in (("temperature", case.temperature), ("seed", case.seed)) if value != ABSENT}
    match case.operation:
        case "chat":
            message = chat_pb2.Message(role="user", parts=[chat_pb2.Part(text=text)])
            chats = chat_pb2_grpc.ChatServiceStub(line)
            method = chats.StreamChatCompletion if case.stream else chats.CreateChatCompletion
            return method, chat_pb2.ChatRequest(model="ok", messages=[message], **knobs)
        case "completion":
            prompts = completion_pb2_grpc.CompletionServiceStub(line)
            method = prompts.StreamCompletion if case.stream else prompts.CreateCompletion
            prompt = completion_pb2.Prompt(text=text)
            return method, completion_pb2.CompletionRequest(model="ok", prompt=[prompt], **knobs)
        case _:
            given = embedding_pb2.EmbeddingInput(text=text)
            vectors = embedding_pb2_grpc.EmbeddingServiceStub(line)
            return vectors.CreateEmbedding, embedding_pb2.EmbeddingRequest(model="ok", input=[given])


def over_grpc(line: grpc.Channel, case: Case, text: str) -> Heard:
    method, asking = typed_call(line, case, text)
    try:
        if case.stream:
            call = method(asking, metadata=wishes(case), timeout=30)
            list(call)
        else:
            _, call = method.with_call(asking, metadata=wishes(case), timeout=30)
    except grpc.RpcError as error:
        assert isinstance(error, grpc.Call)
        return Heard(status=error.code().name, said=(), message=error.details() or "")
    return Heard(status="OK", said=(dict(call.initial_metadata()), dict(call.trailing_metadata())))


async def play(table: Pair, line: grpc.Channel, case: Case, text: str) -> list[Heard]:
    """Ask, ask again, ask without `cache-control`, and as at first."""
    table.provider.reply_always(response_of(case))
    plain = replace(case, control=ABSENT)
    heard: list[Heard] = []
    for each in (case, case, plain, case):
        grpc_call = each.surface == "grpc"
        heard.append(over_grpc(line, each, text) if grpc_call else await over_http(table, each, text))
    return heard


def response_of(case: Case) -> Answer | None:
    """The fake provider has no Responses of its own, and no moderations."""
    match case.operation:
        case "responses":
            return stream(*map(sse, STREAMED_RESPONSE)) if case.stream else whole(RESPONSE)
        case "moderation":
            return whole(MODERATION)
        case _:
            return None


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.id)
async def test_what_is_cached_is_what_was_promised(table: Pair, line: grpc.Channel, case: Case) -> None:
    due = rule(case)
    for _ in range(TRIES):
        text, began = fresh_text(), time.monotonic()
        heard = await play(table, line, case, text)
        if time.monotonic() - began < due.kept_s * 0.9:
            break  # else what lives a second was dead before it was asked for again

    count = asked(table.provider, text)
    if due.refused is not None:
        assert_refused(due.refused, heard, count)
        return
    statuses = due.statuses()
    assert [each.status for each in heard] == ["OK" if case.surface == "grpc" else 200] * 4
    assert count == sum(status != "HIT" for status in statuses)
    for number, (each, status) in enumerate(zip(heard, statuses, strict=True)):
        for pairs in each.said:
            assert_told(case, due, status, pairs, plain=number == 2)


def assert_refused(header: str, heard: list[Heard], count: int) -> None:
    parts = {"x-isthmus-cache": ("auto", "always", "never"), "x-isthmus-cache-ttl": ("1", "604800")}[header]
    for each in heard:
        assert each.status in (400, "INVALID_ARGUMENT")
        assert all(part in each.message for part in (header, *parts))
        assert all("max-age" not in pairs.get("cache-control", "") for pairs in each.said)
    assert count == 0


def assert_told(case: Case, due: Rule, status: str, pairs: Mapping[str, str], *, plain: bool) -> None:
    said = told(pairs)
    if case.operation == "forward":
        assert (said.cache, said.older, said.age, said.control) == (None, None, None, frozenset())
        return
    kept = status == "HIT" or (status == "MISS" and (due.writes or plain))
    assert (said.cache, said.older) == (status, "HIT" if status == "HIT" else "MISS")
    assert said.max_age == (due.kept_s if kept else None)
    if kept:
        assert said.age is not None
        assert 0 <= said.age <= (SLACK_S if status == "HIT" else 0)
    else:
        assert said.age is None
    if status != "BYPASS" or case.surface == "http":
        assert ("no-transform" in said.control) == case.stream
