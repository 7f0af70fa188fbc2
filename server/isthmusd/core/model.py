"""A model as lists of models show it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One name that a caller may use."""

    id: str
    """As callers write it."""
    provider: str
