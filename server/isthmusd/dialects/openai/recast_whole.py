"""A complete stream of chunks to the whole answer that it amounts to, member by member as the provider named them. It
does not pass the hub, which has one name for what vendors give several.

What is streamed in pieces is joined as OpenAI's own client libraries do it; where they and others could come to another
answer, there is none: `UnsupportedFeature`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from isthmusd.core.call import Stamp
from isthmusd.core.usage import Usage
from isthmusd.dialects.openai.chunk_decoder import DONE
from isthmusd.dialects.openai.kept_stream import garbled, members_of, unfaithful
from isthmusd.dialects.openai.plain_chunk import PlainChoice, PlainChunk
from isthmusd.dialects.openai.usage import encode_usage
from isthmusd.framing.canonical import Exact, write_exact
from isthmusd.framing.sse import SseEvent

Members = dict[str, Exact]

HOP_ONLY = frozenset({"obfuscation"})
"""Padding against eavesdroppers, https://platform.openai.com/docs/api-reference/chat-streaming: says nothing."""
GROWING = frozenset(
    {
        "arguments",
        "content",
        "input",
        "reasoning",
        "reasoning_content",
        "refusal",
        "summary",
        "text",
        "thinking",
        "transcript",
    }
)
"""Texts that are streamed in pieces."""
HEAD = ("id", "object", "created", "model", "service_tier", "system_fingerprint")
"""Members that every chunk repeats."""
FIRST = frozenset({"id", "created", "model"})
"""Of these the first chunk's counts, as in OpenAI's client libraries: some servers write another time in each."""
LAST = frozenset({"service_tier", "system_fingerprint", "usage"})
"""Of these the last that is not null counts."""
INDEXED = frozenset({"tool_calls", "thinking_blocks"})
"""Lists whose entries have an `index` in streams only."""
LISTED = frozenset({"annotations"})
"""Lists that are streamed entry by entry."""

_PLAIN = msgspec.json.Decoder(PlainChunk)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How a whole answer differs from its chunks."""

    name: str
    """Its `object`."""
    id_prefix: str
    take: Callable[[Members], Members]
    """Takes what a chunk's choice adds to the answer out of it."""
    complete: Callable[[Members], Members]
    """Gives the members of a choice for what its chunks amount to."""


