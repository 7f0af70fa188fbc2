"""The messages of a request. Their parts are `parts.py`, answers `chat_response.py`.

Source: https://docs.cohere.com/reference/chat (messages)

What a model planned before it called tools (`tool_plan`) comes to callers twice: as thinking, which they can show, and
under Cohere's own name, which lets it find its way back. A message that has the member is written with it, and the
thinking that repeats it is left out; other thinking goes back as blocks, where the model thinks. Beside tool calls
Cohere refuses text, and thinking if the model does not think (https://github.com/vercel/ai/issues/5794): what others
said before they called tools is sent as the plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from isthmusd.core.chat import (
    Extra,
    JsonText,
    Message,
    Part,
    RawToolCall,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCall,
)
from isthmusd.core.request import Loss
from isthmusd.dialects.cohere.losses import lose, lose_extra
from isthmusd.dialects.cohere.parts import PLAIN_THINKING, Block, as_content, encode_parts
from isthmusd.framing.fields import drop_none

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
"""OpenAI's roles to Cohere's."""

PLAN, CITATIONS = "tool_plan", "citations"

_KNOWN_OF_ASSISTANT = frozenset({PLAN, CITATIONS, "annotations", "function_call"})
"""`annotations` are made of the citations, which go back themselves."""


def encode_messages(messages: Sequence[Message], thinks: bool, losses: list[Loss]) -> list[dict[str, object]]:
    """Write all messages, in their order. `thinks`: the model takes thinking back."""
    writer = _Writer(thinks=thinks, losses=losses)
    written = [writer.write(message, f"messages[{place}]") for place, message in enumerate(messages)]
    return [message for message in written if message is not None]


@dataclass(slots=True)
class _Writer:
    thinks: bool
    losses: list[Loss]
    unanswered: list[str] = field(default_factory=list[str])
    """Ids of tool calls that no result was seen for yet."""
    call_count: int = 0

    def write(self, message: Message, path: str) -> dict[str, object] | None:
        role = ROLES.get(message.role)
        if role is None:
            lose(self.losses, f"{path}.role", "Cohere has no such role: sent as the user's")
            role = "user"
        # The name of a result is the name of the function that its call names anyway.
        if message.name is not None and role != "tool":
            lose(self.losses, f"{path}.name")
        if message.audio is not None:
            lose(self.losses, f"{path}.audio")
        match role:
            case "assistant":
                return self._assistant(message, path)
            case "tool":
                return self._tool(message, path)
            case _:
                lose_extra(self.losses, message.extra, path)
                return {"role": role, "content": as_content(self._blocks(message, role, path))}

    def _blocks(self, message: Message, role: str, path: str) -> list[Block]:
        return encode_parts(message.content, role, f"{path}.content", self.losses)

    def _tool(self, message: Message, path: str) -> dict[str, object]:
        lose_extra(self.losses, message.extra, path)
        # A result that does not say to what it belongs belongs to the oldest call without one.
        call_id = message.tool_call_id or next(iter(self.unanswered), f"call_{message.name or 'unknown'}")
        if call_id in self.unanswered:
            self.unanswered.remove(call_id)
        return {
            "role": "tool",
            "tool_call_id": call_id,
            "content": as_content(self._blocks(message, "tool", path)),
        }

    def _assistant(self, message: Message, path: str) -> dict[str, object] | None:
        own = dict(message.extra)
        lose_extra(self.losses, message.extra, path, known=_KNOWN_OF_ASSISTANT)
        if CITATIONS not in own:
            lose_extra(self.losses, _only(message.extra, "annotations"), path)
        calls = self._calls(message, own.get("function_call"), path)
        spoken = self._spoken(message, _plan(own.get(PLAN)), bool(calls), path)
        content = self._blocks(replace(message, content=spoken.content), "assistant", path)
        if not content and not calls and not spoken.plan:
            lose(self.losses, path, "Cohere refuses messages that say nothing: left out")
            return None
        members = {
            "role": "assistant",
            "content": as_content(content) if content else None,
            PLAN: spoken.plan or None,
            "tool_calls": calls or None,
            CITATIONS: msgspec.Raw(own[CITATIONS]) if own.get(CITATIONS, "null") != "null" else None,
        }
        return drop_none(members)

    def _spoken(self, message: Message, plan: str, calls: bool, path: str) -> _Spoken:
        """Part what a message says from what it plans."""
        content = _without_plan(message.content, plan) if plan else message.content or ()
        refusal = () if message.refusal is None else (RefusalPart(text=message.refusal),)
        said: list[Part] = []
        before: list[str] = []
        after: list[str] = []
        for place, part in enumerate((*content, *refusal)):
            match part:
                case ThinkingPart(text=text) if calls and not self.thinks:
                    before.append(text)
                    self._lose_beside(part, f"{path}.content[{place}]")
                case TextPart(text=text) | RefusalPart(text=text) if calls:
                    after.append(text)
                    lose_extra(self.losses, part.extra, f"{path}.content[{place}]")
                case ThinkingPart() if not self.thinks:
                    lose(self.losses, f"{path}.content[{place}]", "the model takes no thinking")
                case _:
                    said.append(part)
        planned = "\n\n".join(text.strip() for text in (*before, plan, *after) if text.strip())
        return _Spoken(content=tuple(said), plan=planned if before or after else plan)

    def _lose_beside(self, part: ThinkingPart, path: str) -> None:
        unsaid = {"signature": part.signature, "redacted_data": part.redacted_data}
        for name, value in unsaid.items():
            if value is not None:
                lose(self.losses, f"{path}.{name}", PLAIN_THINKING)
        lose_extra(self.losses, part.extra, path)

    def _calls(self, message: Message, legacy: JsonText | None, path: str) -> list[dict[str, object]]:
        calls: list[dict[str, object]] = []
        for place, call in enumerate((*message.tool_calls, *_legacy_call(legacy))):
            spot = f"{path}.tool_calls[{place}]"
            match call:
                case ToolCall():
                    calls.append(self._call(call, spot))
                case RawToolCall():
                    lose(self.losses, spot, "Cohere has calls of functions only")
        return calls

    def _call(self, call: ToolCall, path: str) -> dict[str, object]:
        self.call_count += 1
        call_id = call.id or f"call_{self.call_count}"
        self.unanswered.append(call_id)
        lose_extra(self.losses, call.extra, path)
        arguments = self._arguments(call.arguments, f"{path}.function.arguments")
        return {"id": call_id, "type": "function", "function": {"name": call.name, "arguments": arguments}}

    def _arguments(self, text: str, path: str) -> str:
        if text.strip() in ("", "null"):
            return "{}"
        try:
            msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            lose(self.losses, path, "Cohere takes JSON objects only: sent as one with the text inside")
            return msgspec.json.encode({"arguments": text}).decode()
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spoken:
    """An assistant's words."""

    content: tuple[Part, ...]
    plan: str


def _only(extra: Extra, name: str) -> Extra:
    return tuple(member for member in extra if member[0] == name)


def _plan(json: JsonText | None) -> str:
    match None if json is None else msgspec.json.decode(json):
        case str(plan):
            return plan
        case _:
            return ""


def _without_plan(content: tuple[Part, ...] | None, plan: str) -> tuple[Part, ...]:
    """Take the plan off the end of the last thinking that has it: a caller may give both back as one text."""
    parts = list(content or ())
    for place in reversed(range(len(parts))):
        match parts[place]:
            case ThinkingPart(text=text) as part if text.endswith(plan):
                parts[place] = replace(part, text=text.removesuffix(plan))
                break
            case _:
                pass
    return tuple(parts)


def _legacy_call(json: JsonText | None) -> tuple[ToolCall, ...]:
    """Read OpenAI's `function_call`, which came before tool calls and has no id."""
    found: Any = None if json is None else msgspec.json.decode(json)
    match found:
        case {"name": str(name), "arguments": str(arguments)}:
            return (ToolCall(id="", name=name, arguments=arguments),)
        case _:
            return ()
