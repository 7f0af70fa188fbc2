"""A whole answer to the canonical stream that gives the same answer. The way back is `core/collect.py`."""

from __future__ import annotations

import msgspec

from isthmusd.core.chat import (
    AudioPart,
    ChatResponse,
    Choice,
    FilePart,
    ImagePart,
    JsonText,
    Message,
    Part,
    RawPart,
    RawToolCall,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCall,
)
from isthmusd.core.completion import CompletionChoice, CompletionResponse
from isthmusd.core.events import (
    AudioDelta,
    ChoiceEnd,
    End,
    Event,
    LogprobsDelta,
    RawDelta,
    RefusalDelta,
    RoleDelta,
    StreamStart,
    TextDelta,
    ThinkingDelta,
    ThinkingSignature,
    ToolCallDelta,
    ToolCallStart,
    UsageReport,
)


def replay(response: ChatResponse | CompletionResponse) -> list[Event]:
    """Give the events of a whole answer. Choices without a finish reason stay open."""
    events: list[Event] = []
    match response:
        case ChatResponse():
            tier = response.service_tier
            for choice in response.choices:
                events += _chat_choice(choice)
        case CompletionResponse():
            tier = None
            for choice in response.choices:
                events += _completion_choice(choice)
    if response.usage is not None:
        events.append(UsageReport(usage=response.usage))
    start = StreamStart(
        id=response.id,
        model=response.model,
        created_at=response.created_at,
        system_fingerprint=response.system_fingerprint,
        service_tier=tier,
        extra=response.extra,
    )
    return [start, *events, End()]


def _chat_choice(choice: Choice) -> list[Event]:
    index, message = choice.index, choice.message
    events: list[Event] = [RoleDelta(choice=index, role=message.role)]
    for part in message.content or ():
        events += _part(index, part)
    if choice.logprobs is not None:
        events.append(LogprobsDelta(choice=index, json=choice.logprobs))
    if message.refusal is not None:
        events.append(RefusalDelta(choice=index, text=message.refusal))
    if message.audio is not None:
        events.append(AudioDelta(choice=index, json=message.audio))
    events += _tool_calls(index, message)
    if message.extra:
        events.append(RawDelta(choice=index, extra=message.extra))
    if choice.finish_reason is not None:
        end = ChoiceEnd(
            choice=index,
            finish_reason=choice.finish_reason,
            native_finish_reason=choice.native_finish_reason,
            extra=choice.extra,
        )
        events.append(end)
    return events


def _part(choice: int, part: Part) -> list[Event]:
    match part:
        case TextPart(text=text):
            return [TextDelta(choice=choice, text=text)]
        case RefusalPart(text=text):
            return [RefusalDelta(choice=choice, text=text)]
        case ThinkingPart(text=text, signature=None, redacted_data=None):
            return [ThinkingDelta(choice=choice, text=text)]
        case ThinkingPart(text=text, signature=signature, redacted_data=redacted):
            closed = ThinkingSignature(choice=choice, signature=signature, redacted_data=redacted)
            return [ThinkingDelta(choice=choice, text=text), closed] if text else [closed]
        case RawPart(json=json):
            return [RawDelta(choice=choice, extra=(("content", JsonText(f"[{json}]")),))]
        case ImagePart() | AudioPart() | FilePart():
            # Parts of questions: no answer has them.
            return []


def _tool_calls(choice: int, message: Message) -> list[Event]:
    events: list[Event] = []
    for index, call in enumerate(message.tool_calls):
        match call:
            case ToolCall():
                start = ToolCallStart(choice=choice, index=index, id=call.id, name=call.name, extra=call.extra)
                events.append(start)
                if call.arguments:
                    events.append(ToolCallDelta(choice=choice, index=index, arguments=call.arguments))
            case RawToolCall(json=json):
                members = {"index": index, **msgspec.json.decode(json, type=dict[str, msgspec.Raw])}
                entry = msgspec.json.encode([members]).decode()
                events.append(RawDelta(choice=choice, extra=(("tool_calls", JsonText(entry)),)))
    return events


def _completion_choice(choice: CompletionChoice) -> list[Event]:
    index = choice.index
    events: list[Event] = [TextDelta(choice=index, text=choice.text)]
    if choice.logprobs is not None:
        events.append(LogprobsDelta(choice=index, json=choice.logprobs))
    if choice.finish_reason is not None:
        events.append(ChoiceEnd(choice=index, finish_reason=choice.finish_reason, extra=choice.extra))
    return events
