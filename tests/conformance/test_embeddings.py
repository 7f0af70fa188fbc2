"""Embeddings of every provider that has them, as numbers and in base64: the vectors are the provider's, the shape is
OpenAI's, whichever of the two the provider was asked for.
"""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from tests.conformance.dialects import load_dialects
from tests.conformance.talk import Talk
from tests.fakes.wire_turn import body
from tests.system.pair import Pair

pytestmark = pytest.mark.edge
VECTORS = [[0.5, -0.25, 1.0], [0.0, 0.125, -2.0]]
TEXTS = ["one", "zwei 👩‍👩‍👧"]
DIALECTS = {dialect.name: dialect for dialect in load_dialects()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedder:
    """One model that embeds, and whether it takes several texts in a request."""

    dialect: str
    model: str
    several: bool = True
    token_count: int | None = None
    """What its answers say they cost; None: nothing."""


EMBEDDERS = (
    Embedder(dialect="gemini", model="gemini-embedding-001"),
    Embedder(dialect="cohere", model="embed-v4.0", token_count=6),
    Embedder(dialect="bedrock", model="cohere.embed-english-v3"),
    Embedder(dialect="bedrock", model="amazon.titan-embed-text-v2:0", several=False, token_count=3),
)


@pytest.fixture(params=EMBEDDERS, ids=lambda embedder: embedder.model)
def embedder(request: pytest.FixtureRequest) -> Embedder:
    return request.param


def script(talk: Talk, embedder: Embedder, vectors: list[list[float]], form: str | None) -> None:
    if embedder.dialect == "cohere" and form == "base64":
        meta = {"billed_units": {"input_tokens": 6}}
        packed = [base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() for vector in vectors]
        talk.script(body(msgspec.json.encode({"id": "e-1", "embeddings": {"base64": packed}, "meta": meta})))
    elif embedder.several:
        talk.script(talk.dialect.wire.embedding(embedder.model, vectors, 6))
    else:
        titan = [{"embedding": vector, "inputTextTokenCount": 3} for vector in vectors]
        talk.script(*(body(msgspec.json.encode(one)) for one in titan))


def numbers(embedding: Any) -> list[float]:
    if isinstance(embedding, list):
        return embedding
    content = base64.b64decode(embedding)
    return list(struct.unpack(f"<{len(content) // 4}f", content))


@pytest.mark.parametrize("form", [None, "float", "base64"])
async def test_one_text(dialect_pair: Pair, embedder: Embedder, form: str | None) -> None:
    talk = Talk(pair=dialect_pair, dialect=DIALECTS[embedder.dialect])
    script(talk, embedder, VECTORS[:1], form)

    reply = await talk.embeddings(embedder.model, input="one", **({"encoding_format": form} if form else {}))

    (one,) = reply.body["data"]
    assert isinstance(one["embedding"], str if form == "base64" else list)
    assert numbers(one["embedding"]) == VECTORS[0]
    assert reply.body["model"] == embedder.model
    assert reply.headers.get("x-isthmus-losses") is None
    # Callers' libraries demand a count; what no provider tells is guessed.
    counted = reply.body["usage"]["prompt_tokens"]
    assert counted == (embedder.token_count if embedder.token_count is not None else 1)


@pytest.mark.parametrize("form", ["float", "base64"])
async def test_several_texts(dialect_pair: Pair, embedder: Embedder, form: str) -> None:
    talk = Talk(pair=dialect_pair, dialect=DIALECTS[embedder.dialect])
    script(talk, embedder, VECTORS, form)

    reply = await talk.embeddings(embedder.model, input=TEXTS, encoding_format=form)

    assert reply.error is None, reply.error
    assert [numbers(one["embedding"]) for one in reply.body["data"]] == VECTORS
    assert [one["index"] for one in reply.body["data"]] == [0, 1]
    if embedder.several:
        assert talk.asked().inputs == TEXTS
