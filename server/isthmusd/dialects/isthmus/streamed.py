"""A kept whole answer, taken apart to the stream that amounts to it: one step in each chunk. The way back is
`whole_chat.py`'s and `whole_completion.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from isthmus.v1 import chat_pb2, completion_pb2
from isthmus.v1.chat_stream_pb2 import ChatChunk, ChatEvent
from isthmus.v1.completion_pb2 import CompletionChunk, CompletionEvent
from isthmus.v1.stream_pb2 import ChoiceEnd, RawDelta, StreamStart

from isthmusd.core.chat import Extra, JsonText
from isthmusd.dialects.isthmus.fields import join, present, quote
from isthmusd.dialects.isthmus.whole import unsaid

_ASSISTANT = "assistant"
_CHAT_HEAD = ("created", "system_fingerprint", "service_tier")
_COMPLETION_HEAD = ("created", "system_fingerprint")
_NO_ANSWER = ("name", "tool_call_id")
"""Fields of messages that no answer sets: a stream has no word for them."""


def streamed_chat(whole: chat_pb2.ChatResponse) -> list[ChatChunk]:
    """Give the stream; neighbouring parts of plain text become one. Raises UnsupportedFeature for what no stream can
    say: members of single parts, media, a sender's name, where one unsigned thought ends and the next begins."""
    return [ChatChunk(events=[event]) for event in _chat(whole)]


def _chat(whole: chat_pb2.ChatResponse) -> Iterator[ChatEvent]:
    yield ChatEvent(start=_start(whole, _CHAT_HEAD))
    for choice in whole.choices:
        yield from _message(choice.index, choice.message)
        if choice.HasField("logprobs"):
            yield ChatEvent(logprobs_delta={"choice": choice.index, "logprobs": choice.logprobs})
        yield ChatEvent(choice_end=_end(choice))
    if whole.HasField("usage"):
        yield ChatEvent(usage=whole.usage)


def _start(whole: chat_pb2.ChatResponse | completion_pb2.CompletionResponse, names: tuple[str, ...]) -> StreamStart:
    return StreamStart(
        id=whole.id,
        model=whole.model,
        provider=whole.provider,
        extra_json=whole.extra_json,
        **present(whole, names),
    )


def _end(choice: chat_pb2.ChatChoice | completion_pb2.CompletionChoice) -> ChoiceEnd:
    return ChoiceEnd(
        choice=choice.index,
        finish_reason=choice.finish_reason,
        native_finish_reason=choice.native_finish_reason,
        extra_json=choice.extra_json,
    )


def _message(choice: int, message: chat_pb2.Message) -> Iterator[ChatEvent]:
    if present(message, _NO_ANSWER):
        raise unsaid()
    if message.role != _ASSISTANT:  # the wire takes that for granted
        yield _raw(choice, (("role", quote(message.role)),))
    yield from _parts(choice, message.parts)
    for index, call in enumerate(message.tool_calls):
        yield from _call(choice, index, call)
    if message.extra_json:
        yield ChatEvent(raw_json=RawDelta(choice=choice, json=message.extra_json))


def _parts(choice: int, parts: Iterable[chat_pb2.Part]) -> Iterator[ChatEvent]:
    """Give the parts in their order. What is thought without a signature has no end of its own: more of it would
    become one part with it, and a signature the signature of both."""
    is_open = False
    for part in parts:
        match part.WhichOneof("kind"):
            case "thinking" if is_open:
                raise unsaid()
            case "thinking":
                is_open = not _is_closed(part.thinking)
            case "refusal" | "audio":
                pass  # these come after all others, wherever they are
            case _:
                is_open = False
        yield from _part(choice, part)


def _part(choice: int, part: chat_pb2.Part) -> Iterator[ChatEvent]:
    match part.WhichOneof("kind"):
        case "audio" if part.audio.HasField("id") and not part.audio.format:
            yield _sound(choice, part)
        case _ if part.extra_json:
            raise unsaid()
        case "text":
            yield ChatEvent(text_delta={"choice": choice, "text": part.text})
        case "thinking":
            yield from _thinking(choice, part.thinking)
        case "refusal":
            yield ChatEvent(refusal_delta={"choice": choice, "text": part.refusal})
        case "raw_json":
            yield _raw(choice, (("content", JsonText(f"[{part.raw_json}]")),))
        case _:
            raise unsaid()


def _thinking(choice: int, thinking: chat_pb2.Thinking) -> Iterator[ChatEvent]:
    closed = _is_closed(thinking)
    if thinking.text or not closed:
        yield ChatEvent(thinking_delta={"choice": choice, "text": thinking.text})
    if closed:
        opaque = {"choice": choice, "signature": thinking.signature, "redacted": thinking.redacted}
        yield ChatEvent(thinking_delta=opaque)


def _is_closed(thinking: chat_pb2.Thinking) -> bool:
    return bool(thinking.signature) or thinking.redacted


def _sound(choice: int, part: chat_pb2.Part) -> ChatEvent:
    audio = part.audio
    event = ChatEvent(
        audio_delta={
            "choice": choice,
            "id": audio.id,
            "data": audio.data,
            "transcript": audio.transcript,
            "extra_json": part.extra_json,
        }
    )
    if audio.HasField("expire_time"):
        event.audio_delta.expire_time.CopyFrom(audio.expire_time)
    return event


def _call(choice: int, index: int, call: chat_pb2.ToolCall) -> Iterator[ChatEvent]:
    start = {"choice": choice, "index": index, "id": call.id, "name": call.name, "extra_json": call.extra_json}
    yield ChatEvent(tool_call_start={**start, **present(call, ("type",))})
    if call.arguments:
        yield ChatEvent(tool_call_delta={"choice": choice, "index": index, "arguments": call.arguments})


def _raw(choice: int, extra: Extra) -> ChatEvent:
    return ChatEvent(raw_json=RawDelta(choice=choice, json=join(extra)))


def streamed_completion(whole: completion_pb2.CompletionResponse) -> list[CompletionChunk]:
    """Give the stream."""
    return [CompletionChunk(events=[event]) for event in _completion(whole)]


def _completion(whole: completion_pb2.CompletionResponse) -> Iterator[CompletionEvent]:
    yield CompletionEvent(start=_start(whole, _COMPLETION_HEAD))
    for choice in whole.choices:
        yield CompletionEvent(text_delta={"choice": choice.index, "text": choice.text})
        if choice.HasField("logprobs"):
            yield CompletionEvent(logprobs_delta={"choice": choice.index, "logprobs": choice.logprobs})
        yield CompletionEvent(choice_end=_end(choice))
    if whole.HasField("usage"):
        yield CompletionEvent(usage=whole.usage)
