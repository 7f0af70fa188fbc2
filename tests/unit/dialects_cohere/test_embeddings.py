"""Embeddings of Cohere."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from isthmusd.core.chat import JsonText
from isthmusd.core.embedding import Embedding, EmbeddingRequest, EmbeddingResponse, RawInput
from isthmusd.core.errors import Garbled, Rejected, UnsupportedFeature
from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation
from isthmusd.core.usage import Usage
from isthmusd.dialects.cohere import CALLED

from tests.unit.dialects_cohere.wire import NO_FIELD, STAMP, json

EMBED = CALLED[Operation.EMBEDDING]


def sent(*inputs: Any, **members: Any) -> tuple[Any, dict[str, str]]:
    encoded = EMBED.encode_request(EmbeddingRequest(model="m", inputs=inputs, **members), "embed-v4.0", Profile())
    assert encoded.path == "/embed"
    return msgspec.json.decode(encoded.body), {loss.field: loss.reason for loss in encoded.losses}


def answer(embeddings: Any, **members: Any) -> EmbeddingResponse:
    return EMBED.decode_response(json({"id": "e1", "embeddings": embeddings} | members), STAMP)


def test_texts() -> None:
    assert sent("a", "b") == (
        {"model": "embed-v4.0", "input_type": "search_document", "texts": ["a", "b"], "embedding_types": ["float"]},
        {},
    )


def test_what_openai_can_say() -> None:
    body, losses = sent("a", dimensions=256, encoding_format="base64", user="u", extra=(("x", JsonText("1")),))

    assert (body["output_dimension"], body["embedding_types"]) == (256, ["base64"])
    assert losses == {"user": NO_FIELD, "x": NO_FIELD}
    assert sent("a", encoding_format="hex")[0]["embedding_types"] == ["float"]
    assert list(sent("a", encoding_format="hex")[1]) == ["encoding_format"]


def test_its_own_members_pass() -> None:
    own = {"input_type": '"search_query"', "truncate": '"START"', "embedding_types": '["int8"]', "priority": "2"}

    body, losses = sent("a", extra=tuple((name, JsonText(text)) for name, text in own.items()))

    assert {name: msgspec.json.encode(body[name]).decode() for name in own} == own
    assert losses == {}


def test_images_go_as_inputs() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}}
    mixed = {"content": [{"type": "text", "text": "b"}, image]}

    body, _ = sent("a", RawInput(json=JsonText(json(image).decode())), RawInput(json=JsonText(json(mixed).decode())))

    assert "texts" not in body
    assert body["inputs"] == [{"content": [{"type": "text", "text": "a"}]}, {"content": [image]}, mixed]


@pytest.mark.parametrize("item", [(1, 2), RawInput(json=JsonText('{"type":"audio"}')), RawInput(json=JsonText("7"))])
def test_inputs_that_it_cannot_read_are_refused(item: Any) -> None:
    with pytest.raises(UnsupportedFeature) as refused:
        sent("a", item)

    assert refused.value.param == "input[1]"


def test_vectors() -> None:
    got = answer(
        {"float": [[0.5, 1], [2, -1e-3]]},
        texts=["a", "b"],
        images=[],
        response_type="embeddings_by_type",
        meta={"billed_units": {"input_tokens": 4, "image_tokens": 2}},
    )

    assert got == EmbeddingResponse(
        model="",
        embeddings=(Embedding(index=0, values=(0.5, 1.0)), Embedding(index=1, values=(2.0, -0.001))),
        usage=Usage(prompt_tokens=6, total_tokens=6),
        extra=(("id", JsonText('"e1"')), ("meta", JsonText('{"billed_units":{"input_tokens":4,"image_tokens":2}}'))),
    )


def test_vectors_of_other_types() -> None:
    assert answer({"base64": ["AACAPw=="]}).embeddings == (Embedding(index=0, base64="AACAPw=="),)
    assert answer({"int8": [[1, -2]], "float": None, "base64": []}).embeddings == (
        Embedding(index=0, values=(1.0, -2.0)),
    )
    assert answer([[1.0]]).embeddings == (Embedding(index=0, values=(1.0,)),)
    several = answer({"int8": [[1]], "base64": ["AA=="], "float": [[0.5], [0.25]]}).embeddings
    assert several == (
        Embedding(index=0, values=(0.5,), extra=(("int8", JsonText("[1]")), ("base64", JsonText('"AA=="')))),
        Embedding(index=1, values=(0.25,)),
    )


def test_no_usage() -> None:
    assert answer({"float": [[1]]}).usage is None
    assert answer({"float": [[1]]}, meta={}).usage is None


@pytest.mark.parametrize("embeddings", [None, {}, {"float": []}, {"float": 7}, {"float": [["a"]]}, {"float": [7]}, "x"])
def test_broken_answers_are_garbled(embeddings: Any) -> None:
    with pytest.raises(Garbled):
        answer(embeddings)


def test_embeddings_do_not_stream_and_fail_as_chats_do() -> None:
    with pytest.raises(UnsupportedFeature):
        EMBED.stream_decoder(STAMP, Profile())
    assert isinstance(EMBED.decode_error(400, {}, b""), Rejected)
    assert EMBED.path("m", False) == "/embed"
