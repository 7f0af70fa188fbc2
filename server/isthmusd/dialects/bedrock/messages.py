"""A conversation to Converse's `system` and `messages`. Single parts are `parts.py`, what Converse demands of turns is
`turns.py`.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html
"""

from __future__ import annotations

import msgspec

from isthmusd.core.chat import Extra, JsonText, Message, RawToolCall, ToolCall
from isthmusd.core.request import Loss
from isthmusd.dialects.bedrock.call_ids import CallIds
from isthmusd.dialects.bedrock.families import Family
from isthmusd.dialects.bedrock.marks import CACHE_MARKS, Block, lose_members
from isthmusd.dialects.bedrock.parts import PartWriter, text_blocks
from isthmusd.dialects.bedrock.turns import FILLER, Conversation

_ROLES = {
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
    "system": "system",
    "developer": "system",
}

_IN_SYSTEM = frozenset({"text", "guardContent", "cachePoint"})
_BESIDE = {"tool": CACHE_MARKS | {"status", "is_error"}, "assistant": CACHE_MARKS | {"function_call"}}
"""Members of messages that are written, by role."""

_IN_RESULTS = frozenset({"text", "json", "image", "document", "video", "searchResult"})

_LEGACY_CALL = "function_call"
"""OpenAI's call before there were tools. Its result has the role `function`; neither has an id."""


class _Function(msgspec.Struct):
    name: str
    arguments: str = ""


def encode_conversation(messages: tuple[Message, ...], family: Family, losses: list[Loss]) -> Conversation:
    """Write the messages of a request."""
    writer = _MessageWriter(PartWriter(family, losses), losses)
    for place, message in enumerate(messages):
        writer.write(message, f"messages[{place}]")
    writer.conversation.settle(family, losses)
    return writer.conversation


class _MessageWriter:
    def __init__(self, parts: PartWriter, losses: list[Loss]) -> None:
        self.conversation = Conversation()
        self._parts = parts
        self._losses = losses
        self._ids = CallIds()

    def write(self, message: Message, path: str) -> None:
        role = _ROLES.get(message.role)
        if role is None:
            self._losses.append(Loss(field=f"{path}.role", reason="Bedrock has no such role: sent as the user's"))
        self._lose_beside(message, role, path)
        match role:
            case "system":
                self._system(message, path)
            case "assistant":
                self.conversation.add("assistant", self._assistant(message, path))
            case "tool":
                self.conversation.add("user", self._result(message, path))
            case _:
                self._user(message, path)

    def _lose_beside(self, message: Message, role: str | None, path: str) -> None:
        reasons = {
            # The name of a result is that of the function, which its call names anyway.
            "name": (None if role == "tool" else message.name, "Bedrock does not name who speaks"),
            "audio": (message.audio, "Bedrock keeps no audio of earlier answers"),
        }
        for name, (value, reason) in reasons.items():
            if value is not None:
                self._losses.append(Loss(field=f"{path}.{name}", reason=reason))
        lose_members(message.extra, path, self._losses, _BESIDE.get(role or "", CACHE_MARKS))

    def _content(self, message: Message, path: str) -> list[Block]:
        return self._parts.blocks(message.content, f"{path}.content")

    def _marked(self, blocks: list[Block], extra: Extra, path: str) -> list[Block]:
        return blocks + self._parts.points(extra, path, blocks)

    def _user(self, message: Message, path: str) -> None:
        blocks = self._marked(self._content(message, path), message.extra, path)
        if not blocks and self.conversation.turns[-1:] and self.conversation.turns[-1].role == "assistant":
            self._losses.append(Loss(field=path, reason="Bedrock refuses turns that say nothing: a full stop was sent"))
            blocks = list[Block]([{"text": FILLER}])
        self.conversation.add("user", blocks)

    def _system(self, message: Message, path: str) -> None:
        blocks = self._marked(self._content(message, path), message.extra, path)
        if blocks and self.conversation.turns:
            reason = "Bedrock has instructions before the conversation only: they were moved there"
            self._losses.append(Loss(field=f"{path}.role", reason=reason))
        self.conversation.system += self._allowed(blocks, _IN_SYSTEM, f"{path}.content", "in instructions")

    def _assistant(self, message: Message, path: str) -> list[Block]:
        blocks = self._content(message, path)
        if message.refusal is not None:
            blocks += text_blocks(message.refusal)
        self._ids.open()
        for place, call in enumerate(message.tool_calls):
            blocks += self._call(call, f"{path}.tool_calls[{place}]")
        for name, text in message.extra:
            if name == _LEGACY_CALL and text != "null":
                blocks += self._legacy_call(text, f"{path}.{_LEGACY_CALL}")
        return self._marked(blocks, message.extra, path)

    def _legacy_call(self, json: JsonText, path: str) -> list[Block]:
        try:
            function = msgspec.json.decode(json, type=_Function)
        except msgspec.DecodeError:
            return self._parts.lose(path, "it is no call of a function")
        return self._call(ToolCall(id="", name=function.name, arguments=function.arguments), path)

    def _call(self, call: ToolCall | RawToolCall, path: str) -> list[Block]:
        match call:
            case RawToolCall():
                return self._parts.lose(path, "Bedrock has calls of functions only")
            case ToolCall(id=call_id, name=name, arguments=arguments, extra=extra):
                lose_members(extra, path, self._losses)
                self.conversation.called.append(name)
                use = {"toolUseId": self._ids.of_call(call_id), "name": name, "input": self._input(arguments, path)}
                return self._marked([{"toolUse": use}], extra, path)

    def _input(self, arguments: str, path: str) -> object:
        if arguments.strip() in ("", "null"):
            return {}
        try:
            msgspec.json.decode(arguments, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            reason = "Bedrock takes a JSON object only: sent as the text of a member named arguments"
            self._losses.append(Loss(field=f"{path}.function.arguments", reason=reason))
            return {"arguments": arguments}
        return msgspec.Raw(arguments)

    def _result(self, message: Message, path: str) -> list[Block]:
        blocks = self._content(message, path)
        marks = [block for block in blocks if "cachePoint" in block]
        inner = [block for block in blocks if "cachePoint" not in block]
        status = _status(message.extra)
        content = self._allowed(inner, _IN_RESULTS, f"{path}.content", "in a tool's result")
        if not content and status.get("status") == "error":
            # Refused empty: "The content field [...] cannot be empty when status value is error."
            content = [{"text": FILLER}]
        result: Block = {"toolUseId": self._ids.of_result(message.tool_call_id), "content": content, **status}
        written: list[Block] = [{"toolResult": result}]
        # A mark inside a result is refused: the nearest place is behind it.
        return [*written, *(marks or self._parts.points(message.extra, path, written))[:1]]

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
