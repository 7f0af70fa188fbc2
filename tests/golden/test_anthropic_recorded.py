"""Recorded traffic of Anthropic's API, at Anthropic's and in clouds, goes through the `anthropic` dialect.

Requests are read back by a small reader of this file, sent again, and compared in meaning; `losses.toml` names what may
differ.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from isthmusd.core.call import Stamp
from isthmusd.core.chat import (
    ChatRequest,
    ChatResponse,
    Extra,
    FilePart,
    FunctionTool,
    ImagePart,
    JsonSchemaFormat,
    JsonText,
    Message,
    Part,
    RawPart,
    RawTool,
    Reasoning,
    Sampling,
    TextPart,
    ThinkingPart,
    Tool,
    ToolCall,
    ToolChoice,
    ToolChoiceFunction,
    ToolChoiceMode,
)
from isthmusd.core.collect import collect_chat
from isthmusd.core.errors import UpstreamError
from isthmusd.core.events import End, Event, StreamStart
from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation
from isthmusd.dialects.anthropic import CALLED
from isthmusd.dialects.openai import SERVED

from tests.golden import recorded as recordings

STAMP = Stamp(id="abc123", created_at=1_700_000_000)
HALF = CALLED[Operation.CHAT]
OPENAI = SERVED[Operation.CHAT]
OWNERS = ("anthropic", "vertex-anthropic", "bedrock", "vertex")
CASES = ("anthropic", "bedrock-anthropic", "vertex-anthropic")
MODES = {"auto": "auto", "any": "required", "none": "none"}
STEPS = (1, 7, 1000)
CHUNK = re.compile(rb'\{"bytes":"([A-Za-z0-9+/=]+)"')
"""An event of Anthropic's within one of Amazon's event stream."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    name: str
    request: Json
    answer: bytes
    """Empty if only the request was recorded."""
    status: int = 200
    headers: dict[str, list[str]]

    @property
    def streams(self) -> bool:
        return not self.answer.lstrip().startswith(b"{")


def sse(event: Json) -> bytes:
    return b"event: " + event["type"].encode() + b"\ndata: " + msgspec.json.encode(event) + b"\n\n"


def framed(answer: bytes) -> bytes:
    """Take Anthropic's events out of Amazon's frames."""
    events = CHUNK.findall(answer)
    return b"".join(sse(msgspec.json.decode(base64.b64decode(event))) for event in events) if events else answer


def from_cassettes() -> Iterator[Call]:
    for owner in OWNERS:
        for call in recordings.recorded(owner):
            if "count_tokens" in call.url or b'"messages"' not in call.request:
                continue
            if owner == "anthropic" or b'"anthropic_version"' in call.request:
                yield Call(
                    name=call.name,
                    request=msgspec.json.decode(call.request),
                    answer=framed(call.answer),
                    status=call.status,
                    headers={name: [value] for name, value in call.headers.items()},
                )


def from_cases() -> Iterator[Call]:
    for owner in CASES:
        for name, case in recordings.cases(owner):
            for turn in ("", "followup-"):
                request = case.get(f"{turn}request")
                for kind in ("response", "response-streaming"):
                    answer = case.get(f"{turn}{kind}")
                    if request is not None and answer is not None:
                        yield Call(
                            name=f"{name}/{owner}/{turn}{kind}", request=request, answer=said(answer), headers={}
                        )


def said(answer: Json | list[Json]) -> bytes:
    """Write a recorded answer, which is whole where a cloud gave it so although it was asked to stream."""
    match answer:
        case dict() as whole:
            return msgspec.json.encode(whole)
        case [{"type": "message"} as whole]:
            return msgspec.json.encode(whole)
        case events:
            return b"".join(map(sse, events))


@pytest.fixture(scope="module")
def calls() -> list[Call]:
    return [*from_cassettes(), *from_cases()]


def extra_of(block: Json, *names: str) -> Extra:
    return tuple((name, text_of(block[name])) for name in names if block.get(name) is not None)


def text_of(value: object) -> JsonText:
    return JsonText(msgspec.json.encode(value).decode())


