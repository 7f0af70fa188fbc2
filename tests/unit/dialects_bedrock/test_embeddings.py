"""Embeddings: each maker's own bodies."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from isthmusd.core.chat import JsonText
from isthmusd.core.embedding import Embedding, EmbeddingRequest, RawInput
from isthmusd.core.errors import Garbled, KeyRejected, UnsupportedFeature
from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation
from isthmusd.core.usage import Usage
from isthmusd.dialects.bedrock import CALLED

from tests.unit.dialects_bedrock.requests import STAMP

HALF = CALLED[Operation.EMBEDDING]
TITAN_1, TITAN_2 = "amazon.titan-embed-text-v1", "amazon.titan-embed-text-v2:0"
TITAN_IMAGE = "amazon.titan-embed-image-v1"
COHERE_3, COHERE_4 = "cohere.embed-english-v3", "us.cohere.embed-v4:0"
COHERE = {"input_type": "search_document", "embedding_types": ["float"]}


def written(model: str, *inputs: Any, **more: Any) -> tuple[dict[str, Any], list[str]]:
    request = EmbeddingRequest(model="m", inputs=inputs or ("a",), **more)
    encoded = HALF.encode_request(request, model, Profile())
    assert encoded.path == HALF.path(model, False)
    return msgspec.json.decode(encoded.body), [loss.field for loss in encoded.losses]


@pytest.mark.parametrize(
    ("model", "body", "lost"),
    [
        (TITAN_1, {"inputText": "a"}, ["dimensions"]),
        (TITAN_2, {"inputText": "a", "dimensions": 256}, []),
        (TITAN_IMAGE, {"inputText": "a", "embeddingConfig": {"outputEmbeddingLength": 256}}, []),
        (COHERE_3, {"texts": ["a"], **COHERE}, ["dimensions"]),
        (COHERE_4, {"texts": ["a"], "output_dimension": 256, **COHERE}, []),
    ],
)
def test_requests(model: str, body: dict[str, Any], lost: list[str]) -> None:
    assert written(model, dimensions=256) == (body, lost)


def test_cohere_takes_several_texts_and_members_of_its_own() -> None:
    extra = (("input_type", JsonText('"search_query"')), ("truncate", JsonText('"END"')), ("odd", JsonText("1")))

    body, lost = written(COHERE_3, "a", "b", extra=extra, user="u", encoding_format="base64")

    assert body == {
        "texts": ["a", "b"],
        "embedding_types": ["float"],
        "input_type": "search_query",
        "truncate": "END",
    }
    assert lost == ["user", "odd"]


def test_titan_takes_members_of_its_own() -> None:
    extra = (("normalize", JsonText("false")), ("embeddingTypes", JsonText("null")))

    assert written(TITAN_2, extra=extra, encoding_format="float") == ({"inputText": "a", "normalize": False}, [])


@pytest.mark.parametrize(
    ("model", "inputs", "param"),
    [
        (TITAN_2, ("a", "b"), "input"),
        (TITAN_2, ((1, 2),), "input"),
        (COHERE_3, (RawInput(json=JsonText("{}")),), "input"),
        ("arn:aws:bedrock:eu-west-1:1:application-inference-profile/abc", ("a",), "model"),
    ],
)
def test_what_no_model_does_is_refused(model: str, inputs: tuple[Any, ...], param: str) -> None:
    with pytest.raises(UnsupportedFeature) as refused:
        written(model, *inputs)

    assert refused.value.param == param


@pytest.mark.parametrize(
    ("body", "vectors", "usage"),
    [
        (
            b'{"embedding":[1,2.5],"embeddingsByType":{"float":[1,2.5]},"inputTextTokenCount":3}',
            [(1.0, 2.5)],
            Usage(prompt_tokens=3, total_tokens=3),
        ),
        (b'{"embeddings":[[1],[2]],"id":"x","response_type":"embeddings_floats"}', [(1.0,), (2.0,)], None),
        (b'{"embeddings":{"int8":[[9]],"float":[[1],[2]]}}', [(1.0,), (2.0,)], None),
        (b'{"embeddings":{"int8":[[9]]}}', [(9.0,)], None),
    ],
)
def test_answers(body: bytes, vectors: list[tuple[float, ...]], usage: Usage | None) -> None:
    answer = HALF.decode_response(body, STAMP)

    assert answer.embeddings == tuple(Embedding(index=index, values=vector) for index, vector in enumerate(vectors))
    assert (answer.model, answer.usage) == ("", usage)


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b'{"embedding":7}', b'{"embeddings":[7]}', b'{"embeddings":{}}', b'{"embeddings":"x"}'],
)
def test_garbled_answers(body: bytes) -> None:
    with pytest.raises(Garbled, match="broke its format"):
        HALF.decode_response(body, STAMP)


def test_errors_are_bedrock_s() -> None:
    assert type(HALF.decode_error(403, {}, b"{}")) is KeyRejected


def test_embeddings_do_not_stream() -> None:
    with pytest.raises(UnsupportedFeature):
        HALF.stream_decoder(STAMP, Profile())


NOVA = "amazon.nova-2-multimodal-embeddings-v1:0"


def test_nova_has_its_members_within_one() -> None:
    extra = (("embeddingPurpose", JsonText('"GENERIC_RETRIEVAL"')), ("truncationMode", JsonText('"NONE"')))

    plain, _ = written(NOVA, "a")
    asked, lost = written(NOVA, "a", dimensions=256, extra=extra)

    text = {"truncationMode": "END", "value": "a"}
    assert plain == {
        "taskType": "SINGLE_EMBEDDING",
        "singleEmbeddingParams": {"embeddingPurpose": "GENERIC_INDEX", "text": text},
    }
    assert asked["singleEmbeddingParams"] == {
        "embeddingDimension": 256,
        "embeddingPurpose": "GENERIC_RETRIEVAL",
        "text": {"truncationMode": "NONE", "value": "a"},
    }
    assert lost == []


def test_nova_answers_with_vectors_that_say_of_what() -> None:
    body = b'{"embeddings":[{"embeddingType":"TEXT","embedding":[0.5,1]}]}'

    assert HALF.decode_response(body, STAMP).embeddings == (Embedding(index=0, values=(0.5, 1.0)),)


def test_forms_that_vectors_do_not_have_are_lost() -> None:
    assert written(TITAN_1, encoding_format="int8")[1] == ["encoding_format"]
