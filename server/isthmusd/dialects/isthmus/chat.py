"""Chat: requests in, whole answers out, and the served half that ties both to the stream (`chat_stream.py`)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from isthmus.v1 import chat_pb2 as pb

from isthmusd.core.call import Stamp
from isthmusd.core.chat import ChatRequest, ChatResponse, Choice, Extra, JsonText, Reasoning, Sampling
from isthmusd.core.request import Peeked
from isthmusd.dialects.isthmus.chat_stream import chat_encoder
from isthmusd.dialects.isthmus.fields import (
    BadField,
    decode_each,
    decode_under,
    instant,
    join,
    json_object,
    json_value,
    merge,
    present,
    quote,
    refuse_many,
    required,
)
from isthmusd.dialects.isthmus.finish import encode_finish
from isthmusd.dialects.isthmus.logprobs import encode_logprobs
from isthmusd.dialects.isthmus.messages import decode_message, write_message
from isthmusd.dialects.isthmus.request import (
    SAMPLING,
    SWITCH,
    WHOLE,
    WORD,
    Kinds,
    decode_extra,
    decode_knobs,
    peek_knobbed,
    replace_fields,
)
from isthmusd.dialects.isthmus.steps import UNWRITABLE, EventEncoder, garbled
from isthmusd.dialects.isthmus.tools import decode_response_format, decode_tool, decode_tool_choice
from isthmusd.dialects.isthmus.usage import encode_usage

_SAMPLING: Kinds = {**SAMPLING, "max_completion_tokens": WHOLE, "logprobs": SWITCH, "top_logprobs": WHOLE}
_KNOBS = tuple(name for name in _SAMPLING if name != "stop")
_SETTINGS: Kinds = {
    "parallel_tool_calls": SWITCH,
    "verbosity": WORD,
    "user": WORD,
    "store": SWITCH,
    "service_tier": WORD,
}
"""Fields that the hub has under the same name."""
_EFFORT = "reasoning_effort"
_HINTS = ("safety_identifier", "prompt_cache_key", "prompt_cache_retention")
"""Fields that the hub keeps as members under the same name."""
_OWN = frozenset({"model", "messages"})


class ChatServed:
    """The half that callers of `ChatService` speak."""

    keep_alive = None

    def peek(self, body: pb.ChatRequest) -> Peeked:
        """Read the few fields that decisions need. Raises InvalidRequest."""
        try:
            return peek_knobbed(body, has_messages=bool(body.messages))
        except BadField as bad:
            raise bad.refusal() from None

    def decode_request(self, body: pb.ChatRequest) -> ChatRequest:
        """Give the canonical request. Raises InvalidRequest naming the field."""
        try:
            return _decode_request(body)
        except BadField as bad:
            raise bad.refusal() from None

    def encode_response(self, response: ChatResponse) -> pb.ChatResponse:
        """Write a canonical answer. Raises Garbled."""
        try:
            return _encode_response(response)
        except UNWRITABLE:
            raise garbled() from None

    def stream_encoder(self, stamp: Stamp, include_usage: bool) -> EventEncoder:
        """Give the encoder of one stream. Usage is always on this wire."""
        return chat_encoder()


def _decode_request(request: pb.ChatRequest) -> ChatRequest:
    model = required("model", request.model)
    refuse_many("messages", len(request.messages))
    refuse_many("messages.parts", sum(len(message.parts) + len(message.tool_calls) for message in request.messages))
    messages = decode_each("messages", request.messages, decode_message)
    if not messages:
        raise BadField("messages", "must hold at least one message")
    extra = decode_extra(request, _OWN)
    knobs = decode_knobs(request, _KNOBS)
    settings = present(request, _SETTINGS)
    if request.tools:
        settings["tools"] = decode_each("tools", request.tools, decode_tool)
    if request.metadata:
        settings["metadata"] = tuple(sorted(request.metadata.items()))
    if request.modalities:
        settings["modalities"] = tuple(request.modalities)
    if request.prediction_json:
        settings["prediction"] = json_object("prediction_json", request.prediction_json)
    for name, message in present(request, _SUBMESSAGES).items():
        settings[name] = decode_under(name, message, _SUBMESSAGES[name])
    extra = _replace_settings(replace_fields(extra, _SAMPLING, knobs), settings)
    hints = present(request, _HINTS)
    if hints:
        extra = merge(tuple((name, quote(value)) for name, value in hints.items()), extra)
    return ChatRequest(
        model=model, messages=messages, sampling=Sampling(**knobs), include_usage=True, extra=extra, **settings
    )


def _replace_settings(extra: Extra, settings: dict[str, Any]) -> Extra:
    """Replace settings, among them the effort, which is a member of its own in `extra_json` and a part of ours here."""
    rest = replace_fields(extra, {**_SETTINGS, _EFFORT: WORD}, settings)
    effort = settings.pop(_EFFORT, None)
    if effort is not None:
        settings["reasoning"] = replace(settings.get("reasoning", Reasoning()), effort=effort)
    elif any(name == _EFFORT for name, _ in rest):
        settings.pop("reasoning", None)
    return rest


def _decode_reasoning(reasoning: pb.Reasoning) -> Reasoning:
    return Reasoning(**present(reasoning, ("effort", "max_tokens", "include")))


def _decode_voice(audio: pb.AudioOutput) -> JsonText:
    voice = json_value("voice_json", audio.voice_json) if audio.voice_json else quote(required("voice", audio.voice))
    return JsonText(join((("voice", voice), ("format", quote(required("format", audio.format))))))


_SUBMESSAGES: dict[str, Any] = {
    "tool_choice": decode_tool_choice,
    "response_format": decode_response_format,
    "reasoning": _decode_reasoning,
    "audio": _decode_voice,
}
"""Submessages that the hub has under the same name, and who reads them."""


def _encode_response(response: ChatResponse) -> pb.ChatResponse:
    wire = pb.ChatResponse(
        id=response.id,
        created=instant(response.created_at),
        model=response.model,
        usage=None if response.usage is None else encode_usage(response.usage),
        system_fingerprint=response.system_fingerprint,
        service_tier=response.service_tier,
        extra_json=join(response.extra),
    )
    for choice in response.choices:
        _write_choice(choice, wire.choices.add())
    return wire


def _write_choice(choice: Choice, wire: pb.ChatChoice) -> None:
    wire.index = choice.index
    wire.finish_reason, wire.native_finish_reason = encode_finish(choice.finish_reason, choice.native_finish_reason)
    write_message(choice.message, wire.message)
    wire.extra_json = join(_write_logprobs(choice, wire))


def _write_logprobs(choice: Choice, wire: pb.ChatChoice) -> Extra:
    """Fill in the probabilities; those of an unknown shape stay JSON among the members, which it gives."""
    if choice.logprobs is None:
        return choice.extra
    logprobs = encode_logprobs(choice.logprobs)
    if logprobs is None:
        return (*choice.extra, ("logprobs", choice.logprobs))
    wire.logprobs.CopyFrom(logprobs)
    return choice.extra
