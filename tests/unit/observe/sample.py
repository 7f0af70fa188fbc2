"""A record to vary. It holds no assertions."""

from __future__ import annotations

from isthmusd.core.record import Attempt, EndReason, Record
from isthmusd.core.usage import Usage

ATTEMPT = Attempt(provider="openai", model="gpt-4o-mini", status=200, duration_s=1.1)

RECORD = Record(
    id="0123456789abcdef01234567",
    request_id="req-1",
    surface="openai",
    operation="chat",
    started_at=1_700_000_000.0,
    duration_s=1.25,
    first_event_s=0.2,
    tenant="acme",
    key_id="anonymous",
    auth="anonymous",
    project=None,
    model="fast",
    provider="openai",
    target_model="gpt-4o-mini",
    attempts=(ATTEMPT,),
    cache=None,
    status=200,
    error_code=None,
    end=EndReason.COMPLETE,
    stream=True,
    usage=Usage(prompt_tokens=7, completion_tokens=5, total_tokens=12, cached_tokens=3),
    losses=(),
)
