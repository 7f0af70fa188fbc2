"""The canonical embedding request and answer."""

from __future__ import annotations

from dataclasses import dataclass

from isthmusd.core.chat import Extra, JsonText
from isthmusd.core.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class RawInput:
    """An input of a kind that the hub does not know (an image of a multimodal embedder), as JSON text."""

    json: JsonText


EmbeddingInput = str | tuple[int, ...] | RawInput


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRequest:
    model: str
    inputs: tuple[EmbeddingInput, ...]
    """At least one; a single input and a list of one are the same request."""
    dimensions: int | None = None
    encoding_format: str | None = None
    """`float` or `base64`; `None` is the provider's default (float)."""
    user: str | None = None
    extra: Extra = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """One vector: little-endian float32 as base64 in `base64`, or numbers in `values`; exactly one is set."""

    index: int
    values: tuple[float, ...] | None = None
    base64: str | None = None
    extra: Extra = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingResponse:
    model: str
    embeddings: tuple[Embedding, ...]
    usage: Usage | None = None
    extra: Extra = ()