@dataclass(slots=True)
class _Choice:
    said: Members = field(default_factory=dict[str, Exact])
    """What its chunks add up to."""
    logprobs: Exact = None
    finish_reason: Exact = None
    state: Members = field(default_factory=dict[str, Exact])
    texts: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Pieces that are not joined to what was said yet."""

    def join(self) -> None:
        """Join the pieces: one after another would copy all of a long text for each."""
        for name, texts in self.texts.items():
            self.said[name] = _grown(name, self.said.get(name), "".join(texts))
        self.texts.clear()


def fold(events: Iterable[SseEvent], kind: Kind, stamp: Stamp, usage: Usage | None) -> Members:
    """Give the whole answer of a stream. `usage` counts where the stream does not tell it, unless it is a guess: whole
    answers have none then. Raises Garbled or UnsupportedFeature."""
    head: Members = {}
    choices: dict[int, _Choice] = {}
    for data in chunks_of(events):
        if choices and _take_plain(choices, head, data):
            continue
        chunk = members_of(data)
        if chunk.get("error") is not None:
            raise garbled()
        for place, entry in enumerate(_entries(chunk.pop("choices", None))):
            _take_choice(choices, place, entry, kind)
        for name in HOP_ONLY:
            chunk.pop(name, None)
        for name, value in chunk.items():
            head[name] = _settled(name, head.get(name), value)
    head.pop("object", None)
    told = head.pop("usage", None)
    if not choices or any(choice.finish_reason is None for choice in choices.values()):
        raise unfaithful()
    answer: Members = {
        "id": head.pop("id", None) or f"{kind.id_prefix}-{stamp.id}",
        "object": kind.name,
        "created": head.pop("created", None) or _number(stamp.created_at),
        "model": head.pop("model", None) or "",
        "choices": [_completed(index, choices[index], kind) for index in sorted(choices)],
    }
    if told is None and usage is not None and not usage.estimated:
        told = written_usage(usage)
    return answer | ({} if told is None else {"usage": told}) | head


def chunks_of(events: Iterable[SseEvent]) -> Iterator[bytes]:
    """Give the chunks of a stream up to its `[DONE]`. Raises Garbled."""
    for event in events:
        data = event.data.strip()
        if data == DONE:
            return
        if data:
            yield data
    raise garbled()


def _take_plain(choices: dict[int, _Choice], head: Members, data: bytes) -> bool:
    """Take a chunk that says no more than the next piece of a text, in a tenth of the time; False for any other."""
    try:
        chunk = _PLAIN.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    repeated = ((chunk.service_tier, "service_tier"), (chunk.system_fingerprint, "system_fingerprint"))
    if any(said is not None and said != head.get(name) for said, name in repeated) or not all(
        _goes_on(choices, choice) for choice in chunk.choices
    ):
        return False
    for choice in chunk.choices:
        texts, delta = choices[choice.index].texts, choice.delta
        if delta.content is not None:
            texts.setdefault("content", []).append(delta.content)
        if delta.reasoning_content is not None:
            texts.setdefault("reasoning_content", []).append(delta.reasoning_content)
    return True


def _goes_on(choices: dict[int, _Choice], choice: PlainChoice) -> bool:
    return choice.index in choices and choice.delta.tool_calls is None and not choice.delta.role


def written_usage(usage: Usage) -> Exact:
    """Give the member `usage` of an answer."""
    return members_of(msgspec.json.encode(encode_usage(usage)))


def _take_choice(choices: dict[int, _Choice], place: int, entry: Members, kind: Kind) -> None:
    index = entry.pop("index", None)
    choice = choices.setdefault(place if index is None else _integer(index), _Choice())
    choice.join()
    choice.said = _grown_members(choice.said, kind.take(entry))
    choice.logprobs = _merged(choice.logprobs, entry.pop("logprobs", None), _appended)
    choice.finish_reason = _same(choice.finish_reason, entry.pop("finish_reason", None))
    for name, value in entry.items():
        choice.state[name] = _merged(choice.state.get(name), value, _once)


def _completed(index: int, choice: _Choice, kind: Kind) -> Members:
    choice.join()
    said = kind.complete(choice.said)
    ended: Members = {"logprobs": choice.logprobs, "finish_reason": choice.finish_reason}
    if said.keys() & choice.state.keys():
        raise unfaithful()
    return {"index": _number(index), **said, **ended, **choice.state}


def _settled(name: str, old: Exact, new: Exact) -> Exact:
    """Give a member of the whole answer after one more chunk."""
    if name in FIRST or name == "object":
        # Azure opens with a chunk about its content filter, which came from nobody at the time 0.
        return new if _nothing(old) or write_exact(old) == b"0" else old
    if name in LAST:
        return old if new is None else new
    return _merged(old, new, _same)


def _merged(old: Exact, new: Exact, leaf: Callable[[Exact, Exact], Exact]) -> Exact:
    """Give a value that is said part by part; `leaf` gives what has no members."""
    match old, new:
        case dict(), dict():
            return old | {name: _merged(old.get(name), value, leaf) for name, value in new.items()}
        case _:
            return leaf(old, new)


def _same(old: Exact, new: Exact) -> Exact:
    """Give a value that is not streamed in pieces, but said once, or again and again."""
    if _nothing(new):
        return new if old is None else old
    if _nothing(old) or write_exact(old) == write_exact(new):
        return new
    raise unfaithful()


def _once(old: Exact, new: Exact) -> Exact:
    """Give the same for a member of a choice. A list that comes again may be the next piece of it, equal or not, as
    `token_ids` are of vLLM: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html"""
    match old, new:
        case [_, *_], [_, *_]:
            raise unfaithful()
        case _:
            return _same(old, new)


def _appended(old: Exact, new: Exact) -> Exact:
    """Give a value of log probabilities: every list among them grows."""
    match old, new:
        case list(), list():
            return old + new
        case _:
            return _same(old, new)


def _grown_members(old: Members, new: Members) -> Members:
    for name, value in new.items():
        old[name] = _grown(name, old.get(name), value)
    return old


def _grown(name: str, old: Exact, new: Exact) -> Exact:
    match old, new:
        case _, None:
            return old
        case (None, list()) | (list(), list()):
            return _grown_list(name, old, new)
        case None, dict():
            return _grown_members({}, new)
        case dict(), dict():
            return _grown_members(old, new)
        case str(), str() if name in GROWING:
            return old + new
        case str(), str() if name == "data" and old and new:
            return _joined_base64(old, new)
        case str(), str() if name == "name" and old and new:
            # A call that goes on says its name no more: this is another one.
            raise unfaithful()
        case _:
            return _same(old, new)


def _grown_list(name: str, old: list[Exact] | None, new: list[Exact]) -> Exact:
    if not new:
        return old or new
    if not old and not any(_has_index(entry) for entry in new):
        return new
    if old and name in LISTED:
        return old + new
    entries = _by_index(old or [])
    for index, entry in _by_index(new, entries).items():
        entries[index] = entry
    return [entries[index] for index in sorted(entries)]


def _by_index(new: list[Exact], old: dict[int, Exact] | None = None) -> dict[int, Exact]:
    found = dict(old or {})
    for entry in new:
        match entry:
            case {"index": msgspec.Raw() as written}:
                index = _integer(written)
                found[index] = _grown("", found.get(index), entry)
            case _:
                raise unfaithful()
    return found


def _has_index(entry: Exact) -> bool:
    match entry:
        case {"index": msgspec.Raw()}:
            return True
        case _:
            return False


def _joined_base64(old: str, new: str) -> str:
    """Join pieces of data; padding within it could not be told from its end."""
    if old.endswith("="):
        raise unfaithful()
    return old + new


def _nothing(value: Exact) -> bool:
    return value is None or value in ("", [], {})


def _entries(value: Exact) -> list[Members]:
    match value:
        case None:
            return []
        case list():
            return [_object(entry) for entry in value]
        case _:
            raise garbled()


def _object(value: Exact) -> Members:
    match value:
        case dict():
            return value
        case _:
            raise garbled()


def _integer(value: Exact) -> int:
    match value:
        case msgspec.Raw() if (text := bytes(value)).isdigit():
            return int(text)
        case _:
            raise garbled()


def _number(value: int) -> msgspec.Raw:
    return msgspec.Raw(str(value).encode())


def _take_delta(choice: Members) -> Members:
    delta = choice.pop("delta", None)
    return {} if delta is None else _object(delta)


def _message(said: Members) -> Members:
    role, content, refusal = (said.pop(name, None) for name in ("role", "content", "refusal"))
    rest = {name: without_index(name, value) for name, value in said.items() if value is not None}
    # A refusal that never got a word is none: clients take any text there for one.
    return {"message": {"role": role or "assistant", "content": content, "refusal": refusal or None, **rest}}


def without_index(name: str, value: Exact) -> Exact:
    """Give a member of a message without what only streams have in it."""
    match value:
        case list() if name in INDEXED:
            return [{key: each for key, each in _object(entry).items() if key != "index"} for entry in value]
        case _:
            return value


def _take_text(choice: Members) -> Members:
    if "text" not in choice:
        raise garbled()
    return {"text": choice.pop("text")}


def _text(said: Members) -> Members:
    return {"text": said.get("text") or ""}


CHAT = Kind(name="chat.completion", id_prefix="chatcmpl", take=_take_delta, complete=_message)
COMPLETION = Kind(name="text_completion", id_prefix="cmpl", take=_take_text, complete=_text)
