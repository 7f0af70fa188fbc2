"""A whole answer to a stream of chunks that amounts to it. The way back is `recast_whole.py`, which checks each stream
that is made here: one that says anything else is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from isthmusd.core.call import Stamp
from isthmusd.core.usage import Usage
from isthmusd.dialects.openai.chunk_decoder import DONE
from isthmusd.dialects.openai.kept_stream import events_of, garbled, members_of, unfaithful
from isthmusd.dialects.openai.recast_whole import (
    CHAT,
    COMPLETION,
    HEAD,
    Kind,
    Members,
    fold,
    without_index,
    written_usage,
)
from isthmusd.framing.canonical import Exact, write_exact
from isthmusd.framing.sse import data_event

LATE = ("content", "refusal", "tool_calls", "function_call", "audio")
"""What a message says; whatever else it has, as what the model thought, comes before that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunks:
    """How the chunks of an answer look."""

    kind: Kind
    object: str
    split: Callable[[Members], Iterator[Members]]
    """Gives a choice in pieces."""


def unfold(body: bytes, chunks: Chunks, stamp: Stamp, *, usage: Usage | None, include_usage: bool) -> list[bytes]:
    """Give the events of a stream for a whole answer. `usage` counts where the answer does not tell it. Raises Garbled
    or UnsupportedFeature."""
    whole = members_of(body)
    if whole.get("error") is not None:
        raise garbled()
    head, rest, told = _head(whole, chunks, stamp)
    if told is None and usage is not None:
        told = written_usage(usage)
    if include_usage and told is None:
        raise unfaithful()
    end: Members = {"usage": None} if include_usage else {}
    events: list[bytes] = []
    for choice in _choices(whole):
        for piece in chunks.split(choice):
            events.append(_event(head, [piece], end | rest))
            rest = {}
    if include_usage:
        events.append(_event(head, [], {"usage": told}))
    events.append(data_event(DONE))
    _check(whole, events, chunks, stamp)
    return events


def _head(whole: Members, chunks: Chunks, stamp: Stamp) -> tuple[Members, Members, Exact]:
    """Give what every chunk repeats, what one of them says, and the usage."""
    whole["id"] = whole.get("id") or f"{chunks.kind.id_prefix}-{stamp.id}"
    whole["object"] = chunks.kind.name
    whole["created"] = whole.get("created") or msgspec.Raw(str(stamp.created_at).encode())
    whole["model"] = whole.get("model") or ""
    told = whole.pop("usage", None)
    head = {name: whole[name] for name in HEAD if name in whole} | {"object": chunks.object}
    rest = {name: value for name, value in whole.items() if name not in HEAD and name != "choices"}
    return head, rest, told


def _choices(whole: Members) -> list[Members]:
    """Give the choices of an answer with what they may leave out. Raises Garbled."""
    found: list[Members] = []
    match whole.get("choices"):
        case list(choices) if choices:
            for place, choice in enumerate(choices):
                match choice:
                    case dict():
                        choice.setdefault("index", msgspec.Raw(str(place).encode()))
                        choice.setdefault("logprobs", None)
                        found.append(choice)
                    case _:
                        raise garbled()
        case _:
            raise garbled()
    return found


def _event(head: Members, choices: list[Exact], rest: Members) -> bytes:
    return data_event(msgspec.json.encode({**head, "choices": choices, **rest}))


def _check(whole: Members, events: list[bytes], chunks: Chunks, stamp: Stamp) -> None:
    again = fold(events_of(events), chunks.kind, stamp, None)
    again.pop("usage", None)
    if write_exact(_meant(again)) != write_exact(_meant(whole)):
        raise unfaithful()


def _meant(whole: Members) -> Members:
    """Give an answer without what says nothing in a message, and with what goes without saying."""
    return {**whole, "choices": [_choice_meant(choice) for choice in _choices(whole)]}


def _choice_meant(choice: Members) -> Members:
    match choice.get("message"):
        case dict(message):
            told = message | {"refusal": message.get("refusal") or None}
            said: Members = {name: without_index(name, value) for name, value in told.items() if value is not None}
            return {**choice, "message": {"role": "assistant", **said}}
        case _:
            return choice


def _split_message(choice: Members) -> Iterator[Members]:
    """Give the role, each member of the message, and the finish reason."""
    match choice.get("message"):
        case dict(message):
            pass
        case _:
            raise garbled()
    index, logprobs = choice["index"], choice["logprobs"]
    bearer = next((name for name in ("content", "refusal") if message.get(name)), None)
    yield _piece(index, _opening(message))
    names = (name for name in message if name != "role")
    for name in sorted(names, key=lambda name: LATE.index(name) if name in LATE else -1):
        for value in _values(name, message[name]):
            yield _piece(index, {name: value}, logprobs if name == bearer else None)
    if bearer is None and logprobs is not None:
        yield _piece(index, {}, logprobs)
    state = {name: value for name, value in choice.items() if name not in {"index", "message", "logprobs"}}
    yield {"index": index, "delta": {}, "logprobs": None} | state


def _opening(message: Members) -> Members:
    opening: Members = {"role": message.get("role") or "assistant"}
    match message.get("content"):
        case str():
            return opening | {"content": ""}
        case None:
            return opening | {"content": None}
        case _:
            return opening


def _values(name: str, value: Exact) -> Iterator[Exact]:
    """Give the values that a member of a message has in one delta after another."""
    match value:
        case None:
            return
        case "" if name in {"content", "refusal"}:
            # The opening has said that the content is a text; a refusal without a word is none.
            return
        case list() if name == "tool_calls" and value:
            for place, call in enumerate(value):
                match call:
                    case dict():
                        yield [{"index": msgspec.Raw(str(place).encode())} | _without_index(call)]
                    case _:
                        raise garbled()
        case _:
            yield value


def _without_index(call: Members) -> Members:
    return {name: value for name, value in call.items() if name != "index"}


def _piece(index: Exact, delta: Members, logprobs: Exact = None) -> Members:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": None}


def _whole_choice(choice: Members) -> Iterator[Members]:
    """A completion's choice has the same members, streamed or not."""
    yield choice


CHAT_CHUNKS = Chunks(kind=CHAT, object="chat.completion.chunk", split=_split_message)
COMPLETION_CHUNKS = Chunks(kind=COMPLETION, object="text_completion", split=_whole_choice)
