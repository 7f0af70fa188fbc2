"""Completions on models that chat, and chats on models that complete."""

from __future__ import annotations

import pytest
from isthmusd.core.bridge import (
    MAX_PROMPTS,
    ChatOfCompletion,
    CompletionOfChats,
    blamed_on_prompt,
    chat_of_completion,
    chats_of,
    completion_of,
    completion_of_chat,
    losses_of_chat,
    losses_of_completion,
    total,
)
from isthmusd.core.call import Stamp
from isthmusd.core.chat import (
    ChatRequest,
    ChatResponse,
    Choice,
    FunctionTool,
    ImagePart,
    JsonObjectFormat,
    JsonText,
    Message,
    Reasoning,
    Sampling,
    TextFormat,
    TextPart,
    plain_text,
)
from isthmusd.core.completion import CompletionChoice, CompletionRequest, CompletionResponse
from isthmusd.core.errors import UnsupportedFeature
from isthmusd.core.events import (
    ChoiceEnd,
    End,
    Event,
    LogprobsDelta,
    RefusalDelta,
    RoleDelta,
    StreamStart,
    TextDelta,
    ThinkingDelta,
    UsageReport,
)
from isthmusd.core.request import Loss
from isthmusd.core.usage import Usage

STAMP = Stamp(id="abc", created_at=9)
X = (("x", JsonText("1")),)


def test_each_prompt_becomes_one_user_message() -> None:
    request = CompletionRequest(
        model="m", prompts=("a", "b"), sampling=Sampling(temperature=0), user="u", stream=True, extra=X
    )

    chats = chats_of(request)

    assert chats[1] == ChatRequest(
        model="m",
        messages=(Message(role="user", content=plain_text("b")),),
        sampling=Sampling(temperature=0),
        user="u",
        stream=True,
        extra=X,
    )
    assert len(chats) == 2
    assert losses_of_completion(request) == ()


def test_what_chat_cannot_do_is_refused_or_a_loss() -> None:
    for request in (
        CompletionRequest(model="m", prompts=("a",), suffix="z"),
        CompletionRequest(model="m", prompts=("a", (1, 2))),
        CompletionRequest(model="m", prompts=("a",) * (MAX_PROMPTS + 1)),
    ):
        with pytest.raises(UnsupportedFeature):
            chats_of(request)

    lossy = CompletionRequest(model="m", prompts=("a",), echo=True, best_of=2, logprobs=0)
    assert [loss.field for loss in losses_of_completion(lossy)] == ["echo", "best_of"]
    harmless = CompletionRequest(model="m", prompts=("a",), echo=False, best_of=1)
    assert losses_of_completion(harmless) == ()


def answer(*texts: str, usage: Usage | None) -> ChatResponse:
    choices = tuple(
        Choice(index=index, message=Message(role="assistant", content=plain_text(text)), finish_reason="stop")
        for index, text in enumerate(texts)
    )
    return ChatResponse(id="x", model="up", created_at=1, choices=choices[::-1], usage=usage)


def test_losses_of_the_message_are_the_prompt_s() -> None:
    losses = (Loss(field="messages[0].content", reason="r"), Loss(field="n", reason="s"))

    assert blamed_on_prompt(losses) == (Loss(field="prompt", reason="r"), Loss(field="n", reason="s"))


def test_answers_are_joined_in_the_order_of_the_prompts() -> None:
    one, two = Usage(prompt_tokens=1, total_tokens=3), Usage(prompt_tokens=2, cached_tokens=1, estimated=True)
    refused = Message(role="assistant", refusal="no")
    last = ChatResponse(
        id="y", model="up", created_at=1, usage=two, choices=(Choice(index=0, message=refused, finish_reason="stop"),)
    )

    response = completion_of([answer("a", "b", usage=one), last], STAMP)

    assert (response.id, response.created_at, response.model) == ("cmpl-abc", 9, "up")
    assert [(choice.index, choice.text) for choice in response.choices] == [(0, "a"), (1, "b"), (2, "no")]
    assert response.usage == Usage(prompt_tokens=3, total_tokens=3, cached_tokens=1, estimated=True)


def test_a_sum_with_an_unknown_part_is_unknown() -> None:
    assert total([]) is None
    assert total([Usage(prompt_tokens=1), None]) is None


