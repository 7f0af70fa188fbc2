"""Messages as a system prompt and turns. Parts within a turn are `content.py`, its tool calls `calls.py`.

Anthropic joins turns of the same role itself, so they stay apart here; only the results of one turn's tool calls must
lie in one turn: https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use#parallel-tool-use
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from isthmusd.core.chat import Extra, Message, ThinkingPart
from isthmusd.core.profile import Profile
from isthmusd.dialects.anthropic.blocks import CONTENT_BLOCKS
from isthmusd.dialects.anthropic.calls import CallWriter
from isthmusd.dialects.anthropic.content import Block, PartWriter, kind_of_block
from isthmusd.dialects.anthropic.notes import EMPTY, NO_SUCH_FIELD, Notes
from isthmusd.framing.fields import drop_none

Blocks = list[Block | msgspec.Raw]

_CACHE_CONTROL = "cache_control"
_FUNCTION_CALL = "function_call"
_THINKING = frozenset({"thinking", "redacted_thinking"})
_RESULT_CONTENT = frozenset({"text", "image", "document", "search_result", "tool_reference", "browser_state"})
_RESULT_MEMBERS = (_CACHE_CONTROL, "is_error", "toolset_name")


@dataclass(slots=True)
class Turn:
    """A turn under construction."""

    role: str
    content: Blocks

    def written(self) -> dict[str, object]:
        """Give the turn; a lone plain text is written as Anthropic's shorthand."""
        match self.content:
            case [{"type": "text", "text": text, **rest}] if not rest:
                return {"role": self.role, "content": text}
            case _:
                return {"role": self.role, "content": self.content}


