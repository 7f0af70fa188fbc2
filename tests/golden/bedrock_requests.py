"""Reads a request in Bedrock's form back into the hub's, as a caller would have asked for it. The way there is the
dialect's, which these tests judge.
"""

from __future__ import annotations

from typing import Any

from isthmusd.core.chat import (
    ChatRequest,
    FunctionTool,
    ImagePart,
    Message,
    Part,
    RawPart,
    Reasoning,
    Sampling,
    TextPart,
    ThinkingPart,
    ToolCall,
    ToolChoice,
    ToolChoiceFunction,
    ToolChoiceMode,
)

from tests.golden.recorded import written

Json = dict[str, Any]


def read_request(body: Json) -> ChatRequest:
    """Give the request that a body amounts to. Raises KeyError or ValueError for what it does not know."""
    rest = dict(body)
    system = tuple(_part(block) for block in rest.pop("system", []))
    messages = [Message(role="system", content=system)] if system else []
    for turn in rest.pop("messages"):
        messages += _messages(turn)
    tools: Json = rest.pop("toolConfig", {})
    fields = dict(rest.pop("additionalModelRequestFields", {}))
    thinking = fields.pop("thinking", None)
    sampling = _sampling(rest.pop("inferenceConfig", {}), fields.pop("top_k", None))
    if rest or fields:
        raise ValueError(f"unknown members: {[*rest, *fields]}")
    return ChatRequest(
        model="m",
        messages=tuple(messages),
        sampling=sampling,
        tools=tuple(_tool(tool["toolSpec"]) for tool in tools.get("tools", [])),
        tool_choice=_choice(tools.get("toolChoice")),
        reasoning=None if thinking is None else Reasoning(max_tokens=thinking["budget_tokens"]),
    )


def _sampling(config: Json, top_k: int | None) -> Sampling:
    stop = config.get("stopSequences")
    return Sampling(
        max_tokens=config.get("maxTokens"),
        temperature=config.get("temperature"),
        top_p=config.get("topP"),
        top_k=top_k,
        stop=None if stop is None else tuple(stop),
    )


def _messages(turn: Json) -> list[Message]:
    blocks: list[Json] = turn["content"]
    results = [_result(block["toolResult"]) for block in blocks if "toolResult" in block]
    parts = tuple(_part(block) for block in blocks if not {"toolResult", "toolUse"} & set(block))
    calls = tuple(_call(block["toolUse"]) for block in blocks if "toolUse" in block)
    spoken = [Message(role=turn["role"], content=parts or None, tool_calls=calls)] if parts or calls else []
    return results + spoken


def _part(block: Json) -> Part:
    match block:
        case {"text": text}:
            return TextPart(text=text)
        case {"image": {"format": form, "source": {"bytes": data}}}:
            return ImagePart(data_base64=data, mime_type=f"image/{form}")
        case {"reasoningContent": {"reasoningText": thought}}:
            return ThinkingPart(text=thought["text"], signature=thought.get("signature"))
        case {"reasoningContent": {"redactedContent": data}}:
            return ThinkingPart(redacted_data=data)
        case _:
            return RawPart(json=written(block))


def _call(use: Json) -> ToolCall:
    return ToolCall(id=use["toolUseId"], name=use["name"], arguments=written(use["input"]))


def _result(result: Json) -> Message:
    status = result.get("status")
    return Message(
        role="tool",
        tool_call_id=result["toolUseId"],
        content=tuple(_part(block) for block in result["content"]),
        extra=() if status is None else (("status", written(status)),),
    )


def _tool(spec: Json) -> FunctionTool:
    return FunctionTool(
        name=spec["name"],
        description=spec.get("description"),
        parameters=written(spec["inputSchema"]["json"]),
        strict=spec.get("strict"),
    )


def _choice(choice: Json | None) -> ToolChoice | None:
    match choice:
        case None:
            return None
        case {"auto": _}:
            return ToolChoiceMode(mode="auto")
        case {"any": _}:
            return ToolChoiceMode(mode="required")
        case _:
            return ToolChoiceFunction(name=choice["tool"]["name"])
