"""A conversation to Converse's `system` and `messages`. Single parts are `parts.py`.

Converse wants the system's text apart, turns that alternate and begin with the user's, results of parallel tool calls
together in the user's turn after them, and a text beside every document.
Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

import msgspec

from isthmusd.core.chat import Extra, Message, RawToolCall, ToolCall
from isthmusd.core.request import Loss
from isthmusd.dialects.bedrock.families import Family
from isthmusd.dialects.bedrock.marks import CACHE_MARKS, Block, cache_point, lose_members
from isthmusd.dialects.bedrock.parts import PartWriter, text_blocks

_ROLES = {"user": "user", "assistant": "assistant", "tool": "user", "system": "system", "developer": "system"}

_IN_SYSTEM = frozenset({"text", "guardContent", "cachePoint"})
_BESIDE_RESULTS = CACHE_MARKS | {"status", "is_error"}
_IN_RESULTS = frozenset({"text", "json", "image", "document", "video", "searchResult"})

_OPENING = "."
"""Says as little as a turn can: Converse refuses blank ones."""

_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}\Z")
_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_.:-]")


@dataclass(slots=True)
class Turn:
    """What one side says before the other does."""

    role: str
    content: list[Block]

    def has(self, kind: str) -> bool:
        """Tell whether a block of this kind is in the turn."""
        return any(kind in block for block in self.content)


@dataclass(slots=True)
class Conversation:
    """What a request's messages amount to."""

    system: list[Block] = field(default_factory=list[Block])
    turns: list[Turn] = field(default_factory=list[Turn])
    called: list[str] = field(default_factory=list[str])
    """Names of the tools that were called in it."""

    @property
    def has_tools(self) -> bool:
        """Whether tool calls or results are in it: Converse then wants tools declared."""
        return any(turn.has("toolUse") or turn.has("toolResult") for turn in self.turns)

    @property
    def resumes_unsigned(self) -> bool:
        """Whether it ends in results of calls that stand without the thinking before them."""
        match self.turns:
            case [*_, asked, answered] if answered.has("toolResult"):
                return not asked.has("reasoningContent")
            case _:
                return False

    def add(self, role: str, blocks: list[Block]) -> None:
        """Add to the turn that runs, or begin one."""
        if not blocks:
            return
        if self.turns and self.turns[-1].role == role:
            self.turns[-1].content += blocks
        else:
            self.turns.append(Turn(role, blocks))

    def written(self) -> list[Block]:
        """Give the turns as Converse has them."""
        return [{"role": turn.role, "content": turn.content} for turn in self.turns]


def encode_conversation(messages: tuple[Message, ...], family: Family, losses: list[Loss]) -> Conversation:
    """Write the messages of a request."""
    writer = _MessageWriter(PartWriter(family, losses), losses)
    for place, message in enumerate(messages):
        writer.write(message, f"messages[{place}]")
    writer.finish()
    return writer.conversation


def tool_use_id(call_id: str) -> str:
    """Give an id as Converse allows it: the same for the call and its result, different for different ones."""
    if _ID.match(call_id):
        return call_id
    digest = hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{_NOT_IN_IDS.sub('_', call_id)[:48]}_{digest}"


