"""One worker runs a bounded number of calls at once: of all callers, and of each tenant."""

from __future__ import annotations

import pytest
from isthmusd.core.errors import LimitExceeded, Unavailable
from isthmusd.core.tenants import Tenant
from isthmusd.pipeline.admission import Admission

from tests.unit.pipeline.world import ShownCalls


def test_the_call_above_the_limit_is_refused_and_may_come_again() -> None:
    shown = ShownCalls()
    admission = Admission(2, shown)

    with admission.admitted(), admission.admitted():
        with pytest.raises(Unavailable) as refused, admission.admitted():
            pytest.fail("the third call ran")
        assert shown.now == 2

    assert refused.value.http_status == 503
    assert refused.value.retryable
    assert refused.value.retry_after_s == 1
    with admission.admitted():
        assert shown.now == 1


def test_a_failed_call_is_counted_out() -> None:
    shown = ShownCalls()
    admission = Admission(1, shown)

    for _ in range(3):
        with pytest.raises(ValueError, match="boom"), admission.admitted():
            raise ValueError("boom")

    assert (shown.now, shown.most) == (0, 1)


def test_a_tenants_call_above_its_limit_is_refused_and_others_are_not() -> None:
    admission, busy = Admission(10, ShownCalls()), Tenant(id="busy", calls=1)

    with admission.admitted() as first, admission.admitted() as second, admission.admitted() as third:
        first.belong(busy)
        with pytest.raises(LimitExceeded) as refused:
            second.belong(busy)
        third.belong(Tenant(id="other", calls=1))

    assert (refused.value.http_status, refused.value.code) == (429, "rate_limit_exceeded")
    assert refused.value.retry_after_s == 1
    with admission.admitted() as again:
        again.belong(busy)


def test_a_tenants_limit_holds_for_calls_that_began_under_another() -> None:
    admission = Admission(10, ShownCalls())

    with admission.admitted() as first, admission.admitted() as second:
        first.belong(Tenant(id="t"))
        with pytest.raises(LimitExceeded):
            second.belong(Tenant(id="t", calls=1))


def test_each_call_that_ends_makes_room_for_one() -> None:
    admission, owner = Admission(10, ShownCalls()), Tenant(id="t", calls=2)

    with admission.admitted() as first:
        first.belong(owner)
        for _ in range(3):
            with admission.admitted() as second:
                second.belong(owner)
                with pytest.raises(LimitExceeded), admission.admitted() as third:
                    third.belong(owner)


def test_a_refused_call_is_counted_out_of_nothing() -> None:
    shown = ShownCalls()
    admission, owner = Admission(10, shown), Tenant(id="t", calls=0)

    for _ in range(3):
        with pytest.raises(LimitExceeded), admission.admitted() as place:
            place.belong(owner)
        with admission.admitted() as place:
            place.belong(None)

    assert shown.now == 0
