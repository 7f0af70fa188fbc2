"""Calls that a model does not answer natively: completions on chat-only models, and chats on completion-only ones.

Which model is which is `Provider.flavour_of`; wire formats are not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from isthmusd.core.call import Stamp
from isthmusd.core.chat import (
    ChatRequest,
    ChatResponse,
    Choice,
    Message,
    RefusalPart,
    TextFormat,
    TextPart,
    ThinkingPart,
    plain_text,
    text_of,
)
from isthmusd.core.completion import CompletionChoice, CompletionRequest, CompletionResponse
from isthmusd.core.errors import UnsupportedFeature
from isthmusd.core.events import (
    ChoiceEnd,
    End,
    Event,
    RefusalDelta,
    RoleDelta,
    StreamStart,
    TextDelta,
    UsageReport,
)
from isthmusd.core.request import Loss
from isthmusd.core.usage import Usage

MAX_PROMPTS = 128
"""They are asked at once: without a bound one call would be as many as its body has room for."""


def chats_of(request: CompletionRequest) -> tuple[ChatRequest, ...]:
    """Make one chat per prompt, the prompt its one user message. Raises UnsupportedFeature."""
    if request.suffix:
        raise UnsupportedFeature("This model only chats, so it cannot write up to a 'suffix'.", param="suffix")
    if len(request.prompts) > MAX_PROMPTS:
        raise UnsupportedFeature(
            f"This model only chats, and each prompt is a call of its own: send at most {MAX_PROMPTS} at once.",
            param="prompt",
        )
    return tuple(_chat(request, prompt) for prompt in request.prompts)


def losses_of_completion(request: CompletionRequest) -> tuple[Loss, ...]:
    """Name what `chats_of` leaves out."""
    asked = {
        "echo": request.echo,
        "best_of": request.best_of if (request.best_of or 1) > 1 else None,
        "logprobs": request.logprobs,
    }
    reason = "the model only chats, and chat has no such field"
    return tuple(Loss(field=name, reason=reason) for name, value in asked.items() if value not in (None, False))


def blamed_on_prompt(losses: Iterable[Loss]) -> tuple[Loss, ...]:
    """Name losses of the chats that were made by the field that the caller wrote."""
    return tuple(replace(loss, field="prompt") if loss.field.startswith("messages") else loss for loss in losses)


def completion_of(responses: Sequence[ChatResponse], stamp: Stamp) -> CompletionResponse:
    """Join the answers of `chats_of`, in the order of the prompts."""
    choices: list[CompletionChoice] = []
    for response in responses:
        for choice in sorted(response.choices, key=lambda choice: choice.index):
            # Refused or not, the caller of a completion reads one text.
            text = text_of(choice.message) + (choice.message.refusal or "")
            choices.append(CompletionChoice(index=len(choices), text=text, finish_reason=choice.finish_reason))
    first = responses[0]
    return CompletionResponse(
        id=f"cmpl-{stamp.id}",
        model=first.model,
        created_at=stamp.created_at,
        choices=tuple(choices),
        usage=total([response.usage for response in responses]),
        system_fingerprint=first.system_fingerprint,
    )


class CompletionOfChats:
    """Events of the streams of `chats_of` to events of one completion stream. Fed by one task.

    The streams may run one after another or mixed; each has its own place, and its choices follow those of the
    prompts before it.
    """

    def __init__(self, prompt_count: int, choices_per_prompt: int, stamp: Stamp) -> None:
        self._open = set(range(prompt_count))
        self._choices_per_prompt = choices_per_prompt
        self._stamp = stamp
        self._started = False
        self._usages: dict[int, Usage] = {}
        self._prompt_count = prompt_count

    def feed(self, prompt: int, events: Sequence[Event]) -> list[Event]:
        """Take events of the stream of one prompt."""
        offset = prompt * self._choices_per_prompt
        given: list[Event] = []
        for event in events:
            match event:
                case StreamStart():
                    given += self._start(event)
                case TextDelta(choice=choice, text=text) | RefusalDelta(choice=choice, text=text):
                    given.append(TextDelta(choice=choice + offset, text=text))
                case ChoiceEnd(choice=choice, finish_reason=reason):
                    given.append(ChoiceEnd(choice=choice + offset, finish_reason=reason))
                case UsageReport(usage=usage):
                    self._usages[prompt] = usage
                case End():
                    given += self._end(prompt)
                case _:
                    # Roles, thinking and tools have no place in a completion.
                    pass
        return given

    def _start(self, event: StreamStart) -> list[Event]:
        if self._started:
            return []
        self._started = True
        named = replace(
            event, id=f"cmpl-{self._stamp.id}", created_at=self._stamp.created_at, service_tier=None, extra=()
        )
        return [named]

    def _end(self, prompt: int) -> list[Event]:
        self._open.discard(prompt)
        if self._open:
            return []
        usage = total([self._usages.get(place) for place in range(self._prompt_count)])
        return [End()] if usage is None else [UsageReport(usage=usage), End()]


def completion_of_chat(request: ChatRequest) -> CompletionRequest:
    """Make a prompt of a chat, for a model that only completes. Raises UnsupportedFeature."""
    for name, asked in (
        ("tools", request.tools),
        ("response_format", request.response_format),
        ("audio", request.audio),
    ):
        if asked and asked != TextFormat():
            raise UnsupportedFeature(f"This model only completes text, so it cannot take {name!r}.", param=name)
    sampling = request.sampling
    return CompletionRequest(
        model=request.model,
        prompts=(_prompt(request.messages),),
        sampling=replace(
            sampling,
            logprobs=None,
            top_logprobs=None,
            max_tokens=sampling.max_tokens if sampling.max_tokens is not None else sampling.max_completion_tokens,
            max_completion_tokens=None,
        ),
        user=request.user,
        stream=request.stream,
        include_usage=request.include_usage,
        extra=request.extra,
    )


def losses_of_chat(request: ChatRequest) -> tuple[Loss, ...]:
    """Name what `completion_of_chat` leaves out."""
    asked = {
        "logprobs": request.sampling.logprobs,
        "top_logprobs": request.sampling.top_logprobs,
        "reasoning": request.reasoning,
        "verbosity": request.verbosity,
        "metadata": request.metadata,
        "store": request.store,
        "service_tier": request.service_tier,
        "modalities": request.modalities if request.modalities != ("text",) else None,
        "prediction": request.prediction,
    }
    reason = "the model only completes text, and completions have no such field"
    return tuple(Loss(field=name, reason=reason) for name, value in asked.items() if value not in (None, False))


def chat_of_completion(response: CompletionResponse, stamp: Stamp) -> ChatResponse:
    """Make a chat answer of a completion: each text an assistant's message."""
    choices = tuple(
        Choice(
            index=choice.index,
            message=Message(role="assistant", content=plain_text(choice.text)),
            finish_reason=choice.finish_reason,
        )
        for choice in response.choices
    )
    return ChatResponse(
        id=f"chatcmpl-{stamp.id}",
        model=response.model,
        created_at=response.created_at,
        choices=choices,
        usage=response.usage,
        system_fingerprint=response.system_fingerprint,
    )


