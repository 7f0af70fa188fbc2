"""The seam between a call and the upstream answer that serves it. A call that may not be cached flies alone: its
attempts run in its own task. Looking answers up and sharing them belongs behind `join`."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from isthmusd.core.call import Call
from isthmusd.core.headers import Headers
from isthmusd.core.reply import Reply
from isthmusd.core.request import Inbound
from isthmusd.core.routing import Plan
from isthmusd.pipeline.attempts import Attempts
from isthmusd.pipeline.record import Draft


@dataclass(frozen=True, slots=True)
class Flights:
    """Produces upstream answers for calls."""

    attempts: Attempts

    def join(
        self, call: Call, inbound: Inbound, plan: Plan, caller_headers: Headers, draft: Draft
    ) -> AbstractAsyncContextManager[Reply]:
        """Give the answer to a call; leaving the context lets go of it."""
        return self.attempts.first_success(call, inbound, plan, caller_headers, draft)
