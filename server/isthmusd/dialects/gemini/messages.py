"""Messages as Google's turns: one system instruction, then turns of user and model. Parts are `content.py`.

Google's rules, https://ai.google.dev/gemini-api/docs/function-calling: a turn with function calls follows a user's turn
or results; the results of one turn's calls come in one turn, in the order of the calls where they carry no ids.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import msgspec

from isthmusd.core.chat import Extra, JsonText, Message, Part, RawToolCall, TextPart, ToolCall
from isthmusd.core.profile import Profile
from isthmusd.core.request import Loss
from isthmusd.dialects.gemini import signatures
from isthmusd.dialects.gemini.content import Writer, Written, image_parts
from isthmusd.dialects.gemini.native import UNKNOWN, lose
from isthmusd.dialects.gemini.tools import function_name
from isthmusd.framing.fields import drop_none

_SYSTEM = frozenset({"system", "developer"})
_RESULT = frozenset({"tool", "function"})
_ROLES = {"user": "user", "assistant": "model", "model": "model"}
_MADE_ID = re.compile(r"call_[0-9a-z]+_\d+_\d+\Z")
"""Ids that `answer.py` makes where Google gave none: not for Google's eyes."""


class _Function(msgspec.Struct):
    name: str
    arguments: str = ""


class _Custom(msgspec.Struct):
    name: str
    input: str = ""


class _AnyCall(msgspec.Struct):
    """A tool call with members that the hub has no place for."""

    id: str = ""
    function: _Function | None = None
    custom: _Custom | None = None


@dataclass(slots=True)
class _Turn:
    role: str
    parts: list[object]
    results: list[tuple[int, Written]] = field(default_factory=list[tuple[int, Written]])
    """Function results with the place of their call."""

    def written(self) -> Written:
        ordered = [part for _, part in sorted(self.results, key=lambda result: result[0])]
        return {"role": self.role, "parts": [*ordered, *self.parts]}


@dataclass(frozen=True, slots=True)
class _Called:
    """A call as results find it."""

    id: str
    place: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """The members of a request that concern messages."""

    system: Written | None
    contents: list[Written]


def encode_messages(messages: tuple[Message, ...], model: str, profile: Profile, losses: list[Loss]) -> Conversation:
    """Write `systemInstruction` and `contents`."""
    turns = _Turns(Writer(profile=profile, losses=losses), demands_signatures=signatures.demands_signatures(model))
    for place, message in enumerate(messages):
        turns.take(message, f"messages[{place}]")
    contents = [turn.written() for turn in turns.turns]
    if contents:
        if not profile.accepts_system_prompt and turns.system:
            # As Gemma's own documentation has it: https://ai.google.dev/gemma/docs/core/prompt-structure
            return Conversation(system=None, contents=[{"role": "user", "parts": turns.system}, *contents])
        return Conversation(system={"parts": turns.system} if turns.system else None, contents=contents)
    # Google refuses a request without a turn.
    if turns.system:
        losses.append(Loss(field="messages[0].role", reason="Gemini answers turns of users only: sent as one"))
    return Conversation(system=None, contents=[{"role": "user", "parts": turns.system or [{"text": ""}]}])