class _MessageWriter:
    def __init__(self, parts: PartWriter, losses: list[Loss]) -> None:
        self.conversation = Conversation()
        self._parts = parts
        self._losses = losses

    def write(self, message: Message, path: str) -> None:
        role = _ROLES.get(message.role)
        if role is None:
            self._losses.append(Loss(field=f"{path}.role", reason="Bedrock has no such role: sent as the user's"))
        self._lose_beside(message, path)
        match role:
            case "system":
                self._system(message, path)
            case "assistant":
                self.conversation.add("assistant", self._assistant(message, path))
            case _ if message.role == "tool":
                self.conversation.add("user", self._result(message, path))
            case _:
                blocks = self._parts.blocks(message.content, f"{path}.content")
                self.conversation.add("user", blocks + cache_point(message.extra))

    def finish(self) -> None:
        """Make turns that Converse takes."""
        conversation = self.conversation
        if not conversation.turns and conversation.system:
            # Instructions alone are a question to OpenAI's models.
            conversation.turns.append(Turn("user", [{"text": _OPENING}]))
            self._losses.append(Loss(field="messages", reason="Bedrock wants a user's turn: an empty one was added"))
        elif conversation.turns[:1] and conversation.turns[0].role == "assistant":
            conversation.turns.insert(0, Turn("user", [{"text": _OPENING}]))
            self._losses.append(Loss(field="messages", reason="Bedrock wants the user's turn first: one was added"))
        for turn in conversation.turns:
            if turn.has("document") and not turn.has("text"):
                turn.content.insert(0, {"text": _OPENING})

    def _lose_beside(self, message: Message, path: str) -> None:
        reasons = {
            "name": (message.name, "Bedrock does not name who speaks"),
            "audio": (message.audio, "Bedrock keeps no audio of earlier answers"),
        }
        for name, (value, reason) in reasons.items():
            if value is not None:
                self._losses.append(Loss(field=f"{path}.{name}", reason=reason))
        lose_members(message.extra, path, self._losses, _BESIDE_RESULTS if message.role == "tool" else CACHE_MARKS)

    def _system(self, message: Message, path: str) -> None:
        blocks = self._parts.blocks(message.content, f"{path}.content") + cache_point(message.extra)
        if blocks and self.conversation.turns:
            reason = "Bedrock has instructions before the conversation only: they were moved there"
            self._losses.append(Loss(field=f"{path}.role", reason=reason))
        self.conversation.system += self._allowed(blocks, _IN_SYSTEM, f"{path}.content", "in instructions")

    def _assistant(self, message: Message, path: str) -> list[Block]:
        blocks = self._parts.blocks(message.content, f"{path}.content")
        if message.refusal is not None:
            blocks += text_blocks(message.refusal)
        for place, call in enumerate(message.tool_calls):
            blocks += self._call(call, f"{path}.tool_calls[{place}]")
        return blocks + cache_point(message.extra)

    def _call(self, call: ToolCall | RawToolCall, path: str) -> list[Block]:
        match call:
            case RawToolCall():
                return self._parts.lose(path, "Bedrock has calls of functions only")
            case ToolCall(id=call_id, name=name, arguments=arguments, extra=extra):
                lose_members(extra, path, self._losses)
                self.conversation.called.append(name)
                use = {"toolUseId": tool_use_id(call_id), "name": name, "input": self._input(arguments, path)}
                return [{"toolUse": use}, *cache_point(extra)]

    def _input(self, arguments: str, path: str) -> object:
        if not arguments.strip():
            return {}
        try:
            msgspec.json.decode(arguments, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            reason = "Bedrock takes a JSON object only: sent as the text of a member named arguments"
            self._losses.append(Loss(field=f"{path}.function.arguments", reason=reason))
            return {"arguments": arguments}
        return msgspec.Raw(arguments)

    def _result(self, message: Message, path: str) -> list[Block]:
        blocks = self._parts.blocks(message.content, f"{path}.content")
        marks = [block for block in blocks if "cachePoint" in block] + cache_point(message.extra)
        inner = [block for block in blocks if "cachePoint" not in block]
        result: Block = {
            "toolUseId": tool_use_id(message.tool_call_id or ""),
            "content": self._allowed(inner, _IN_RESULTS, f"{path}.content", "in a tool's result"),
            **_status(message.extra),
        }
        # A mark inside a result is refused: the nearest place is behind it.
        return [{"toolResult": result}, *marks[:1]]

    def _allowed(self, blocks: list[Block], kinds: frozenset[str], path: str, where: str) -> list[Block]:
        refused = sorted({kind for block in blocks for kind in block if kind not in kinds})
        self._losses += [Loss(field=path, reason=f"Bedrock takes no {kind} {where}") for kind in refused]
        return [block for block in blocks if not refused or kinds.issuperset(block)]


def _status(extra: Extra) -> Block:
    """Bedrock's own `status`, or Anthropic's `is_error`."""
    for name, text in extra:
        if name == "status" and text in ('"success"', '"error"'):
            return {"status": text.strip('"')}
        if name == "is_error" and text == "true":
            return {"status": "error"}
    return {}
