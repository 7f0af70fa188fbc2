"""Answers with vectors as they were asked for, whichever form the provider gave: numbers, or little-endian float32 as
base64 (what OpenAI's own SDK asks for by default); with a usage, which OpenAI's answers always have.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Callable
from dataclasses import replace

from isthmusd.core.embedding import Embedding, EmbeddingInput, EmbeddingRequest, EmbeddingResponse, RawInput
from isthmusd.core.errors import Garbled
from isthmusd.core.usage import Usage, estimate

FLOAT_BYTES = 4


def as_asked(response: EmbeddingResponse, request: EmbeddingRequest) -> EmbeddingResponse:
    """Give the answer with its vectors in the form asked for (no form asks for numbers, unknown ones for nothing), and
    with a guess where the provider counted no tokens. Raises Garbled if a vector cannot be read.
    """
    convert = _FORMS.get(request.encoding_format or "float")
    vectors = response.embeddings if convert is None else tuple(convert(vector) for vector in response.embeddings)
    return replace(response, embeddings=vectors, usage=response.usage or _guess(request))


def _guess(request: EmbeddingRequest) -> Usage:
    """Inputs of token ids are counted, texts are guessed from their size."""
    texts = estimate(sum(_bytes_of(given) for given in request.inputs), 0)
    count = (texts.prompt_tokens or 0) + sum(len(given) for given in request.inputs if isinstance(given, tuple))
    return Usage(prompt_tokens=count, total_tokens=count, estimated=True)


def _bytes_of(given: EmbeddingInput) -> int:
    match given:
        case str():
            return len(given.encode("utf-8", "surrogatepass"))
        case RawInput(json=json):
            return len(json)
        case _:
            return 0


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