@dataclass(slots=True)
class Conversation:
    """Takes the messages of one request in order."""

    profile: Profile
    notes: Notes
    system: Blocks = field(default_factory=list["Block | msgspec.Raw"])
    turns: list[Turn] = field(default_factory=list[Turn])
    answers_unthinking: bool = False
    """The request continues a turn of the model that has no thinking in it: results of its tool calls, or a prefill."""
    _results: Turn | None = None
    """The turn that takes further results."""
    _parts: PartWriter = field(init=False)
    _calls: CallWriter = field(init=False)

    def __post_init__(self) -> None:
        self._parts = PartWriter(profile=self.profile, notes=self.notes)
        self._calls = CallWriter(notes=self.notes)

    def take(self, message: Message, path: str) -> None:
        """Take the next message."""
        match message.role:
            case "system" | "developer":
                self._system(message, path)
            case "assistant":
                self._assistant(message, path)
            case "tool" | "function":
                self._result(message, path)
            case role:
                if role != "user":
                    self.notes.lose(f"{path}.role", f"Anthropic has no role {role!r}: sent as a user's turn")
                self._user(message, path)

    def close(self, path: str) -> None:
        """Settle what only the whole conversation shows; `path` is the last message's."""
        if not self.turns and self.system:
            # Anthropic refuses a conversation without a turn.
            self.notes.lose("messages[0].role", "Anthropic answers turns of users only: sent as one")
            self.turns.append(Turn("user", self.system))
            self.system = []
        match self.turns:
            case [*_, Turn(role="assistant", content=[*_, {"type": "text", "text": str(text)} as last])]:
                if text != text.rstrip():
                    self.notes.lose(f"{path}.content", "Anthropic refuses white space at the end of text to continue")
                    last["text"] = text.rstrip()
            case _:
                pass

    def _system(self, message: Message, path: str) -> None:
        self._unnamed(message, path)
        if self.turns:
            self.notes.lose(f"{path}.role", "Anthropic takes instructions before the conversation only: moved there")
        blocks: Blocks = []
        for block in self._parts.blocks(message.content or (), f"{path}.content"):
            if _kind(block) == "text":
                blocks.append(block)
            else:
                self.notes.lose(f"{path}.content", "Anthropic's system prompt takes text only")
        self.system += self._marked(blocks, message.extra, path, ())

    def _user(self, message: Message, path: str) -> None:
        self._unnamed(message, path)
        blocks = self._parts.blocks(message.content or (), f"{path}.content")
        blocks = self._marked(blocks, message.extra, path, ())
        self.answers_unthinking = False
        self._append("user", blocks, path)

    def _assistant(self, message: Message, path: str) -> None:
        self._unnamed(message, path)
        content, place = message.content or (), f"{path}.content"
        ahead = next((at for at, part in enumerate(content) if not isinstance(part, ThinkingPart)), len(content))
        extra = dict(message.extra)
        blocks = self._parts.blocks(content[:ahead], place)
        blocks += self._kept_blocks(extra.get(CONTENT_BLOCKS), path)
        blocks += self._parts.blocks(content[ahead:], place, ahead)
        refusal = self._parts.text(message.refusal or "", f"{path}.refusal")
        if refusal is not None:
            blocks.append(refusal)
        self._calls.ids.open()
        blocks += self._calls.blocks(message.tool_calls, f"{path}.tool_calls")
        legacy = extra.get(_FUNCTION_CALL)
        if legacy is not None and legacy not in EMPTY:
            call = self._calls.legacy(legacy, f"{path}.{_FUNCTION_CALL}")
            blocks += [] if call is None else [call]
        if message.audio is not None:
            self.notes.lose(f"{path}.audio", "Anthropic takes no audio")
        blocks = self._marked(blocks, message.extra, path, (CONTENT_BLOCKS, _FUNCTION_CALL))
        thinks = any(_kind(block) in _THINKING for block in blocks[:1])
        continues = bool(self.turns) and (self._results is not None or self.turns[-1].role == "assistant")
        self.answers_unthinking = not thinks and (self.answers_unthinking or not continues)
        self._append("assistant", blocks, path)

    def _result(self, message: Message, path: str) -> None:
        kept = self.notes.carried(message.extra, _RESULT_MEMBERS, path, NO_SUCH_FIELD)
        blocks: Blocks = []
        for block in self._parts.blocks(message.content or (), f"{path}.content"):
            if _kind(block) in _RESULT_CONTENT:
                blocks.append(block)
            else:
                self.notes.lose(f"{path}.content", f"Anthropic takes no {_kind(block)} in the result of a tool")
        result = {
            "type": "tool_result",
            "tool_use_id": self._calls.ids.of_result(message.tool_call_id),
            "content": Turn("user", blocks).written()["content"] if blocks else None,
        }
        if self._results is None:
            self._results = Turn("user", [])
            self.turns.append(self._results)
        self._results.content.append(drop_none(result, kept))

    def _append(self, role: str, blocks: Blocks, path: str) -> None:
        self._results = None
        if blocks:
            self.turns.append(Turn(role, blocks))
        else:
            self.notes.lose(path, "Anthropic refuses turns without content")

    def _marked(self, blocks: Blocks, extra: Extra, path: str, taken: tuple[str, ...]) -> Blocks:
        """Put a message's cache marker on its last block that can bear one; other unknown members are lost."""
        others = tuple((name, text) for name, text in extra if name not in taken)
        marker = dict(self.notes.carried(others, (_CACHE_CONTROL,), path, NO_SUCH_FIELD)).get(_CACHE_CONTROL)
        if marker is None:
            return blocks
        for block in reversed(blocks):
            match block:
                case {"type": kind} if kind not in _THINKING:
                    block.setdefault(_CACHE_CONTROL, msgspec.Raw(marker))
                    return blocks
                case _:
                    pass
        self.notes.lose(f"{path}.{_CACHE_CONTROL}", "the message has no block that can be marked")
        return blocks

    def _kept_blocks(self, json: str | None, path: str) -> Blocks:
        """Give back the blocks of an earlier answer that only Anthropic understands."""
        try:
            return [] if json is None or json in EMPTY else list(msgspec.json.decode(json, type=list[msgspec.Raw]))
        except msgspec.DecodeError:
            self.notes.lose(f"{path}.{CONTENT_BLOCKS}", "it is not an array of Anthropic's content blocks")
            return []

    def _unnamed(self, message: Message, path: str) -> None:
        if message.name is not None:
            self.notes.lose(f"{path}.name", "Anthropic's messages have no names")


def _kind(block: Block | msgspec.Raw) -> str:
    match block:
        case dict():
            return str(block["type"])
        case _:
            return kind_of_block(block)