class ChatOfCompletion:
    """Events of a completion stream to events of a chat stream."""

    def __init__(self, stamp: Stamp) -> None:
        self._stamp = stamp
        self._begun: set[int] = set()

    def feed(self, events: Sequence[Event]) -> list[Event]:
        """Take events of the completion."""
        given: list[Event] = []
        for event in events:
            match event:
                case StreamStart():
                    given.append(replace(event, id=f"chatcmpl-{self._stamp.id}", extra=()))
                case TextDelta(choice=choice):
                    given += [*self._begin(choice), event]
                case ChoiceEnd(choice=choice, finish_reason=reason):
                    given += [*self._begin(choice), ChoiceEnd(choice=choice, finish_reason=reason)]
                case UsageReport() | End():
                    given.append(event)
                case _:
                    # Log probabilities of completions have another shape.
                    pass
        return given

    def _begin(self, choice: int) -> list[Event]:
        if choice in self._begun:
            return []
        self._begun.add(choice)
        return [RoleDelta(choice=choice, role="assistant")]


def total(usages: Sequence[Usage | None]) -> Usage | None:
    """Sum usages of several calls; None if one of them is unknown, since a partial sum would look like the whole."""
    known = [usage for usage in usages if usage is not None]
    if not known or len(known) < len(usages):
        return None

    return Usage(
        prompt_tokens=_sum(usage.prompt_tokens for usage in known),
        completion_tokens=_sum(usage.completion_tokens for usage in known),
        total_tokens=_sum(usage.total_tokens for usage in known),
        cached_tokens=_sum(usage.cached_tokens for usage in known),
        cache_write_tokens=_sum(usage.cache_write_tokens for usage in known),
        prompt_audio_tokens=_sum(usage.prompt_audio_tokens for usage in known),
        reasoning_tokens=_sum(usage.reasoning_tokens for usage in known),
        completion_audio_tokens=_sum(usage.completion_audio_tokens for usage in known),
        accepted_prediction_tokens=_sum(usage.accepted_prediction_tokens for usage in known),
        rejected_prediction_tokens=_sum(usage.rejected_prediction_tokens for usage in known),
        estimated=any(usage.estimated for usage in known),
    )


def _sum(counts: Iterable[int | None]) -> int | None:
    given = [count for count in counts if count is not None]
    return sum(given) if given else None


def _chat(request: CompletionRequest, prompt: str | tuple[int, ...]) -> ChatRequest:
    match prompt:
        case str():
            message = Message(role="user", content=plain_text(prompt))
        case tuple():
            raise UnsupportedFeature("This model only chats: send 'prompt' as text, not as token ids.", param="prompt")
    return ChatRequest(
        model=request.model,
        messages=(message,),
        sampling=request.sampling,
        user=request.user,
        stream=request.stream,
        include_usage=request.include_usage,
        extra=request.extra,
    )


def _prompt(messages: tuple[Message, ...]) -> str:
    """One message is the prompt; a longer talk is written down with its roles, and the model goes on as assistant."""
    texts = [_only_text(message, place) for place, message in enumerate(messages)]
    if len(texts) == 1:
        return texts[0]
    lines = [f"{message.role}: {text}" for message, text in zip(messages, texts, strict=True)]
    return "\n".join([*lines, "assistant:"])


def _only_text(message: Message, place: int) -> str:
    for part in message.content or ():
        match part:
            case TextPart() | ThinkingPart() | RefusalPart():
                pass
            case _:
                path = f"messages[{place}].content"
                raise UnsupportedFeature("This model only completes text: send text parts only.", param=path)
    return text_of(message)
