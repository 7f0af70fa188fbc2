"""Embeddings for targets that take few inputs at a time."""

from __future__ import annotations

import pytest
from isthmusd.core.embedding import Embedding, EmbeddingRequest, EmbeddingResponse
from isthmusd.core.errors import Garbled
from isthmusd.core.fan_out import join, split
from isthmusd.core.usage import Usage

REQUEST = EmbeddingRequest(model="m", inputs=("a", "b", "c", "d", "e"), dimensions=3)


def answer(*indexes: int, tokens: int | None = 2) -> EmbeddingResponse:
    vectors = tuple(Embedding(index=index, values=(float(index),)) for index in indexes)
    usage = None if tokens is None else Usage(prompt_tokens=tokens, total_tokens=tokens)
    return EmbeddingResponse(model="m", embeddings=vectors, usage=usage)


@pytest.mark.parametrize(("limit", "sizes"), [(None, [5]), (5, [5]), (9, [5]), (2, [2, 2, 1]), (1, [1, 1, 1, 1, 1])])
def test_a_request_becomes_as_many_as_its_target_needs(limit: int | None, sizes: list[int]) -> None:
    parts = split(REQUEST, limit)

    assert [len(part.inputs) for part in parts] == sizes
    assert sum((part.inputs for part in parts), ()) == REQUEST.inputs
    assert {part.dimensions for part in parts} == {3}


def test_vectors_count_through_and_usage_is_summed() -> None:
    joined = join(split(REQUEST, 2), [answer(0, 1), answer(1, 0), answer(0, tokens=5)])

    assert [vector.index for vector in joined.embeddings] == [0, 1, 3, 2, 4]
    assert joined.usage == Usage(prompt_tokens=9, total_tokens=9)


def test_usage_that_one_answer_does_not_tell_is_unknown() -> None:
    assert join(split(REQUEST, 3), [answer(0, 1, 2), answer(0, 1, tokens=None)]).usage is None


@pytest.mark.parametrize("second", [answer(0), answer(0, 0), answer(0, 1, 2), answer(1, 2)])
def test_a_missing_vector_is_no_answer(second: EmbeddingResponse) -> None:
    with pytest.raises(Garbled):
        join(split(REQUEST, 3), [answer(0, 1, 2), second])


def test_a_single_answer_stays_as_it_is() -> None:
    whole = answer(0)

    assert join(split(REQUEST, None), [whole]) is whole
