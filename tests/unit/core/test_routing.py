"""Where a call goes next, what it is told in the end; and targets never print what they hold in confidence."""

from __future__ import annotations

import pytest
from isthmusd.core.errors import (
    Bug,
    Exhausted,
    Garbled,
    GatewayError,
    Interrupted,
    InvalidRequest,
    KeyRejected,
    Misconfigured,
    Overloaded,
    Rejected,
    Throttled,
    TimedOut,
    Unreachable,
    UnsupportedFeature,
)
from isthmusd.core.profile import Provider
from isthmusd.core.routing import Plan, Target, next_attempt, verdict

HOST = Provider(name="x", base_url="http://x/v1", api_key="sk-ours", endpoint="main")
TARGETS = tuple(Target(provider=HOST, model=name) for name in "abc")
PLAN = Plan(targets=TARGETS)
PLENTY = 10.0


def test_a_plan_does_not_print_secrets() -> None:
    plan = Plan(targets=(Target(provider=HOST, model="m", secret="sk-theirs", callers_own_key=True),))

    assert "sk-" not in repr(plan)
    assert plan.targets[0].secret == "sk-theirs"


def test_a_target_uses_the_gateways_secret_unless_said_otherwise() -> None:
    assert not Target(provider=HOST, model="m", secret=HOST.api_key).callers_own_key


def test_only_credentials_of_the_gateway_have_names() -> None:
    assert Target(provider=HOST, model="m").endpoint == "main"
    assert Target(provider=HOST, model="m", callers_own_key=True).endpoint is None


@pytest.mark.parametrize(
    "failure",
    [Throttled("x"), Overloaded("x"), TimedOut("x"), Unreachable("x"), Garbled("x"), Misconfigured("x")],
    ids=lambda failure: type(failure).__name__,
)
def test_what_another_target_may_answer_moves_a_call_on(failure: GatewayError) -> None:
    assert next_attempt(PLAN, (), PLENTY) is TARGETS[0]
    assert next_attempt(PLAN, (failure,), PLENTY) is TARGETS[1]
    assert next_attempt(PLAN, (failure, UnsupportedFeature("x")), PLENTY) is TARGETS[2]
    assert next_attempt(PLAN, (failure,) * 3, PLENTY) is None


@pytest.mark.parametrize(
    "failure",
    [Rejected("x"), KeyRejected("x"), Interrupted("x"), InvalidRequest("x"), Bug("x")],
    ids=lambda failure: type(failure).__name__,
)
def test_what_every_target_would_say_ends_a_call(failure: GatewayError) -> None:
    busy = Throttled("x")

    assert next_attempt(PLAN, (failure,), PLENTY) is None
    assert verdict((busy, failure), PLENTY) is failure


def test_no_target_is_asked_after_the_deadline() -> None:
    late = TimedOut("late")

    assert next_attempt(PLAN, (late,), 0.0) is None
    assert verdict((Throttled("busy"), late), -1.0) is late
    assert verdict((late,), PLENTY) is late


def test_the_verdict_on_several_is_the_one_that_helps_most() -> None:
    busy, gone, unable = Throttled("busy", retry_after_s=3), Unreachable("gone"), UnsupportedFeature("unable")

    exhausted = verdict((busy, unable, gone), PLENTY)

    assert isinstance(exhausted, Exhausted)
    assert exhausted.attempts == (busy, gone)
    assert (exhausted.http_status, exhausted.retry_after_s) == (429, 3)
    assert verdict((unable, gone), PLENTY) is gone


def test_when_no_target_can_do_it_the_preferred_one_says_why() -> None:
    first, second = UnsupportedFeature("first"), UnsupportedFeature("second")

    assert verdict((first, second), PLENTY) is first
