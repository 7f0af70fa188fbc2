"""Remembers for a while which targets are better asked last: those that refused our credential, and those that said
when they will take calls again. It is a note, no circuit breaker: a target that rests is still asked when no other is
left.
"""

from __future__ import annotations

from collections.abc import Sequence

from isthmusd.core.errors import GatewayError, Misconfigured, Throttled
from isthmusd.core.routing import Plan, Target

REFUSED_REST_S = 60.0
"""How long a target rests whose host refused our credential: an operator's correction counts within a minute."""
LONGEST_REST_S = 60.0
"""A `retry-after` beyond it counts as this: hosts guess, and other limits may be free sooner."""
MAX_COUNT = 1024

_Key = tuple[str, str, str | None, str | None, str]


class Resting:
    """One per worker, used from its loop; `now` is any clock that only goes forward."""

    def __init__(self, max_count: int = MAX_COUNT) -> None:
        self._until: dict[_Key, float] = {}
        self._max_count = max_count

    def note(self, target: Target, failure: GatewayError, now: float) -> None:
        """Take in how a target failed. A caller's own key says nothing about ours."""
        rest_s = _rest_s(failure)
        if rest_s <= 0 or target.callers_own_key:
            return
        # The newest note is the last in the order of the dict, so the oldest goes first.
        self._until.pop(_key(target), None)
        if len(self._until) >= self._max_count:
            del self._until[next(iter(self._until))]
        self._until[_key(target)] = now + rest_s

    def order(self, plan: Plan, now: float) -> Plan:
        """Put targets that rest behind the others; both keep the plan's order."""
        if not self._until or len(plan.targets) == 1:
            return plan
        resting = [target for target in plan.targets if self._rests(target, now)]
        if not resting:
            return plan
        awake = [target for target in plan.targets if not _among(target, resting)]
        return Plan(targets=(*awake, *resting))

    def _rests(self, target: Target, now: float) -> bool:
        key = _key(target)
        until = self._until.get(key)
        if until is None or target.callers_own_key:
            return False
        if until <= now:
            del self._until[key]
            return False
        return True


def _rest_s(failure: GatewayError) -> float:
    match failure:
        case Misconfigured():
            return REFUSED_REST_S
        case Throttled(retry_after_s=float() | int() as seconds):
            return min(seconds, LONGEST_REST_S)
        case _:
            return 0.0


def _key(target: Target) -> _Key:
    host = target.provider
    # With the model: limits are per model, and a key may be refused for one model only. With the owner: what one
    # tenant's account is told says nothing about another's.
    return host.name, host.base_url, target.owner, host.endpoint, target.model


def _among(target: Target, others: Sequence[Target]) -> bool:
    return any(target is other for other in others)
