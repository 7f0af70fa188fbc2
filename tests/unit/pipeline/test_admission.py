"""One worker runs a bounded number of calls at once."""

from __future__ import annotations

import pytest
from isthmusd.core.errors import Unavailable
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
