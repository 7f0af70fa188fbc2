"""A chat answer while it is written: the steps that only chat has. It decides no order: that is the events' own."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from isthmus.v1.chat_stream_pb2 import ChatChunk

from isthmusd.core.chat import JsonText
from isthmusd.core.events import (
    AudioDelta,
    LogprobsDelta,
    RawDelta,
    RefusalDelta,
    ThinkingDelta,
    ThinkingSignature,
    ToolCallDelta,
    ToolCallStart,
)
from isthmusd.dialects.isthmus.fields import NOT_JSON, join, take_text
from isthmusd.dialects.isthmus.logprobs import encode_logprobs
from isthmusd.dialects.isthmus.spoken import read_spoken
from isthmusd.dialects.isthmus.steps import SHARED, EventEncoder, Writers, add_raw


def chat_encoder() -> EventEncoder:
    """Give the encoder of one chat stream."""
    return EventEncoder(ChatChunk, _WRITERS)


def _thinking(steps: Any, event: ThinkingDelta) -> None:
    delta = steps.add().thinking_delta
    delta.choice = event.choice
    delta.text = event.text


def _signature(steps: Any, event: ThinkingSignature) -> None:
    if event.signature is not None:
        steps.add(thinking_delta={"choice": event.choice, "signature": event.signature.encode()})
    if event.redacted_data is not None:
        steps.add(
            thinking_delta={
                "choice": event.choice,
                "signature": event.redacted_data.encode(),
                "redacted": True,
            }
        )


def _refusal(steps: Any, event: RefusalDelta) -> None:
    delta = steps.add().refusal_delta
    delta.choice = event.choice
    delta.text = event.text


def _audio(steps: Any, event: AudioDelta) -> None:
    spoken = read_spoken(event.json)
    if spoken is None:
        add_raw(steps, event.choice, (("audio", event.json),))
        return
    delta = steps.add().audio_delta
    delta.choice = event.choice
    delta.data = spoken.data
    delta.transcript = spoken.transcript or ""
    if spoken.id is not None:
        delta.id = spoken.id
    if spoken.expire_time is not None:
        delta.expire_time.CopyFrom(spoken.expire_time)
    delta.extra_json = join(spoken.extra)


class _Custom(msgspec.Struct, forbid_unknown_fields=True):
    name: str | None = None
    input: str | None = None


class _CustomCall(msgspec.Struct, forbid_unknown_fields=True):
    """A piece of a call with free text in place of arguments."""

    index: int
    custom: _Custom
    id: str | None = None
    type: Literal["custom"] | None = None


_CUSTOM_CALLS = msgspec.json.Decoder(list[_CustomCall])


def _raw(steps: Any, event: RawDelta) -> None:
    rest: list[tuple[str, JsonText]] = []
    for name, text in event.extra:
        if event.choice is None or name != "tool_calls" or not _custom_calls(steps, event.choice, text):
            rest.append((name, text))
    if rest:
        add_raw(steps, event.choice, tuple(rest))


def _custom_calls(steps: Any, choice: int, text: JsonText) -> bool:
    """Append the steps of custom calls; False, and none of them, if there is something else among them."""
    try:
        calls = _CUSTOM_CALLS.decode(text)
    except NOT_JSON:
        return False
    for call in calls:
        if call.id is not None or call.custom.name is not None:
            start = {"choice": choice, "index": call.index, "id": call.id, "name": call.custom.name, "type": "custom"}
            steps.add(tool_call_start=start)
        if call.custom.input:
            steps.add(tool_call_delta={"choice": choice, "index": call.index, "arguments": call.custom.input})
    return True


def _call_start(steps: Any, event: ToolCallStart) -> None:
    start = steps.add().tool_call_start
    start.choice = event.choice
    start.index = event.index
    start.id = event.id
    start.name = event.name
    if event.extra:
        type_, rest = take_text(event.extra, "type")
        start.extra_json = join(rest)
        if type_ is not None:
            start.type = type_


def _call_delta(steps: Any, event: ToolCallDelta) -> None:
    delta = steps.add().tool_call_delta
    delta.choice = event.choice
    delta.index = event.index
    delta.arguments = event.arguments


def _logprobs(steps: Any, event: LogprobsDelta) -> None:
    logprobs = encode_logprobs(event.json)
    if logprobs is None:
        add_raw(steps, event.choice, (("logprobs", event.json),))
    else:
        steps.add(logprobs_delta={"choice": event.choice, "logprobs": logprobs})


_WRITERS: Writers = {
    **SHARED,
    RawDelta: _raw,
    ThinkingDelta: _thinking,
    ThinkingSignature: _signature,
    RefusalDelta: _refusal,
    AudioDelta: _audio,
    ToolCallStart: _call_start,
    ToolCallDelta: _call_delta,
    LogprobsDelta: _logprobs,
}
