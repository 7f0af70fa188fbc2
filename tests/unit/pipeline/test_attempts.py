"""Sending to the targets of a plan: which failures move on to the next one, and what the caller and the record see."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from isthmusd.core.call import AuthMethod, Call, Principal
from isthmusd.core.errors import (
    Exhausted,
    Garbled,
    GatewayError,
    Interrupted,
    KeyRejected,
    Misconfigured,
    Overloaded,
    Rejected,
    Throttled,
    TimedOut,
    Unreachable,
    UnsupportedFeature,
)
from isthmusd.core.profile import AuthScheme, Provider
from isthmusd.core.reply import Stream, Whole
from isthmusd.core.routing import Plan, Target
from isthmusd.pipeline.attempts import HEAVY_BYTES, Attempts
from isthmusd.pipeline.options import PipelineOptions
from isthmusd.pipeline.record import Draft
from isthmusd.pipeline.run import understand

from tests.unit.pipeline.gateway import (
    CLAUDE,
    DONE,
    HELLO,
    NEW,
    OLD,
    OPENAI,
    STOP,
    chat_answer,
    chat_request,
    completion_answer,
    error,
    events,
    whole,
)
from tests.unit.pipeline.targets import NEVER, Answer, ScriptedUpstream
from tests.unit.pipeline.world import START, FakeClock, arrival_of, headers_of, play

FIRST = Target(provider=OPENAI, model="gpt-1", secret="sk-ours")
SECOND = Target(provider=CLAUDE, model="gpt-2", secret="sk-other")
THEIRS = Target(provider=OPENAI, model="gpt-1", secret="sk-theirs", callers_own_key=True)


class Case:
    """One call's attempts, and what was left behind."""

    def __init__(self, *answers: Answer, targets: tuple[Target, ...] = (FIRST, SECOND), **wishes: Any) -> None:
        self.answers = answers
        self.upstream = ScriptedUpstream.saying(*answers)
        self.plan = Plan(targets=targets)
        body = wishes.pop("body", chat_request())
        self.headers = wishes.pop("headers", {})
        facts = wishes.pop("arrival", {})
        self.arrival = arrival_of(self.headers, body=body, **facts)
        self.draft = Draft(self.arrival, FakeClock())
        principal = Principal(tenant="t", key_id="k", method=AuthMethod.ANONYMOUS)
        self.call = Call(
            request_id="r",
            principal=principal,
            started_at=START,
            deadline_at=wishes.pop("deadline_at", None),
            strict=wishes.pop("strict", False),
        )
        self.options = PipelineOptions(**wishes)

    async def scene(self) -> tuple[Whole | Stream, list[Any]]:
        attempts = Attempts(self.upstream, FakeClock(), self.options)
        inbound = understand(self.arrival, 10**6)
        async with attempts.first_success(self.call, inbound, self.plan, self.headers, self.draft) as reply:
            match reply:
                case Whole():
                    return reply, [reply.body]
                case Stream():
                    return reply, [piece async for piece in reply.pieces]

    def reply(self) -> tuple[Whole | Stream, list[Any]]:
        answered = play(self.scene())
        assert all(answer.closed for answer in self.answers if answer not in self.upstream.answers)
        return answered

    def raised(self) -> GatewayError:
        with pytest.raises(GatewayError) as failure:
            self.reply()
        return failure.value

    @property
    def hosts(self) -> list[str]:
        return [sent.url.split("/")[2] for sent in self.upstream.sent]


STREAMED = chat_request(stream=True)


def test_r17_a_large_request_is_translated_beside_the_loop_and_says_the_same() -> None:
    turns = [{"role": "user", "content": "x" * 10}] * 5000
    small, large = (Case(whole(chat_answer()), body=chat_request(messages=some)) for some in (turns[:1], turns))

    small.reply(), large.reply()

    assert len(large.upstream.sent[0].body) > HEAVY_BYTES > len(small.upstream.sent[0].body)
    assert msgspec.json.decode(large.upstream.sent[0].body)["messages"] == turns


def test_r17_what_is_wrong_with_a_large_request_is_told_as_of_a_small_one() -> None:
    body = chat_request(messages=[{"role": "user", "content": [{"type": "text", "text": "x" * HEAVY_BYTES}, 1]}])
    bedrock = Provider(name="b", base_url="http://b", dialect="bedrock", api_key="k")
    case = Case(body=body, targets=(Target(provider=bedrock, model="m", secret="k"),))

    assert (case.raised().http_status, case.upstream.sent) == (400, [])


def test_the_first_answer_is_the_answer() -> None:
    case = Case(whole(chat_answer(), x_request_id="req_1", retry_after="3", set_cookie="c"))

    reply, bodies = case.reply()

    assert bodies == [chat_answer()]
    assert reply.headers == (
        ("retry-after", "3"),
        ("x-isthmus-upstream-request-id", "req_1"),
        ("x-isthmus-endpoint", "main"),
        ("x-bt-used-endpoint", "main"),
    )
    assert (reply.provenance.provider, reply.provenance.model, reply.provenance.attempts) == ("openai", "gpt-1", 1)
    assert case.draft.attempts[0].upstream_request_id == "req_1"
    assert case.draft.usage is not None
    assert case.draft.usage.total_tokens == 8


