"""Where a call may go, and where it goes next: `Target`, `Plan` and the policy between attempts. Which targets the name
of a model means is `pipeline/resolve.py`; sending is `pipeline/attempts.py`.

Nothing here waits. A target that says when it will be free again (`retry-after`) tells that to the caller, whose client
can wait better than a gateway that holds his connection meanwhile; only moving on to another target is done here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from isthmusd.core.errors import Exhausted, GatewayError, TimedOut, UpstreamError
from isthmusd.core.profile import Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One provider, the model's name there, and the secret to use."""

    provider: Provider
    model: str
    secret: str | None = field(default=None, repr=False)
    callers_own_key: bool = False
    """The secret came with the call: a rejection is the caller's business."""
    owner: str | None = None
    """The tenant whose own credential pays; None: the gateway's does, or the caller's."""

    @property
    def private(self) -> bool:
        """Whether nobody but the caller's side has the account that pays."""
        return self.callers_own_key or self.owner is not None

    @property
    def endpoint(self) -> str | None:
        """Name of the stored credential that pays; None: it has no name, or the caller pays."""
        return None if self.callers_own_key else self.provider.endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    targets: tuple[Target, ...]
    """In order of preference; at least one."""


def next_attempt(plan: Plan, failures: Sequence[GatewayError], left_s: float) -> Target | None:
    """Choose the target to ask after those that failed, in their order; None: the call has failed."""
    if not failures:
        return plan.targets[0]
    over = not failures[-1].fall_back or left_s <= 0 or len(failures) == len(plan.targets)
    return None if over else plan.targets[len(failures)]


def verdict(failures: Sequence[GatewayError], left_s: float) -> GatewayError:
    """Give what the caller is told when no attempt is left."""
    last = failures[-1]
    told_by_targets = tuple(failure for failure in failures if isinstance(failure, UpstreamError))
    match last:
        case _ if not last.fall_back:
            return last
        case TimedOut() if left_s <= 0:
            # The call's own deadline: that an earlier target was busy is no longer what matters.
            return last
        case _ if not told_by_targets:
            # None could do what was asked for; the preferred one's reason is the one to show.
            return failures[0]
        case _:
            return told_by_targets[0] if len(told_by_targets) == 1 else Exhausted(told_by_targets)
