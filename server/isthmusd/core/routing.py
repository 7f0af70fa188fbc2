"""Where a call may go: `Target` and `Plan`. Which one a model name means is `pipeline/resolve.py`."""

from __future__ import annotations

from dataclasses import dataclass, field

from isthmusd.core.profile import Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One provider, the model's name there, and the secret to use."""

    provider: Provider
    model: str
    secret: str | None = field(default=None, repr=False)
    callers_own_key: bool = False
    """The secret came with the call: a rejection is the caller's business."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    targets: tuple[Target, ...]
    """In order of preference; at least one."""