def test_what_is_sent_has_the_targets_address_model_and_secret_and_little_of_the_caller() -> None:
    headers = headers_of(authorization="Bearer sk-caller", openai_beta="b=1", user_agent="x", accept_encoding="gzip")
    case = Case(whole(chat_answer()), headers=headers)

    case.reply()

    sent = case.upstream.sent[0]
    assert (sent.method, sent.url) == ("POST", "http://o/v1/chat/completions")
    assert dict(sent.headers) == {
        "content-type": "application/json",
        "accept-encoding": "identity",
        "user-agent": "isthmus/0.1",
        "openai-beta": "b=1",
        "authorization": "Bearer sk-ours",
    }
    assert msgspec.json.decode(sent.body or b"")["model"] == "gpt-1"


def test_the_secret_goes_where_the_provider_wants_it() -> None:
    azure = Provider(name="a", base_url="http://a/v1", auth=AuthScheme.API_KEY, api_key="k")
    case = Case(whole(chat_answer()), targets=(Target(provider=azure, model="m", secret="k"),))

    case.reply()

    assert ("api-key", "k") in case.upstream.sent[0].headers


@pytest.mark.parametrize("body", [chat_request(), STREAMED])
@pytest.mark.parametrize(
    "failed",
    [
        error(500),
        error(503),
        error(429, retry_after="7"),
        error(408),
        error(409),
        error(401),
        error(403),
        Answer(opening=(Unreachable("refused"),)),
        Answer(status=302),
        events(Interrupted("cut")),
        events(b'data: {"error": {"message": "engine", "type": "server_error"}}\n\n'),
    ],
    ids=lambda answer: str(answer.status),
)
def test_a_target_that_fails_before_its_first_event_makes_room_for_the_next(body: bytes, failed: Answer) -> None:
    failed = replace(failed)  # the same for both bodies
    second = events(HELLO, STOP, DONE) if body == STREAMED else whole(chat_answer())
    if failed.headers.get("content-type") == ["text/event-stream"] and body != STREAMED:
        failed = whole(b"<html>")
    case = Case(failed, second, body=body)

    reply, _ = case.reply()

    assert case.hosts == ["o", "c"]
    assert failed.closed
    assert (reply.provenance.provider, reply.provenance.attempts) == ("claude", 2)
    assert [attempt.provider for attempt in case.draft.attempts] == ["openai", "claude"]
    assert case.draft.attempts[0].error is not None
    assert (case.draft.attempts[1].status, case.draft.attempts[1].error) == (200, None)


@pytest.mark.parametrize(
    ("failed", "kind"),
    [(error(400), Rejected), (error(404), Rejected), (error(422), Rejected)],
)
def test_what_every_target_would_refuse_is_asked_once(failed: Answer, kind: type[GatewayError]) -> None:
    case = Case(failed, whole(chat_answer()))

    refusal = case.raised()

    assert type(refusal) is kind
    assert refusal.http_status == failed.status
    assert refusal.message == "said no"
    assert case.hosts == ["o"]


def test_our_key_refused_is_the_operators_business() -> None:
    case = Case(error(401, "bad key sk-ours"), targets=(FIRST,))

    refusal = case.raised()

    assert isinstance(refusal, Misconfigured)
    assert (refusal.http_status, refusal.type) == (502, "upstream_error")
    assert "sk-ours" not in refusal.message
    assert "bad key" not in refusal.message
    assert "bad key" in (refusal.told.detail or "")


def test_the_callers_key_refused_is_the_callers_business() -> None:
    refusal = Case(error(401), targets=(THEIRS,)).raised()

    assert isinstance(refusal, KeyRejected)
    assert refusal.http_status == 401


def test_when_all_fail_the_last_one_speaks() -> None:
    case = Case(error(500), error(429, retry_after="7"))

    refusal = case.raised()

    assert isinstance(refusal, Exhausted)
    assert [type(failure) for failure in refusal.attempts] == [Overloaded, Throttled]
    assert (refusal.http_status, refusal.retry_after_s, refusal.retryable) == (429, 7, True)
    assert [attempt.status for attempt in case.draft.attempts] == [500, 429]


def test_a_single_target_speaks_for_itself() -> None:
    assert isinstance(Case(error(500), targets=(FIRST,)).raised(), Overloaded)


def test_a_whole_answer_is_waited_for_until_the_default_deadline() -> None:
    slow = Answer(steps=(601.0, chat_answer()))

    refusal = Case(slow, targets=(FIRST,)).raised()

    assert isinstance(refusal, TimedOut)
    assert slow.closed


