"""What the kinds of requests share: knobs, members that replace fields, the look ahead. Not what they ask about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

import msgspec
from isthmus.v1 import chat_pb2, completion_pb2, embedding_pb2

from isthmusd.core.chat import Extra, JsonText
from isthmusd.core.request import Peeked
from isthmusd.dialects.isthmus.fields import NOT_JSON, BadField, join, members, present, required
from isthmusd.framing.members import ACTED_ON

Request = chat_pb2.ChatRequest | completion_pb2.CompletionRequest | embedding_pb2.EmbeddingRequest
Knobbed = chat_pb2.ChatRequest | completion_pb2.CompletionRequest

Kinds = Mapping[str, msgspec.json.Decoder[Any]]
"""Members of `extra_json` that the hub has under the same name, and what they must be to be read."""

NUMBER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float)
WHOLE: msgspec.json.Decoder[Any] = msgspec.json.Decoder(int)
SWITCH: msgspec.json.Decoder[Any] = msgspec.json.Decoder(bool)
WORD: msgspec.json.Decoder[Any] = msgspec.json.Decoder(str)
WORDS: msgspec.json.Decoder[Any] = msgspec.json.Decoder(tuple[str, ...])
SAMPLING: Kinds = {
    "temperature": NUMBER,
    "top_p": NUMBER,
    "top_k": WHOLE,
    "min_p": NUMBER,
    "repetition_penalty": NUMBER,
    "frequency_penalty": NUMBER,
    "presence_penalty": NUMBER,
    "n": WHOLE,
    "stop": WORDS,
    "max_tokens": WHOLE,
    "seed": WHOLE,
}
"""Those of chats and of completions that go to `Sampling`."""

_EXTRA = "extra_json"
_STREAM = "stream"
_OPTIONS = "stream_options"


def decode_extra(request: Request, own: Iterable[str]) -> Extra:
    """Read the members that go to the provider as they are. Those named in `own`, and `stream`, say what the call is:
    grants, routing and the kind of RPC hang on them, so that they cannot be replaced behind the gateway's back."""
    extra = members(_EXTRA, request.extra_json)
    for name, _ in extra:
        # Parsers that ignore case would take `Model` for the model.
        folded = name.casefold()
        if folded == _STREAM:
            raise BadField(f"{_EXTRA}.{name}", "is chosen by the RPC")
        if folded in own:
            raise BadField(f"{_EXTRA}.{name}", "has a field of its own: set it there")
        if folded in ACTED_ON and name != folded:
            raise BadField(f"{_EXTRA}.{name}", f"differs from {folded!r} only in case: write {folded!r}")
    return tuple(kept for pair in extra for kept in (_decode_options(pair[1]) if pair[0] == _OPTIONS else (pair,)))


def _decode_options(text: JsonText) -> Extra:
    """Keep what is not ours: whether usage is reported is the gateway's to say, as it counts every call."""
    options = members(f"{_EXTRA}.{_OPTIONS}", text)
    rest = tuple(option for option in options if option[0] != "include_usage")
    return ((_OPTIONS, JsonText(join(rest))),) if rest else ()


def decode_knobs(request: Knobbed, names: Iterable[str]) -> dict[str, Any]:
    """Read what goes to `Sampling`, whose names are ours too. Raises BadField."""
    knobs = present(request, names)
    for name, value in knobs.items():
        if isinstance(value, float) and not isfinite(value):
            raise BadField(name, "must be a finite number")
    if request.stop:
        knobs["stop"] = tuple(request.stop)
    if request.logit_bias:
        knobs["logit_bias"] = _decode_bias(request.logit_bias.items())
    return knobs


def _decode_bias(items: Iterable[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """Sort, because maps have no order, and equal requests are to stay equal."""
    bias = tuple(sorted(items))
    for token, value in bias:
        if not isfinite(value):
            raise BadField(f"logit_bias.{token}", "must be a finite number")
    return bias


def replace_fields(extra: Extra, kinds: Kinds, fields: dict[str, Any]) -> Extra:
    """Replace fields by the members of `extra_json`: those that can be read are translated like the fields, so that
    every provider gets them; gives the others, which reach the provider as they are."""
    kept: list[tuple[str, JsonText]] = []
    for name, text in extra:
        fields.pop(name, None)
        try:
            fields[name] = kinds[name].decode(text)
        except (KeyError, *NOT_JSON):
            kept.append((name, text))
    return tuple(kept)


def peek_knobbed(request: Knobbed, *, has_messages: bool = False, has_prompt: bool = False) -> Peeked:
    """Look ahead into a chat or completion request. Raises BadField."""
    knobs = present(request, ("temperature", "seed"))
    temperature: float | None = knobs.get("temperature")
    seed = str(knobs["seed"]) if "seed" in knobs else None
    extra = members(_EXTRA, request.extra_json)
    for name, text in extra:
        if name == "temperature":
            temperature = _number(text)
        elif name == "seed":
            seed = None if text == "null" else text
    return Peeked(
        model=required("model", request.model),
        include_usage=True,
        temperature=temperature,
        seed=seed,
        has_messages=has_messages,
        has_prompt=has_prompt,
        extra=tuple(name for name, _ in extra),
        size=request.ByteSize(),
    )


def _number(text: str) -> float | None:
    try:
        return float(text)  # JSON texts only: of those, float() takes the numbers and nothing else
    except ValueError:
        return None
