"""Embeddings by InvokeModel, whose bodies are each maker's own: Amazon's Titan and Nova, Cohere's Embed. They do not
stream.

Sources: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html,
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-mm.html,
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html,
https://docs.aws.amazon.com/nova/latest/userguide/embeddings-schema.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

import msgspec

from isthmusd.core.call import Stamp
from isthmusd.core.embedding import Embedding, EmbeddingRequest, EmbeddingResponse
from isthmusd.core.errors import UnsupportedFeature
from isthmusd.core.profile import Profile
from isthmusd.core.request import Loss
from isthmusd.core.usage import Usage
from isthmusd.dialects.base import Encoded
from isthmusd.dialects.bedrock.marks import Block, lose_members
from isthmusd.framing.failures import answer_fault
from isthmusd.framing.fields import Fields, drop_none, kind_of

Vector = tuple[float, ...]


class _Typed(msgspec.Struct):
    """A vector as Nova gives it."""

    embedding: Vector


_VECTOR = msgspec.json.Decoder(Vector)
_TYPED = msgspec.json.Decoder(_Typed)
_VECTORS = msgspec.json.Decoder(list[Vector])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Embedder:
    """What one kind of models takes."""

    takes_several: bool
    texts: str
    """Member that holds the text, or the texts."""
    dimensions: Callable[[int], Block] | None = None
    """Writes the wanted length; None: the model has one length."""
    defaults: Mapping[str, object] = field(default_factory=dict[str, object])
    natives: frozenset[str] = frozenset()
    shape: Callable[[Block], Block] = dict
    """Puts the members where the model has them."""


def _nova(members: Block) -> Block:
    text = {"truncationMode": members.pop("truncationMode", "END"), "value": members.pop("text")}
    return {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": {**members, "text": text}}


_COHERE = _Embedder(
    takes_several=True,
    texts="texts",
    # Demanded by the model; callers that look things up say `search_query`.
    defaults={"input_type": "search_document", "embedding_types": ["float"]},
    natives=frozenset({"input_type", "embedding_types", "truncate", "max_tokens", "output_dimension", "images"}),
)
_TITAN = _Embedder(takes_several=False, texts="inputText")
_EMBEDDERS = {
    "cohere.embed-v4": _Embedder(
        takes_several=True,
        texts="texts",
        dimensions=lambda length: {"output_dimension": length},
        defaults=_COHERE.defaults,
        natives=_COHERE.natives,
    ),
    "cohere.embed": _COHERE,
    "titan-embed-text-v2": _Embedder(
        takes_several=False,
        texts="inputText",
        dimensions=lambda length: {"dimensions": length},
        natives=frozenset({"normalize", "embeddingTypes"}),
    ),
    "titan-embed-image": _Embedder(
        takes_several=False,
        texts="inputText",
        dimensions=lambda length: {"embeddingConfig": {"outputEmbeddingLength": length}},
        natives=frozenset({"inputImage", "embeddingConfig"}),
    ),
    "titan-embed": _TITAN,
    "nova-2-multimodal-embeddings": _Embedder(
        takes_several=False,
        texts="text",
        dimensions=lambda length: {"embeddingDimension": length},
        # Callers that look things up say `GENERIC_RETRIEVAL`.
        defaults={"embeddingPurpose": "GENERIC_INDEX"},
        natives=frozenset({"embeddingPurpose", "truncationMode"}),
        shape=_nova,
    ),
}
"""By a piece of the model's id; the first that fits."""


def embedding_path(model: str) -> str:
    """Give the path of a call."""
    return f"/model/{quote(model, safe='')}/invoke"


def encode_embedding_request(request: EmbeddingRequest, model: str, profile: Profile) -> Encoded:
    """Write an embedding request for the upstream model name `model`. Raises UnsupportedFeature."""
    del profile  # models differ here, not hosts
    embedder = next((embedder for piece, embedder in _EMBEDDERS.items() if piece in model), None)
    if embedder is None:
        raise UnsupportedFeature(
            "How this model wants its texts is not known: use a Titan, Nova or Cohere embedding model, by its own id.",
            param="model",
        )
    losses: list[Loss] = []
    texts = _texts(request, embedder)
    members: dict[str, object | None] = {
        embedder.texts: texts if embedder.takes_several else texts[0],
        **_dimensions(request.dimensions, embedder, losses),
        **{name: value for name, value in embedder.defaults.items() if not _names(request, name)},
    }
    if request.user is not None:
        losses.append(Loss(field="user", reason="Bedrock has no such field"))
    if request.encoding_format not in (None, "float", "base64"):
        losses.append(Loss(field="encoding_format", reason="vectors come as 'float' or 'base64'"))
    lose_members(request.extra, "", losses, embedder.natives)
    natives = tuple((name, text) for name, text in request.extra if name in embedder.natives and text != "null")
    body = msgspec.json.encode(embedder.shape(drop_none(members, natives)))
    return Encoded(path=embedding_path(model), body=body, losses=tuple(losses))


def decode_embedding_response(body: bytes, stamp: Stamp) -> EmbeddingResponse:
    """Read an answer of either maker. Raises Garbled."""
    del stamp  # embeddings have neither id nor time
    fields = Fields.of(body, "", answer_fault)
    try:
        vectors = _vectors(fields)
    except (msgspec.DecodeError, RecursionError) as error:
        raise answer_fault("an embedding must be an array of numbers.", "") from error
    count = fields.integer("inputTextTokenCount")
    return EmbeddingResponse(
        model="",
        embeddings=tuple(Embedding(index=index, values=vector) for index, vector in enumerate(vectors)),
        usage=None if count is None else Usage(prompt_tokens=count, total_tokens=count),
    )


def _names(request: EmbeddingRequest, name: str) -> bool:
    return any(known == name and text != "null" for known, text in request.extra)


def _texts(request: EmbeddingRequest, embedder: _Embedder) -> list[str]:
    texts = [text for text in request.inputs if isinstance(text, str)]
    if len(texts) < len(request.inputs):
        raise UnsupportedFeature("This model embeds texts: send them as strings, not as tokens.", param="input")
    if len(texts) > 1 and not embedder.takes_several:
        raise UnsupportedFeature("This model embeds one text at a time: send one call for each text.", param="input")
    return texts


def _dimensions(length: int | None, embedder: _Embedder, losses: list[Loss]) -> Block:
    if length is None:
        return {}
    if embedder.dimensions is None:
        losses.append(Loss(field="dimensions", reason="the model's vectors have one length"))
        return {}
    return embedder.dimensions(length)


def _vectors(fields: Fields) -> list[Vector]:
    """Titan gives `embedding`; Cohere `embeddings`: an array, or arrays by type. Other types than floats are numbers
    too; the first that came is what was asked for."""
    one = fields.raw("embedding")
    if one is not None:
        return [_VECTOR.decode(one)]
    match fields.kind("embeddings"):
        case "an array":
            return [_vector(raw) for raw in fields.items("embeddings") or ()]
        case "an object":
            by_type = fields.required_object("embeddings")
            kind = "float" if by_type.has("float") else next(iter(by_type.names()), "float")
            return _VECTORS.decode(by_type.raw(kind) or b"null")
        case _:
            raise fields.fault("'embedding' is missing.", "embedding")


def _vector(raw: msgspec.Raw) -> Vector:
    return _TYPED.decode(raw).embedding if kind_of(raw) == "an object" else _VECTOR.decode(raw)