def test_the_callers_deadline_bounds_all_attempts_together() -> None:
    case = Case(Answer(opening=(20.0, Unreachable("x"))), Answer(opening=(NEVER,)), deadline_at=30.0)

    refusal = case.raised()

    assert refusal.http_status == 504
    assert [attempt.duration_s for attempt in case.draft.attempts] == [20.0, 10.0]


@pytest.mark.parametrize("answer", [events(opening=(NEVER,)), Answer(status=500, steps=(NEVER,))])
def test_a_stream_that_does_not_begin_is_given_up_at_the_first_event_limit(answer: Answer) -> None:
    case = Case(answer, events(HELLO, STOP, DONE), body=STREAMED, first_event_s=60.0)

    case.reply()

    assert [round(attempt.duration_s) for attempt in case.draft.attempts] == [60, 0]
    assert case.draft.attempts[0].error == "timeout"


def test_the_callers_deadline_bounds_the_beginning_of_a_stream() -> None:
    case = Case(events(opening=(NEVER,)), body=STREAMED, deadline_at=5.0, targets=(FIRST,))

    assert isinstance(case.raised(), TimedOut)
    assert case.draft.attempts[0].duration_s == 5.0


def test_after_the_first_event_no_other_target_is_asked() -> None:
    case = Case(events(HELLO, Interrupted("cut")), events(HELLO, STOP, DONE), body=STREAMED)

    _, pieces = case.reply()

    assert case.hosts == ["o"]
    assert b"upstream_interrupted" in pieces[-1]
    assert b"[DONE]" not in b"".join(pieces)


def test_a_target_that_ignores_stream_is_replayed_as_a_stream() -> None:
    case = Case(whole(chat_answer("all at once")), body=STREAMED, targets=(FIRST,))

    reply, pieces = case.reply()

    assert isinstance(reply, Stream)
    assert b"all at once" in pieces[0]
    assert pieces[0].endswith(DONE)
    assert case.draft.usage is not None


def test_a_redirect_is_not_followed() -> None:
    assert isinstance(Case(Answer(status=307), targets=(FIRST,)).raised(), Garbled)


COMPLETION = {"arrival": {"operation": "completion"}}
PROMPTS = msgspec.json.encode({"model": "m", "prompt": ["a", "b"], "echo": True})


def bridged(*answers: Answer, target: Provider, body: bytes, **how: Any) -> Case:
    return Case(*answers, targets=(Target(provider=target, model="m"),), body=body, **how)


def test_prompts_on_a_model_that_only_chats_are_asked_at_once_and_answered_as_one() -> None:
    slow = (Answer(steps=(5.0, chat_answer("A"))), Answer(steps=(5.0, chat_answer("B"))))
    case = bridged(*slow, target=NEW, body=PROMPTS, **COMPLETION)

    reply, (body,) = case.reply()

    answer = msgspec.json.decode(body)
    assert [choice["text"] for choice in answer["choices"]] == ["A", "B"]
    assert answer["usage"]["total_tokens"] == 16
    assert case.draft.attempts[0].duration_s == 5.0
    assert ("x-isthmus-losses", "echo") in reply.headers
    assert [loss.field for loss in case.draft.losses] == ["echo"]


def test_one_of_several_prompts_refused_refuses_the_call() -> None:
    case = bridged(Answer(steps=(NEVER,)), error(400), target=NEW, body=PROMPTS, **COMPLETION)

    assert isinstance(case.raised(), Rejected)
    assert all(answer.closed for answer in case.answers)


def test_several_prompts_streamed_are_replayed() -> None:
    body = msgspec.json.encode({"model": "m", "prompt": ["a", "b"], "stream": True})
    case = bridged(whole(chat_answer("A")), whole(chat_answer("B")), target=NEW, body=body, **COMPLETION)

    reply, pieces = case.reply()

    assert isinstance(reply, Stream)
    assert len(pieces) == 1
    assert b'"text":"B"' in pieces[0]


def test_one_prompt_streamed_is_streamed() -> None:
    body = msgspec.json.encode({"model": "m", "prompt": "a", "stream": True})
    case = bridged(events(HELLO, STOP, DONE), target=NEW, body=body, **COMPLETION)

    _, pieces = case.reply()

    assert b'"text":"hello"' in b"".join(pieces)
    assert pieces[-1].endswith(DONE)


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_on_a_model_that_only_completes(stream: bool) -> None:
    case = bridged(whole(completion_answer("well")), target=OLD, body=chat_request(stream=stream))

    _, pieces = case.reply()

    assert case.upstream.sent[0].url == "http://old/v1/completions"
    assert b"well" in b"".join(pieces)


def test_a_strict_call_is_refused_rather_than_losing_something() -> None:
    case = bridged(whole(chat_answer()), target=NEW, body=PROMPTS, strict=True, **COMPLETION)

    refusal = case.raised()

    assert isinstance(refusal, UnsupportedFeature)
    assert (refusal.http_status, refusal.param) == (400, "echo")
    assert case.upstream.sent == []
    assert case.draft.attempts == []