def read_part(block: Json) -> Part:
    extra = extra_of(block, "cache_control", "citations", "title", "context")
    match block:
        case {"type": "text", "text": text}:
            return TextPart(text=text, extra=extra)
        case {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}:
            return ImagePart(data_base64=data, mime_type=kind, extra=extra)
        case {"type": "image", "source": {"type": "url", "url": url}}:
            return ImagePart(url=url, extra=extra)
        case {"type": "document", "source": {"type": "base64", "media_type": kind, "data": data}}:
            return FilePart(data_base64=data, mime_type=kind, extra=extra)
        case {"type": "document", "source": {"type": "url", "url": url}}:
            return FilePart(url=url, extra=extra)
        case {"type": "thinking", "thinking": text, "signature": signature}:
            return ThinkingPart(text=text, signature=signature)
        case {"type": "redacted_thinking", "data": data}:
            return ThinkingPart(redacted_data=data)
        case _:
            return RawPart(json=text_of(block))


def blocks_of(content: str | list[Json]) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def read_turn(turn: Json) -> Iterator[Message]:
    blocks = blocks_of(turn["content"])
    for block in blocks:
        if block["type"] == "tool_result":
            content = tuple(read_part(part) for part in blocks_of(block.get("content", [])))
            extra = extra_of(block, "cache_control", "is_error")
            yield Message(role="tool", tool_call_id=block["tool_use_id"], content=content, extra=extra)
    calls = tuple(
        ToolCall(
            id=block["id"],
            name=block["name"],
            arguments=text_of(block["input"]),
            extra=extra_of(block, "cache_control", "caller"),
        )
        for block in blocks
        if block["type"] == "tool_use"
    )
    parts = tuple(read_part(block) for block in blocks if block["type"] not in ("tool_result", "tool_use"))
    if parts or calls:
        yield Message(role=turn["role"], content=parts or None, tool_calls=calls)


def read_tool(tool: Json) -> Tool:
    if tool.get("type", "custom") != "custom":
        return RawTool(json=text_of(tool))
    return FunctionTool(
        name=tool["name"],
        description=tool.get("description"),
        parameters=text_of(tool["input_schema"]),
        strict=tool.get("strict"),
        extra=extra_of(tool, "cache_control"),
    )


def read_choice(choice: Json | None) -> ToolChoice | None:
    match choice:
        case None:
            return None
        case {"type": "tool", "name": name}:
            return ToolChoiceFunction(name=name)
        case {"type": kind}:
            return ToolChoiceMode(mode=MODES[kind])
        case _:
            raise AssertionError(choice)


def read_reasoning(thinking: Json | None) -> Reasoning | None:
    match thinking:
        case {"type": "enabled", "budget_tokens": budget}:
            return Reasoning(max_tokens=budget)
        case {"type": "disabled"}:
            return Reasoning(effort="none")
        case _:
            return None


def read_request(body: Json) -> ChatRequest:
    """Say in canonical words what a recorded request says."""
    system = tuple(read_part(block) for block in blocks_of(body.get("system", [])))
    head = (Message(role="system", content=system),) if system else ()
    form = body.get("output_config", {}).get("format")
    choice = body.get("tool_choice")
    disabled = (choice or {}).get("disable_parallel_tool_use")
    return ChatRequest(
        model=body.get("model", "m"),
        messages=(*head, *(message for turn in body["messages"] for message in read_turn(turn))),
        sampling=Sampling(
            max_tokens=body["max_tokens"],
            stop=tuple(body["stop_sequences"]) if "stop_sequences" in body else None,
            **{name: body.get(name) for name in ("temperature", "top_p", "top_k")},
        ),
        tools=tuple(read_tool(tool) for tool in body.get("tools", [])),
        tool_choice=read_choice(choice),
        parallel_tool_calls=None if disabled is None else not disabled,
        response_format=None if form is None else JsonSchemaFormat(name="n", schema=text_of(form["schema"])),
        reasoning=read_reasoning(body.get("thinking")),
        user=body.get("metadata", {}).get("user_id"),
        stream=body.get("stream", False),
        extra=extra_of(body, "cache_control", "container"),
    )


def meaning(body: Json) -> Json:
    """Write a request in one of its equivalent forms."""
    plain = {name: tidy(value) for name, value in body.items() if value not in (None, False)}
    if "system" in plain:
        plain["system"] = tidy(blocks_of(plain["system"]))
    turns: list[Json] = []
    for turn in plain["messages"]:
        blocks = [settled(block) for block in blocks_of(turn["content"])]
        if turns and turns[-1]["role"] == turn["role"]:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": turn["role"], "content": blocks})
    if plain.get("tool_choice") == {"type": "auto"}:
        del plain["tool_choice"]
    return {**plain, "messages": turns}


