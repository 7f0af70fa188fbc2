"""Recorded traffic of Cohere's v2 API: what we would have sent, and what its answers become.

A small reader turns a recorded request back into a canonical one; it knows what the API's own clients write.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from isthmusd.core.call import Stamp
from isthmusd.core.chat import (
    ChatRequest,
    FunctionTool,
    ImagePart,
    JsonObjectFormat,
    JsonSchemaFormat,
    Message,
    Part,
    RawPart,
    Reasoning,
    ResponseFormat,
    Sampling,
    TextPart,
    ThinkingPart,
    ToolCall,
    ToolChoiceMode,
)
from isthmusd.core.collect import collect_chat
from isthmusd.core.embedding import EmbeddingRequest
from isthmusd.core.errors import Rejected, UpstreamError
from isthmusd.core.events import End, Event
from isthmusd.core.headers import collect_headers
from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation
from isthmusd.dialects import cohere, openai

from tests.golden.recorded import Recorded, differences, judge, known_losses, recorded, written

Json = Any

CHAT = cohere.CALLED[Operation.CHAT]
EMBED = cohere.CALLED[Operation.EMBEDDING]
STAMP = Stamp(id="0stamp0", created_at=1_700_000_000)
MODES = {None: None, "REQUIRED": ToolChoiceMode(mode="required"), "NONE": ToolChoiceMode(mode="none")}
KNOBS = {
    "temperature": "temperature",
    "p": "top_p",
    "k": "top_k",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "stop_sequences": "stop",
    "max_tokens": "max_completion_tokens",
    "logprobs": "logprobs",
    "seed": "seed",
}
NATIVE = ("safety_mode", "documents", "citation_options", "priority")


def calls(path: str) -> list[Recorded]:
    return [call for call in recorded("cohere") if urlsplit(call.url).path.endswith(path)]


def answered(path: str, *, stream: bool) -> Iterator[tuple[str, bytes]]:
    for call in calls(path):
        if call.status == 200 and call.answer.lstrip().startswith(b"{") is not stream:
            yield call.name, call.answer


def test_requests_are_what_other_clients_sent() -> None:
    known = known_losses("cohere")
    unknown: list[str] = []
    for call in calls("/v2/chat"):
        native = msgspec.json.decode(call.request)
        encoded = CHAT.encode_request(canonical(native), native["model"], Profile())
        found = differences(normal(native), normal(msgspec.json.decode(encoded.body)))
        unknown += [f"{call.name}: {field}" for field in found if field not in known]
        assert encoded.losses == (), call.name
    for call in calls("/v2/embed"):
        native = msgspec.json.decode(call.request)
        encoded = EMBED.encode_request(canonical_embedding(native), native["model"], Profile())
        theirs = {"embedding_types": ["float"]} | native
        found = differences(normal(theirs), normal(msgspec.json.decode(encoded.body)))
        unknown += [f"{call.name}: {field}" for field in found if field not in known]

    assert unknown == []


def test_answers_become_valid_answers_of_openai() -> None:
    check = judge()
    for name, body in answered("/v2/chat", stream=True):
        answer = collect_chat(decoded([body]))
        assert check("chat", msgspec.json.decode(openai.SERVED[Operation.CHAT].encode_response(answer))) == [], name
        assert answer.usage is not None, name
        assert answer.usage.total_tokens, name
    for name, body in answered("/v2/chat", stream=False):
        answer = CHAT.decode_response(body, STAMP)
        assert check("chat", msgspec.json.decode(openai.SERVED[Operation.CHAT].encode_response(answer))) == [], name
        assert answer.usage is not None, name
    for name, body in answered("/v2/embed", stream=False):
        vectors = EMBED.decode_response(body, STAMP)
        ours = msgspec.json.decode(openai.SERVED[Operation.EMBEDDING].encode_response(vectors))
        assert check("embeddings", ours) == [], name


def test_streams_become_valid_chunks_of_openai() -> None:
    check = judge()
    for name, body in answered("/v2/chat", stream=True):
        events = decoded([body])
        assert isinstance(events[-1], End), name
        encoder = openai.SERVED[Operation.CHAT].stream_encoder(STAMP, True)
        chunks = [line for line in encoder.feed(events).split(b"\n\n") if line and b"[DONE]" not in line]
        for chunk in chunks:
            assert check("chunk", msgspec.json.decode(chunk.removeprefix(b"data: "))) == [], name


def test_streams_read_the_same_however_they_are_cut() -> None:
    chance = random.Random(7)
    for name, body in answered("/v2/chat", stream=True):
        expected = decoded([body])
        for _ in range(8):
            cuts = sorted(chance.sample(range(len(body)), min(9, len(body) - 1)))
            pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
            assert decoded(pieces) == expected, name


def test_a_turn_with_a_tool_goes_on_as_it_was_recorded() -> None:
    first, second = (call for call in calls("/v2/chat") if "streaming_tool_call_roundtrip" in call.name)
    asked, going_on = map(msgspec.json.decode, (first.request, second.request))
    message = collect_chat(decoded([first.answer])).choices[0].message
    result = Message(role="tool", tool_call_id="call_REDACTED_1", content=(TextPart(text="-3"),))
    request = canonical(asked)
    messages = (*request.messages, message, result)

    sent = CHAT.encode_request(with_messages(request, messages), "m", Profile())

    ours = msgspec.json.decode(sent.body)["messages"][-2]
    theirs = going_on["messages"][-2]
    assert ours["tool_plan"] == "I will use the subtract tool to calculate 2 - 5."
    assert "content" not in ours
    assert [call["id"] for call in ours["tool_calls"]] == [call["id"] for call in theirs["tool_calls"]]
    assert sent.losses == ()


def test_errors_have_their_kind() -> None:
    failed = [(call, error_of(call)) for call in calls("/v2/chat") if call.status != 200]

    missing = next(error for call, error in failed if "completion_error_preserves_status_and_body" in call.name)

    assert isinstance(missing, Rejected)
    assert (missing.http_status, missing.code) == (404, "model_not_found")
    assert "'command-does-not-exist' not found" in missing.message
    assert all(error.told.status == call.status for call, error in failed)


def error_of(call: Recorded) -> UpstreamError:
    return CHAT.decode_error(call.status, collect_headers(call.headers.items()), call.answer)


def decoded(pieces: list[bytes]) -> list[Event]:
    decoder = CHAT.stream_decoder(STAMP, Profile())
    events = [event for piece in pieces for event in decoder.feed(piece)]
    events += decoder.close()
    assert decoder.failure is None
    return events


def canonical(native: Json) -> ChatRequest:
    knobs = {ours: native[name] for name, ours in KNOBS.items() if native.get(name) is not None}
    if "stop" in knobs:
        knobs["stop"] = tuple(knobs["stop"])
    return ChatRequest(
        model="",
        messages=tuple(map(message_of, native["messages"])),
        sampling=Sampling(**knobs),
        tools=tuple(tool_of(tool, native.get("strict_tools")) for tool in native.get("tools") or ()),
        tool_choice=MODES[native.get("tool_choice")],
        response_format=format_of(native.get("response_format")),
        reasoning=reasoning_of(native.get("thinking")),
        stream=native.get("stream") or False,
        extra=tuple((name, written(native[name])) for name in NATIVE if name in native),
    )


def canonical_embedding(native: Json) -> EmbeddingRequest:
    return EmbeddingRequest(
        model="",
        inputs=tuple(native["texts"]),
        dimensions=native.get("output_dimension"),
        encoding_format=native.get("embedding_types", [None])[0],
        extra=tuple((name, written(native[name])) for name in ("input_type", "truncate", "priority") if name in native),
    )


def with_messages(request: ChatRequest, messages: tuple[Message, ...]) -> ChatRequest:
    return ChatRequest(model="", messages=messages, tools=request.tools, stream=request.stream)


def message_of(native: Json) -> Message:
    content = native.get("content")
    parts = [TextPart(text=content)] if isinstance(content, str) else [part_of(part) for part in content or ()]
    plan = native.get("tool_plan")
    kept = {"tool_plan": plan, "citations": native.get("citations")}
    return Message(
        role=native["role"],
        content=(*([ThinkingPart(text=plan)] if plan else []), *parts) or None,
        tool_calls=tuple(
            ToolCall(id=call["id"], name=call["function"]["name"], arguments=call["function"]["arguments"])
            for call in native.get("tool_calls") or ()
        ),
        tool_call_id=native.get("tool_call_id"),
        extra=tuple((name, written(value)) for name, value in kept.items() if value),
    )


def part_of(native: Json) -> Part:
    match native:
        case {"type": "text", "text": text}:
            return TextPart(text=text)
        case {"type": "thinking", "thinking": text}:
            return ThinkingPart(text=text)
        case {"type": "image_url", "image_url": {"url": url, **rest}}:
            return ImagePart(url=url, detail=rest.get("detail"))
        case _:
            return RawPart(json=written(native))


def tool_of(native: Json, strict: bool | None) -> FunctionTool:
    function = native["function"]
    return FunctionTool(
        name=function["name"],
        description=function.get("description"),
        parameters=written(function["parameters"]),
        strict=strict,
    )


def format_of(native: Json) -> ResponseFormat | None:
    match native:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object", **rest} if schema := rest.get("json_schema") or rest.get("schema"):
            return JsonSchemaFormat(name="answer", schema=written(schema))
        case {"type": "json_object"}:
            return JsonObjectFormat()
        case other:
            pytest.fail(f"a recording has an unknown format: {other}")


def reasoning_of(native: Json) -> Reasoning | None:
    match native:
        case None:
            return None
        case {"type": "disabled"}:
            return Reasoning(effort="none")
        case {"token_budget": budget}:
            return Reasoning(max_tokens=budget)
        case other:
            pytest.fail(f"a recording thinks in an unknown way: {other}")


def normal(value: Json, name: str = "") -> Json:
    """Take out what says nothing: nulls, empty arrays and texts, `stream: false`; one text block is its text."""
    match value:
        case dict():
            members = {key: normal(item, key) for key, item in value.items()}
            return {key: item for key, item in members.items() if item not in (None, [], "") and item is not False}
        case [{"type": "text", "text": text}] if name == "content":
            return text
        case list():
            return [normal(item) for item in value]
        case str() if name == "arguments":
            return msgspec.json.decode(value or "{}")
        case _:
            return value
