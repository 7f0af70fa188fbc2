"""One embedding request as several, for targets that take few inputs at a time, and their answers as one. How many a
target takes is its profile's `embeddings_per_request`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from isthmusd.core.bridge import total
from isthmusd.core.embedding import Embedding, EmbeddingRequest, EmbeddingResponse
from isthmusd.core.errors import Garbled


def split(request: EmbeddingRequest, limit: int | None) -> tuple[EmbeddingRequest, ...]:
    """Give requests of at most `limit` inputs each, in order."""
    inputs = request.inputs
    if limit is None or len(inputs) <= limit:
        return (request,)
    return tuple(replace(request, inputs=inputs[start : start + limit]) for start in range(0, len(inputs), limit))


def join(requests: Sequence[EmbeddingRequest], responses: Sequence[EmbeddingResponse]) -> EmbeddingResponse:
    """Give one answer whose vectors count through all inputs. Raises Garbled if a vector is missing."""
    if len(responses) == 1:
        return responses[0]
    vectors: list[Embedding] = []
    for request, response in zip(requests, responses, strict=True):
        expected = len(request.inputs)
        if sorted(vector.index for vector in response.embeddings) != list(range(expected)):
            raise Garbled(f"The provider's answer broke its format: not one vector for each of {expected} inputs.")
        start = len(vectors)
        vectors += (replace(vector, index=start + vector.index) for vector in response.embeddings)
    usage = total([response.usage for response in responses])
    return replace(responses[0], embeddings=tuple(vectors), usage=usage)
