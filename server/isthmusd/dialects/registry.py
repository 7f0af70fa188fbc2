"""Which dialect does what: two tables, one per half. How a format looks is the business of its folder."""

from __future__ import annotations

from isthmusd.core.errors import UnsupportedFeature
from isthmusd.core.request import Operation
from isthmusd.dialects import anthropic, bedrock, cohere, gemini, isthmus, openai
from isthmusd.dialects.base import Called, Identity, Kept, Served

_SERVED: dict[str, dict[Operation, Served]] = {"isthmus": isthmus.SERVED, "openai": openai.SERVED}
_CALLED: dict[str, dict[Operation, Called]] = {
    "anthropic": anthropic.CALLED,
    "bedrock": bedrock.CALLED,
    "cohere": cohere.CALLED,
    "gemini": gemini.CALLED,
    "openai": openai.CALLED,
}
_KEPT: dict[str, dict[Operation, Kept]] = {"isthmus": isthmus.KEPT, "openai": openai.KEPT}
_IDENTITY: dict[str, dict[Operation, Identity]] = {"openai": openai.IDENTITY}

CALLABLE = tuple(_CALLED)
"""Formats that a provider may speak."""


def served(dialect: str, operation: Operation) -> Served:
    """Give the half that callers of an operation speak. Raises UnsupportedFeature."""
    half = _SERVED.get(dialect, {}).get(operation)
    if half is None:
        raise _unsupported(operation)
    return half


def called(dialect: str, operation: Operation) -> Called:
    """Give the half that a provider of an operation understands. Raises UnsupportedFeature."""
    half = _CALLED.get(dialect, {}).get(operation)
    if half is None:
        raise _unsupported(operation)
    return half


def kept(dialect: str, operation: Operation) -> Kept:
    """Give how a served operation is kept. Raises UnsupportedFeature."""
    half = _KEPT.get(dialect, {}).get(operation)
    if half is None:
        raise _unsupported(operation)
    return half


def identity(dialect: str, operation: Operation) -> Identity | None:
    """Give the way of bytes that need no translation; None if the dialect has no such way for the operation."""
    return _IDENTITY.get(dialect, {}).get(operation)


def _unsupported(operation: Operation) -> UnsupportedFeature:
    return UnsupportedFeature(f"The provider of this model offers no {operation.value} call: choose another model.")
