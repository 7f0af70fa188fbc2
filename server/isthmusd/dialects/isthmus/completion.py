"""Legacy completions: requests in, answers and their streams out. Chat is `chat.py`."""

from __future__ import annotations

from typing import Any

import msgspec
from isthmus.v1 import completion_pb2 as pb

from isthmusd.core.call import Stamp
from isthmusd.core.chat import Extra, JsonText, Sampling
from isthmusd.core.completion import CompletionChoice, CompletionRequest, CompletionResponse, Prompt
from isthmusd.core.events import (
    AudioDelta,
    LogprobsDelta,
    RefusalDelta,
    ThinkingDelta,
    ThinkingSignature,
    ToolCallDelta,
    ToolCallStart,
)
from isthmusd.core.request import Peeked
from isthmusd.dialects.isthmus.fields import NOT_JSON, BadField, decode_each, instant, join, present, quote, required
from isthmusd.dialects.isthmus.finish import encode_finish
from isthmusd.dialects.isthmus.logprobs import encode_completion_logprobs
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
from isthmusd.dialects.isthmus.steps import SHARED, UNWRITABLE, EventEncoder, Writers, add_raw, garbled
from isthmusd.dialects.isthmus.usage import encode_usage

_KNOBS = tuple(name for name in SAMPLING if name != "stop")
_SETTINGS: Kinds = {"logprobs": WHOLE, "suffix": WORD, "echo": SWITCH, "best_of": WHOLE, "user": WORD}
_OWN = frozenset({"model", "prompt"})
_RAW_PROMPT = msgspec.json.Decoder(str | tuple[int, ...])


class CompletionServed:
    """The half that callers of `CompletionService` speak."""

    keep_alive = None

    def peek(self, body: pb.CompletionRequest) -> Peeked:
        """Read the few fields that decisions need. Raises InvalidRequest."""
        try:
            return peek_knobbed(body, has_prompt=bool(body.prompt))
        except BadField as bad:
            raise bad.refusal() from None

    def decode_request(self, body: pb.CompletionRequest) -> CompletionRequest:
        """Give the canonical request. Raises InvalidRequest naming the field."""
        try:
            return _decode_request(body)
        except BadField as bad:
            raise bad.refusal() from None

    def encode_response(self, response: CompletionResponse) -> pb.CompletionResponse:
        """Write a canonical answer. Raises Garbled."""
        try:
            return _encode_response(response)
        except UNWRITABLE:
            raise garbled() from None

    def stream_encoder(self, stamp: Stamp, include_usage: bool) -> EventEncoder:
        """Give the encoder of one stream. Usage is always on this wire."""
        return EventEncoder(pb.CompletionChunk, _WRITERS)


def _decode_request(request: pb.CompletionRequest) -> CompletionRequest:
    model = required("model", request.model)
    prompts = decode_each("prompt", request.prompt, _decode_prompt)
    extra = decode_extra(request, _OWN)
    knobs = decode_knobs(request, _KNOBS)
    settings = present(request, _SETTINGS)
    extra = replace_fields(replace_fields(extra, SAMPLING, knobs), _SETTINGS, settings)
    return CompletionRequest(
        model=model,
        prompts=prompts or ("",),  # no text before it: the model starts a new document
        sampling=Sampling(**knobs),
        include_usage=True,
        extra=extra,
        **settings,
    )


def _decode_prompt(prompt: pb.Prompt) -> Prompt:
    match prompt.WhichOneof("prompt"):
        case "text":
            return prompt.text
        case "tokens":
            return tuple(prompt.tokens.values)
        case "raw_json":
            try:
                return _RAW_PROMPT.decode(prompt.raw_json)
            except NOT_JSON:
                raise BadField("raw_json", "must be a JSON string or a JSON array of token ids") from None
        case _:
            raise BadField("", "has no form that this gateway knows")


def _encode_response(response: CompletionResponse) -> pb.CompletionResponse:
    wire = pb.CompletionResponse(
        id=response.id,
        created=instant(response.created_at),
        model=response.model,
        usage=None if response.usage is None else encode_usage(response.usage),
        system_fingerprint=response.system_fingerprint,
        extra_json=join(response.extra),
    )
    for choice in response.choices:
        reason, native = encode_finish(choice.finish_reason, None)
        logprobs, extra = _encode_logprobs(choice)
        wire.choices.add(
            index=choice.index,
            text=choice.text,
            finish_reason=reason,
            native_finish_reason=native,
            logprobs=logprobs,
            extra_json=join(extra),
        )
    return wire


def _encode_logprobs(choice: CompletionChoice) -> tuple[pb.CompletionLogprobs | None, Extra]:
    if choice.logprobs is None:
        return None, choice.extra
    logprobs = encode_completion_logprobs(choice.logprobs)
    if logprobs is None:
        return None, (*choice.extra, ("logprobs", choice.logprobs))
    return logprobs, choice.extra


def _logprobs(steps: Any, event: LogprobsDelta) -> None:
    logprobs = encode_completion_logprobs(event.json)
    if logprobs is None:
        add_raw(steps, event.choice, (("logprobs", event.json),))
    else:
        steps.add(logprobs_delta={"choice": event.choice, "logprobs": logprobs})


# A completion has no steps for what follows; what a chat model sends of it stays readable as members of a delta.


def _thinking(steps: Any, event: ThinkingDelta) -> None:
    add_raw(steps, event.choice, (("reasoning_content", quote(event.text)),))


def _signature(steps: Any, event: ThinkingSignature) -> None:
    opaque = (("signature", event.signature), ("redacted_data", event.redacted_data))
    add_raw(steps, event.choice, tuple((name, quote(text)) for name, text in opaque if text is not None))


def _refusal(steps: Any, event: RefusalDelta) -> None:
    add_raw(steps, event.choice, (("refusal", quote(event.text)),))


def _audio(steps: Any, event: AudioDelta) -> None:
    add_raw(steps, event.choice, (("audio", event.json),))


def _call_start(steps: Any, event: ToolCallStart) -> None:
    named = (("name", quote(event.name)),)
    _add_call(steps, event, (("id", quote(event.id)), ("function", JsonText(join(named))), *event.extra))


def _call_delta(steps: Any, event: ToolCallDelta) -> None:
    _add_call(steps, event, (("function", JsonText(join((("arguments", quote(event.arguments)),)))),))


def _add_call(steps: Any, event: ToolCallStart | ToolCallDelta, extra: Extra) -> None:
    call = join((("index", quote(event.index)), *extra))
    add_raw(steps, event.choice, (("tool_calls", JsonText(f"[{call}]")),))


_WRITERS: Writers = {
    **SHARED,
    LogprobsDelta: _logprobs,
    ThinkingDelta: _thinking,
    ThinkingSignature: _signature,
    RefusalDelta: _refusal,
    AudioDelta: _audio,
    ToolCallStart: _call_start,
    ToolCallDelta: _call_delta,
}