def test_streams_of_several_prompts_become_one() -> None:
    stream = CompletionOfChats(2, 2, STAMP)
    start = StreamStart(id="x", model="up", created_at=1, service_tier="t", extra=X)
    report = UsageReport(usage=Usage(prompt_tokens=1))

    first = stream.feed(
        0,
        [
            start,
            RoleDelta(choice=0, role="assistant"),
            ThinkingDelta(choice=0, text="hm"),
            TextDelta(choice=1, text="a"),
        ],
    )
    mixed = stream.feed(1, [start, RefusalDelta(choice=0, text="no"), ChoiceEnd(choice=0, finish_reason="stop")])
    ends = [stream.feed(1, [report, End()]), stream.feed(0, [report, End()])]

    assert first == [StreamStart(id="cmpl-abc", model="up", created_at=9), TextDelta(choice=1, text="a")]
    assert mixed == [TextDelta(choice=2, text="no"), ChoiceEnd(choice=2, finish_reason="stop")]
    assert ends == [[], [UsageReport(usage=Usage(prompt_tokens=2)), End()]]


def test_a_stream_without_usage_reports_none() -> None:
    assert CompletionOfChats(1, 1, STAMP).feed(0, [End()]) == [End()]


def test_a_chat_becomes_a_prompt() -> None:
    user = Message(role="user", content=plain_text("hi"))
    sampling = Sampling(max_completion_tokens=5, logprobs=True, top_logprobs=2, seed=1)
    request = ChatRequest(model="m", messages=(user,), sampling=sampling, user="u", response_format=TextFormat())

    assert completion_of_chat(request) == CompletionRequest(
        model="m", prompts=("hi",), sampling=Sampling(max_tokens=5, seed=1), user="u"
    )
    talk = ChatRequest(model="m", messages=(Message(role="system", content=plain_text("be")), user))
    assert completion_of_chat(talk).prompts == ("system: be\nuser: hi\nassistant:",)
    assert [loss.field for loss in losses_of_chat(request)] == ["logprobs", "top_logprobs"]
    other = ChatRequest(
        model="m", messages=(user,), reasoning=Reasoning(effort="low"), modalities=("text",), store=False
    )
    assert [loss.field for loss in losses_of_chat(other)] == ["reasoning"]


def test_chats_that_are_more_than_text_are_refused() -> None:
    user = Message(role="user", content=plain_text("hi"))
    image = Message(role="user", content=(TextPart(text="see"), ImagePart(url="u")))

    for request in (
        ChatRequest(model="m", messages=(user,), tools=(FunctionTool(name="f"),)),
        ChatRequest(model="m", messages=(user,), response_format=JsonObjectFormat()),
        ChatRequest(model="m", messages=(user, image)),
    ):
        with pytest.raises(UnsupportedFeature):
            completion_of_chat(request)


def test_a_completion_becomes_an_answer() -> None:
    completion = CompletionResponse(
        id="c", model="up", created_at=7, choices=(CompletionChoice(index=0, text="a", finish_reason="stop"),)
    )

    response = chat_of_completion(completion, STAMP)

    assert (response.id, response.created_at) == ("chatcmpl-abc", 7)
    assert response.choices == (
        Choice(index=0, message=Message(role="assistant", content=plain_text("a")), finish_reason="stop"),
    )


def test_a_streamed_completion_becomes_a_streamed_answer() -> None:
    stream = ChatOfCompletion(STAMP)
    events: list[Event] = [
        StreamStart(id="c", model="up", created_at=7, extra=X),
        TextDelta(choice=0, text="a"),
        LogprobsDelta(choice=0, json=JsonText("{}")),
        TextDelta(choice=0, text="b"),
        ChoiceEnd(choice=1, finish_reason="stop"),
        End(),
    ]

    assert stream.feed(events) == [
        StreamStart(id="chatcmpl-abc", model="up", created_at=7),
        RoleDelta(choice=0, role="assistant"),
        TextDelta(choice=0, text="a"),
        TextDelta(choice=0, text="b"),
        RoleDelta(choice=1, role="assistant"),
        ChoiceEnd(choice=1, finish_reason="stop"),
        End(),
    ]
