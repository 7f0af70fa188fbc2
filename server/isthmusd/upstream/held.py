"""Keeps what authenticates calls for as long as it is good, and gets the next one in time. How one is got is not its
business.

One value serves all calls of a worker. It is renewed a while before it ends, by one fetch however many wait for it, and
that fetch is nobody's: a caller who gives up does not end it for the others. While the old value is good a failed
renewal hurts nobody; then calls get its error. After a failure the next fetch waits, longer each time, so that a
credential that is refused is not tried once per call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from isthmusd.core.errors import Misconfigured, TimedOut, UpstreamError

EARLY_S = 225.0
"""Before its end a value is renewed. Not earlier: machines' own token servers hand out the old one until then."""
FETCH_S = 30.0
"""A fetch outlives the call that began it, so it has a deadline of its own."""
FIRST_REST_S = 1.0
LONGEST_REST_S = 60.0
REFUSALS_EVERY_S = 60.0
"""At most so often a refused value is given up: a target that refuses everything must not cost a fetch per call."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease(Generic[T]):
    """A value and how long it is good; None: until it is refused."""

    value: T
    good_for_s: float | None = None


class Held(Generic[T]):
    """One value. Belongs to the running loop; `aclose` ends a fetch that runs."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Lease[T]]],
        clock: Callable[[], float] = time.monotonic,
        patience_s: float = FETCH_S,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._patience_s = patience_s
        self._held: _Kept[T] | None = None
        self._fetching: asyncio.Task[_Kept[T] | UpstreamError] | None = None
        self._failure: UpstreamError | None = None
        self._failure_count = 0
        self._retry_at = 0.0
        self._refused_at: float | None = None

    async def get(self) -> T:
        """Give the value, fetching it if need be. Raises UpstreamError."""
        now = self._clock()
        held = self._held
        if held is not None and now < held.renew_at:
            return held.value
        if self._fetching is None and (self._failure is None or now >= self._retry_at):
            self._fetching = asyncio.get_running_loop().create_task(self._renew())
        if held is not None and now < held.ends_at:
            return held.value
        if self._fetching is None:
            raise _again(self._failure or Misconfigured("no credential"), self._retry_at - now)
        outcome = await asyncio.shield(self._fetching)
        if isinstance(outcome, UpstreamError):
            raise _again(outcome, None)
        return outcome.value

    def refuse(self, value: T) -> bool:
        """Give up a value that the target refused; False if it is not the one that is held, or that was just done."""
        now = self._clock()
        recently = self._refused_at is not None and now - self._refused_at < REFUSALS_EVERY_S
        if self._held is None or self._held.value is not value or recently:
            return False
        self._held, self._refused_at = None, now
        return True

    async def aclose(self) -> None:
        """End a fetch that runs."""
        if self._fetching is not None:
            self._fetching.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.shield(self._fetching)

    async def _renew(self) -> _Kept[T] | UpstreamError:
        try:
            async with asyncio.timeout(self._patience_s):
                lease = await self._fetch()
        except TimeoutError:
            return self._failed(TimedOut("the provider's credentials took too long to get; try again"))
        except UpstreamError as error:
            return self._failed(error)
        finally:
            self._fetching = None
        self._held = _Kept.of(lease, self._clock())
        self._failure, self._failure_count = None, 0
        return self._held

    def _failed(self, error: UpstreamError) -> UpstreamError:
        rest_s = min(LONGEST_REST_S, FIRST_REST_S * 2**self._failure_count)
        self._failure, self._failure_count = error, min(self._failure_count + 1, 10)
        self._retry_at = self._clock() + rest_s
        return error


@dataclass(frozen=True, slots=True)
class _Kept(Generic[T]):
    value: T
    renew_at: float
    ends_at: float

    @classmethod
    def of(cls, lease: Lease[T], now: float) -> _Kept[T]:
        left_s = float("inf") if lease.good_for_s is None else lease.good_for_s
        return cls(lease.value, now + left_s - min(EARLY_S, left_s / 2), now + left_s)


def _again(error: UpstreamError, after_s: float | None) -> UpstreamError:
    """Give each waiting call an error of its own: raising one in many places grows its traceback without end."""
    return type(error)(error.message, code=error.code, retry_after_s=after_s, told=error.told)
