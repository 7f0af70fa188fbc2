"""Vectors in the form asked for."""

from __future__ import annotations

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from isthmusd.core import vectors
from isthmusd.core.chat import JsonText
from isthmusd.core.embedding import Embedding, EmbeddingRequest, EmbeddingResponse, RawInput
from isthmusd.core.errors import Garbled
from isthmusd.core.usage import Usage

NUMBERS = (0.5, -1.0, 2.0)
PACKED = base64.b64encode(struct.pack("<3f", *NUMBERS)).decode()


def as_asked(answer: EmbeddingResponse, encoding_format: str | None) -> EmbeddingResponse:
    return vectors.as_asked(answer, EmbeddingRequest(model="m", inputs=("a",), encoding_format=encoding_format))


def response(*, values: tuple[float, ...] | None = None, base64: str | None = None) -> EmbeddingResponse:
    return EmbeddingResponse(model="m", embeddings=(Embedding(index=0, values=values, base64=base64),))


@pytest.mark.parametrize("given_", [response(values=NUMBERS), response(base64=PACKED)])
@pytest.mark.parametrize("asked", [None, "float"])
def test_numbers_are_what_is_asked_for_unless_said_otherwise(given_: EmbeddingResponse, asked: str | None) -> None:
    (vector,) = as_asked(given_, asked).embeddings

    assert vector == Embedding(index=0, values=NUMBERS)


@pytest.mark.parametrize("given_", [response(values=NUMBERS), response(base64=PACKED)])
def test_base64_is_given_to_who_asks(given_: EmbeddingResponse) -> None:
    (vector,) = as_asked(given_, "base64").embeddings

    assert vector == Embedding(index=0, base64=PACKED)


def test_a_form_that_is_not_known_is_left_as_it_came() -> None:
    answer = response(values=NUMBERS)

    assert as_asked(answer, "int8").embeddings is answer.embeddings


@pytest.mark.parametrize("broken", ["AAA=", "AAAAAAA=", "!!!!"])
def test_a_vector_that_cannot_be_read_is_garbled(broken: str) -> None:
    with pytest.raises(Garbled, match="vector"):
        as_asked(response(base64=broken), "float")


def test_a_number_that_float32_cannot_hold_is_garbled() -> None:
    with pytest.raises(Garbled, match="out of range"):
        as_asked(response(values=(1e300,)), "base64")


@given(st.lists(st.floats(width=32, allow_nan=False), max_size=50))
def test_there_and_back_is_the_same(numbers: list[float]) -> None:
    there = as_asked(response(values=tuple(numbers)), "base64")

    assert as_asked(there, "float").embeddings[0].values == tuple(numbers)


def test_tokens_that_nobody_counted_are_guessed() -> None:
    request = EmbeddingRequest(model="m", inputs=("12345678", "é", (1, 2, 3), RawInput(json=JsonText('{"a":1}'))))

    usage = vectors.as_asked(response(values=NUMBERS), request).usage

    # 8 + 2 + 7 bytes are five tokens, and three were given as such.
    assert usage == Usage(prompt_tokens=8, total_tokens=8, estimated=True)


def test_what_the_provider_counted_stays() -> None:
    counted = Usage(prompt_tokens=1, total_tokens=1)
    answer = EmbeddingResponse(model="m", embeddings=(), usage=counted)

    assert as_asked(answer, None).usage is counted
