"""What we send, judged by the types of the providers' own client libraries: no member that they do not know, no value
of a type that they would not send. Bedrock's service model is asked in `test_bedrock_recorded.py`.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from google.genai import types
from isthmusd.core.profile import Profile, StructuredOutput, Thinking
from isthmusd.core.request import Operation
from isthmusd.dialects.registry import called, served
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from pydantic import BaseModel, TypeAdapter

from tests.conformance.corpus import load_cases

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
TOOL = {"type": "function", "function": {"name": "look_up", "description": "d", "parameters": SCHEMA, "strict": True}}
PNG = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERg=="
CALL = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"a":1}'}}
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "developer", "content": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}]},
    {"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": PNG}}]},
    {
        "role": "assistant",
        "content": "I shall.",
        "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "c2ln"}],
        "tool_calls": [CALL, CALL | {"id": "call_2"}],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "one"},
    {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "two"}]},
    {"role": "user", "content": [{"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}}]},
]
KNOBS: dict[str, Any] = {
    "max_completion_tokens": 100,
    "stop": ["END"],
    "tools": [TOOL],
    "user": "u",
    "metadata": {"user_id": "u"},
}
RICH: tuple[dict[str, Any], ...] = (
    {"messages": TURNS, **KNOBS, "temperature": 0.5},
    {"messages": TURNS, **KNOBS, "top_p": 0.5, "tool_choice": "required", "parallel_tool_calls": False},
    {"messages": TURNS, **KNOBS, "tool_choice": {"type": "function", "function": {"name": "look_up"}}},
    {"messages": TURNS, **KNOBS, "tool_choice": "none", "reasoning_effort": "high"},
    {"messages": TURNS, **KNOBS, "reasoning": {"max_tokens": 2000}},
    {"messages": TURNS[:1], "response_format": {"type": "json_object"}, "seed": 7, "n": 2},
    {"messages": TURNS[:1], "logprobs": True, "top_logprobs": 2},
    {"messages": TURNS[:3], "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}},
    {"messages": TURNS[:3], "frequency_penalty": 0.1, "presence_penalty": 0.1, "service_tier": "auto"},
)
BROKEN_ON_PURPOSE = frozenset({"errors"})
"""Groups of the corpus whose requests need not be sound."""
ASKED = (
    *({"model": "m", **request} for request in RICH),
    *(
        case.body
        for case in load_cases()
        if case.operation == "chat" and case.group not in BROKEN_ON_PURPOSE and "error" not in case.expect
    ),
)
PROFILES = tuple(
    Profile(thinking=thinking, structured_output=structured)
    for thinking in Thinking
    for structured in (StructuredOutput.NATIVE, StructuredOutput.TOOL)
)
ANTHROPIC = {True: TypeAdapter(MessageCreateParamsStreaming), False: TypeAdapter(MessageCreateParamsNonStreaming)}
OPENAI = {True: TypeAdapter(CompletionCreateParamsStreaming), False: TypeAdapter(CompletionCreateParamsNonStreaming)}
SAMPLING = ("temperature", "top_p", "top_k")
"""Of the API's version 2023-06-01, which we speak; the library speaks a later one, without them."""
GOOGLE: dict[str, type[BaseModel]] = {
    "contents": types.Content,
    "systemInstruction": types.Content,
    "tools": types.Tool,
    "toolConfig": types.ToolConfig,
    "safetySettings": types.SafetySetting,
    "generationConfig": types.GenerationConfig,
}
"""Member of a request to the type that the library has for it; it forbids members that it does not know."""


def sent(dialect: str, asked: dict[str, Any], profile: Profile) -> Any:
    request = served("openai", Operation.CHAT).decode_request(msgspec.json.encode(asked))
    return msgspec.json.decode(called(dialect, Operation.CHAT).encode_request(request, "m", profile).body)


def judged(adapter: TypeAdapter[Any], body: Any) -> Any:
    """Give what the types know of a body. Members that they do not know are missing then."""
    return consumed(adapter.validate_python(body))


def consumed(value: Any) -> Any:
    match value:
        case dict():
            return {name: consumed(inner) for name, inner in value.items()}
        case str() | int() | float() | None:
            return value
        case _:
            return [consumed(item) for item in value]


@pytest.mark.parametrize("profile", PROFILES, ids=str)
def test_anthropics_types_take_what_is_sent(profile: Profile) -> None:
    for asked in ASKED:
        body = sent("anthropic", asked, profile)
        sampling = {name: body.pop(name) for name in SAMPLING if name in body}
        assert judged(ANTHROPIC[body.get("stream", False)], body) == body
        assert all(isinstance(value, int | float) for value in sampling.values())


@pytest.mark.parametrize("profile", PROFILES, ids=str)
def test_googles_types_take_what_is_sent(profile: Profile) -> None:
    for asked in ASKED:
        body = sent("gemini", asked, profile)
        for name, kind in GOOGLE.items():
            for value in listed(body.pop(name, [])):
                kind.model_validate(value)
        assert body.pop("serviceTier", "flex") in set(types.ServiceTier)
        assert body == {}


def listed(value: Any) -> list[Any]:
    match value:
        case list():
            return value
        case _:
            return [value]


@pytest.mark.parametrize("profile", PROFILES, ids=str)
def test_openais_types_take_what_is_sent(profile: Profile) -> None:
    for asked in RICH:  # the corpus has parts of other vendors, which pass as they are
        body = sent("openai", {"model": "m", **asked}, profile)
        judged(OPENAI[body.get("stream", False)], body)
