"""Vectors in the form that was asked for, whichever form the provider gave: numbers, or little-endian float32 as base64
(what OpenAI's own SDK asks for by default).
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Callable
from dataclasses import replace

from isthmusd.core.embedding import Embedding, EmbeddingResponse
from isthmusd.core.errors import Garbled

FLOAT_BYTES = 4


def as_asked(response: EmbeddingResponse, encoding_format: str | None) -> EmbeddingResponse:
    """Give the answer with its vectors in the form asked for; `None` asks for numbers, unknown forms for nothing.

    Raises Garbled if a vector cannot be read.
    """
    convert = _FORMS.get(encoding_format or "float")
    if convert is None:
        return response
    return replace(response, embeddings=tuple(convert(vector) for vector in response.embeddings))


def _as_base64(vector: Embedding) -> Embedding:
    if vector.values is None:
        return vector
    try:
        packed = struct.pack(f"<{len(vector.values)}f", *vector.values)
    except (struct.error, OverflowError) as error:
        raise Garbled("The provider's answer broke its format: a number of a vector is out of range.") from error
    return replace(vector, values=None, base64=binascii.b2a_base64(packed, newline=False).decode())


def _as_numbers(vector: Embedding) -> Embedding:
    if vector.base64 is None:
        return vector
    try:
        packed = binascii.a2b_base64(vector.base64, strict_mode=True)
        values = struct.unpack(f"<{len(packed) // FLOAT_BYTES}f", packed)
    except (binascii.Error, struct.error, ValueError) as error:
        raise Garbled("The provider's answer broke its format: a vector is no base64 of float32.") from error
    return replace(vector, base64=None, values=values)


_FORMS: dict[str, Callable[[Embedding], Embedding]] = {"base64": _as_base64, "float": _as_numbers}