def settled(block: Json) -> Json:
    if block["type"] == "tool_result" and "content" in block:
        return {**block, "content": blocks_of(block["content"])}
    return {name: value for name, value in block.items() if (name, value) != ("caller", {"type": "direct"})}


def tidy(value: Any) -> Any:
    """Leave out members that stand at their default."""
    match value:
        case dict():
            kept = {name: tidy(inner) for name, inner in value.items()}
            drop = {"disable_parallel_tool_use", "cache_control", "is_error"}
            return {name: inner for name, inner in kept.items() if name not in drop or inner not in (None, False)}
        case list():
            return [tidy(inner) for inner in value]
        case _:
            return value


def test_requests_are_sent_as_they_were_recorded(calls: list[Call]) -> None:
    accepted = recordings.known_losses("anthropic")
    for call in calls:
        profile = Profile(
            model_in_body="model" in call.request, anthropic_version=call.request.get("anthropic_version")
        )

        encoded = HALF.encode_request(read_request(call.request), call.request.get("model", "m"), profile)

        sent, wanted = meaning(msgspec.json.decode(encoded.body)), meaning(call.request)
        different = {name for name in sent.keys() | wanted.keys() if sent.get(name) != wanted.get(name)}
        assert different <= accepted.keys(), (
            call.name,
            {name: (wanted.get(name), sent.get(name)) for name in different},
        )
        assert [loss for loss in encoded.losses if loss.field not in accepted] == [], call.name
    assert len(calls) > 40


def read_stream(answer: bytes, step: int) -> tuple[list[Event], UpstreamError | None]:
    decoder = HALF.stream_decoder(STAMP, Profile())
    events: list[Event] = []
    for start in range(0, len(answer), step):
        events += decoder.feed(answer[start : start + step])
    return events + decoder.close(), decoder.failure


def checked(response: ChatResponse, name: str) -> None:
    written = OPENAI.encode_response(response)
    assert recordings.judge()("chat", msgspec.json.decode(written)) == [], name


def test_whole_answers_are_what_openai_publishes(calls: list[Call]) -> None:
    count = 0
    for call in calls:
        if call.status == 200 and call.answer and not call.streams:
            response = HALF.decode_response(call.answer, STAMP)

            assert response.usage is not None
            assert response.choices[0].native_finish_reason, call.name
            checked(response, call.name)
            count += 1
    assert count > 20


def test_streams_are_what_openai_publishes_however_they_are_cut(calls: list[Call]) -> None:
    count = 0
    for call in calls:
        if call.status == 200 and call.streams:
            events, failure = read_stream(call.answer, len(call.answer))

            assert failure is None, call.name
            assert isinstance(events[0], StreamStart)
            assert events[-1] == End()
            assert all(read_stream(call.answer, step) == (events, None) for step in STEPS), call.name
            checked(collect_chat(events), call.name)
            encoder = OPENAI.stream_encoder(STAMP, True)
            for chunk in encoder.feed(events).decode().split("\n\n")[:-2]:
                assert recordings.judge()("chunk", msgspec.json.decode(chunk.removeprefix("data: "))) == [], call.name
            count += 1
    assert count > 20


def test_stream_of_a_refusal() -> None:
    folder = recordings.CASSETTES / "anthropic-sdk-python" / "fixtures" / "fable-fallback"
    path = recordings.present(folder / "stream-a-refusal.sse")

    events, failure = read_stream(path.read_bytes(), 7)

    assert failure is None
    choice = collect_chat(events).choices[0]
    assert (choice.finish_reason, choice.native_finish_reason) == ("content_filter", "refusal")
    assert choice.message.refusal


def test_errors_are_understood(calls: list[Call]) -> None:
    refused = [call for call in calls if call.status >= 400]
    for call in refused:
        error = HALF.decode_error(call.status, call.headers, call.answer)

        assert (error.http_status, error.code) == (404, "model_not_found"), call.name
    assert refused


def test_quoted_errors_are_understood() -> None:
    for quoted in recordings.quoted_errors("anthropic"):
        body = quoted["body"]
        if isinstance(body, str):
            _, failure = read_stream(body.encode(), 9)
            assert failure is not None
            assert failure.told.status == 529
        else:
            error = HALF.decode_error(quoted["status"], {}, msgspec.json.encode(body))
            assert error.told.detail == body["error"]["message"]
            assert error.told.status == quoted["status"]
