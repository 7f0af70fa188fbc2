"""Targets that are better asked last, and for how long."""

from __future__ import annotations

import pytest
from isthmusd.core.errors import GatewayError, KeyRejected, Misconfigured, Overloaded, Rejected, Throttled
from isthmusd.core.profile import Provider
from isthmusd.core.resting import LONGEST_REST_S, REFUSED_REST_S, Resting
from isthmusd.core.routing import Plan, Target

HOST = Provider(name="x", base_url="http://x/v1", api_key="k", endpoint="blue")
A, B, C = (Target(provider=HOST, model=name) for name in "abc")
PLAN = Plan(targets=(A, B, C))


def order(resting: Resting, now: float, plan: Plan = PLAN) -> str:
    return "".join(target.model for target in resting.order(plan, now).targets)


@pytest.mark.parametrize(
    ("failure", "rest_s"),
    [
        (Misconfigured("refused"), REFUSED_REST_S),
        (Throttled("busy", retry_after_s=7), 7.0),
        (Throttled("busy", retry_after_s=1e6), LONGEST_REST_S),
    ],
)
def test_a_target_rests_behind_the_others_and_comes_back(failure: GatewayError, rest_s: float) -> None:
    resting = Resting()

    resting.note(A, failure, now=100.0)

    assert order(resting, 100.0) == order(resting, 99.9 + rest_s) == "bca"
    assert order(resting, 100.0 + rest_s) == "abc"


@pytest.mark.parametrize(
    "failure", [Throttled("busy"), Throttled("busy", retry_after_s=0), Overloaded("x"), Rejected("x"), KeyRejected("x")]
)
def test_other_failures_are_no_reason_to_rest(failure: GatewayError) -> None:
    resting = Resting()

    resting.note(A, failure, now=0.0)

    assert order(resting, 0.0) == "abc"


def test_those_that_rest_keep_their_order_and_are_still_asked() -> None:
    resting = Resting()

    for target in (B, A, C):
        resting.note(target, Misconfigured("x"), now=0.0)

    assert order(resting, 1.0) == "abc"
    assert order(resting, 1.0, Plan(targets=(A,))) == "a"


def test_a_callers_own_key_neither_rests_nor_makes_ours_rest() -> None:
    resting, theirs = Resting(), Target(provider=HOST, model="a", secret="t", callers_own_key=True)

    resting.note(theirs, Throttled("busy", retry_after_s=9), now=0.0)
    assert order(resting, 1.0) == "abc"

    resting.note(A, Misconfigured("x"), now=0.0)
    assert resting.order(Plan(targets=(theirs, B)), 1.0).targets == (theirs, B)


def test_the_oldest_note_is_forgotten_first() -> None:
    resting = Resting(max_count=2)

    resting.note(A, Misconfigured("x"), now=0.0)
    resting.note(B, Misconfigured("x"), now=1.0)
    resting.note(A, Misconfigured("x"), now=2.0)
    resting.note(C, Misconfigured("x"), now=3.0)

    assert order(resting, 4.0) == "bac"