class _Turns:
    """Takes the messages of one request in order."""

    def __init__(self, writer: Writer, *, demands_signatures: bool) -> None:
        self.system: list[Written] = []
        self.turns: list[_Turn] = []
        self._writer = writer
        self._demands_signatures = demands_signatures
        self._calls: dict[str, _Called] = {}
        """Calls by their id; the last one where ids repeat."""
        self._waiting: list[_Called] = []
        """Calls without a result, since the last turn of the user."""
        self._count = 0

    def take(self, message: Message, path: str) -> None:
        if message.role in _SYSTEM:
            self._take_system(message, path)
        elif message.role in _RESULT:
            self._take_result(message, path)
        elif _ROLES.get(message.role) == "model":
            self._take_model(message, path)
        else:
            self._take_user(message, path)

    def _take_system(self, message: Message, path: str) -> None:
        """Google has one system instruction, before all turns: the order among them is kept."""
        self._lose_rest(message, message.extra, path)
        for part in self._writer.content(message.content, path):
            if "text" in part:
                self.system.append(part)
            else:
                self._writer.lose(f"{path}.content", "Gemini's system instruction is text")

    def _take_user(self, message: Message, path: str) -> None:
        self._lose_rest(message, message.extra, path)
        self._waiting.clear()
        if message.role not in _ROLES:
            self._writer.lose(f"{path}.role", "Gemini knows user and model")
        parts = self._writer.content(message.content, path)
        if parts:
            self.turns.append(_Turn("user", list[object](parts)))

    def _take_model(self, message: Message, path: str) -> None:
        kept, extra = signatures.recall(message.extra)
        legacy, extra = _legacy_calls(extra)
        images, rest = self._images(extra, path)
        self._lose_rest(message, rest, path)
        if message.audio is not None:
            self._writer.lose(f"{path}.audio", "Gemini takes no audio answers back")
        content: tuple[Part, ...] = message.content or ()
        if message.refusal is not None:
            content = (*content, TextPart(text=message.refusal))
        said = _signed(self._writer.content(content, path), kept.signature)
        parts: list[object] = [*kept.parts, *said, *images]
        calls = self._take_calls((*legacy, *message.tool_calls), path)
        if calls and self.turns and self.turns[-1].role == "model":
            self.turns[-1].parts += [*parts, *calls]
        elif parts or calls:
            self.turns.append(_Turn("model", [*parts, *calls]))

    def _images(self, extra: Extra, path: str) -> tuple[list[Written], Extra]:
        images: list[Written] = []
        rest: list[tuple[str, JsonText]] = []
        for name, text in extra:
            made = image_parts(text, path, self._writer) if name == "images" else None
            if made is None:
                rest.append((name, text))
            else:
                images += made
        return images, tuple(rest)

    def _take_calls(self, calls: tuple[ToolCall | RawToolCall, ...], path: str) -> list[Written]:
        written: list[Written] = []
        for place, call in enumerate(calls):
            at = f"{path}.tool_calls[{place}]"
            match call:
                case ToolCall():
                    kept, rest = signatures.recall(call.extra)
                    lose(rest, at, self._writer.losses)
                    part = self._call(call, kept.signature, at)
                case RawToolCall(json=json):
                    known = _salvaged(json)
                    reason = "Gemini has no such call" if known is None else "Gemini's calls have fewer members"
                    self._writer.lose(at, reason)
                    part = None if known is None else self._call(known, None, at)
            if part is not None:
                written.append(part)
        if self._demands_signatures and written and not any("thoughtSignature" in part for part in written):
            written[0]["thoughtSignature"] = signatures.BYPASS
        return written

    def _call(self, call: ToolCall, signature: str | None, path: str) -> Written:
        name = function_name(call.name)
        self._count += 1
        called = self._calls[call.id] = _Called(call.id, self._count, name)
        self._waiting.append(called)
        members = {"id": self._shown_id(call.id), "name": name, "args": self._arguments(call.arguments, path)}
        return drop_none({"functionCall": drop_none(members), "thoughtSignature": signature})

    def _arguments(self, text: str, path: str) -> object:
        if not text.strip():
            return {}
        match _json(text):
            case dict():
                return msgspec.Raw(text)
            case None:
                self._writer.lose(f"{path}.function.arguments", "not valid JSON: sent as text in an object")
                return {"arguments": text}
            case _:
                self._writer.lose(f"{path}.function.arguments", "not a JSON object: sent inside one")
                return {"arguments": msgspec.Raw(text)}

    def _take_result(self, message: Message, path: str) -> None:
        self._lose_rest(message, message.extra, path, named=message.role == "function")
        call_id = message.tool_call_id or ""
        called = self._called(call_id, message.name)
        if called is None:
            called = _Called(call_id, self._count + 1, function_name(message.name or call_id or "unknown"))
            if message.role == "tool":
                self._writer.lose(f"{path}.tool_call_id", "no call has this id: the function's name is a guess")
        parts = self._writer.content(message.content, path)
        # Only Gemini 3 takes media inside a result; beside it every model does.
        media = [part for part in parts if "text" not in part]
        result = _response("".join(str(part["text"]) for part in parts if "text" in part))
        members = {"id": self._shown_id(call_id), "name": called.name, "response": result}
        if not self.turns or not self.turns[-1].results:
            self.turns.append(_Turn("user", []))
        self.turns[-1].results.append((called.place, {"functionResponse": drop_none(members)}))
        self.turns[-1].parts += media

    def _called(self, call_id: str, name: str | None) -> _Called | None:
        """Find the call that a result answers. One without an id answers the first call of its function that waits."""
        wanted = None if name is None else function_name(name)
        for place, called in enumerate(self._waiting):
            if called.id == call_id if call_id else wanted in (None, called.name):
                return self._waiting.pop(place)
        return self._calls.get(call_id) if call_id else None

    def _shown_id(self, call_id: str) -> str | None:
        shown = self._writer.profile.accepts_tool_call_ids and not _MADE_ID.match(call_id)
        return (call_id or None) if shown else None

    def _lose_rest(self, message: Message, extra: Extra, path: str, *, named: bool = False) -> None:
        lose(extra, path, self._writer.losses)
        if message.name is not None and not named:
            self._writer.lose(f"{path}.name", UNKNOWN)


def _signed(parts: list[Written], signature: str | None) -> list[Written]:
    """Put a text's signature back on the last text, or on an empty one, as streams have it."""
    if signature is None:
        return parts
    for part in reversed(parts):
        if "text" in part and "thought" not in part:
            part.setdefault("thoughtSignature", signature)
            return parts
    return [*parts, {"text": "", "thoughtSignature": signature}]


def _legacy_calls(extra: Extra) -> tuple[tuple[ToolCall, ...], Extra]:
    """Take the `function_call` of a message from before tools: it has no id."""
    for place, (name, text) in enumerate(extra):
        if name == "function_call" and text != "null":
            try:
                function = msgspec.json.decode(text, type=_Function)
            except msgspec.DecodeError:
                break
            call = ToolCall(id="", name=function.name, arguments=function.arguments)
            return (call,), (*extra[:place], *extra[place + 1 :])
    return (), extra


def _salvaged(json: JsonText) -> ToolCall | None:
    try:
        call = msgspec.json.decode(json, type=_AnyCall)
    except msgspec.DecodeError:
        return None
    if call.function is not None:
        return ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments)
    if call.custom is not None:
        arguments = msgspec.json.encode({"input": call.custom.input}).decode()
        return ToolCall(id=call.id, name=call.custom.name, arguments=arguments)
    return None


def _response(text: str) -> object:
    """Write a result, which must be an object."""
    match _json(text):
        case dict():
            return msgspec.Raw(text)
        case list():
            return {"result": msgspec.Raw(text)}
        case _:
            return {"result": text}


def _json(text: str) -> object:
    try:
        return msgspec.json.decode(text, type=dict[str, msgspec.Raw] | list[msgspec.Raw] | str | int | float | bool)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
