"""Embeddings: request and answer. They do not stream.

Source: https://docs.cohere.com/reference/embed
"""

from __future__ import annotations

from typing import Any

import msgspec

from isthmusd.core.chat import Extra, JsonText
from isthmusd.core.embedding import Embedding, EmbeddingInput, EmbeddingRequest, EmbeddingResponse, RawInput
from isthmusd.core.errors import UnsupportedFeature
from isthmusd.core.profile import Profile
from isthmusd.core.request import Loss
from isthmusd.dialects.base import Encoded
from isthmusd.dialects.cohere.losses import lose, lose_extra, native_members
from isthmusd.dialects.cohere.usage import decode_embedding_usage
from isthmusd.framing.failures import answer_fault
from isthmusd.framing.fields import Fields, drop_none, json_text, kind_of, read_text

PATH = "/embed"
DEFAULT_INPUT_TYPE = "search_document"
"""Cohere demands to know what the vectors are for; OpenAI's callers do not say."""

NATIVE = frozenset({"embedding_types", "input_type", "max_tokens", "priority", "truncate"})
"""Cohere's own members, sent as the caller wrote them."""

FLOAT, BASE64 = "float", "base64"

_ECHO = ("texts", "images", "response_type")
"""What the answer repeats of the question, and the name of its own form."""

_VALUES = msgspec.json.Decoder(tuple[float, ...])


def encode_embedding_request(request: EmbeddingRequest, model: str, profile: Profile) -> Encoded:
    """Write an embedding request. Raises UnsupportedFeature for inputs that Cohere cannot read."""
    del profile  # what differs between hosts of this format concerns chats
    losses: list[Loss] = []
    native = native_members(request.extra, NATIVE)
    form = request.encoding_format or FLOAT
    if form not in (FLOAT, BASE64):
        lose(losses, "encoding_format", "Cohere's vectors come as 'float' or 'base64': 'float' was asked for")
        form = FLOAT
    if request.user is not None:
        lose(losses, "user")
    lose_extra(losses, request.extra, known=NATIVE)
    members = {
        "model": model,
        "input_type": DEFAULT_INPUT_TYPE,
        **_inputs(request.inputs),
        "embedding_types": (form,),
        "output_dimension": request.dimensions,
    }
    written = drop_none(members) | {name: msgspec.Raw(text) for name, text in native}
    return Encoded(path=PATH, body=msgspec.json.encode(written), losses=tuple(losses))


def decode_embedding_response(body: bytes) -> EmbeddingResponse:
    """Read an answer. Raises Garbled."""
    fields = Fields.of(body, "", answer_fault)
    meta = fields.raw("meta")
    kept = () if meta is None else (("meta", json_text(meta)),)
    for name in _ECHO:
        fields.raw(name)
    return EmbeddingResponse(
        model="",
        embeddings=_vectors(fields),
        usage=decode_embedding_usage(meta),
        extra=(*fields.rest(), *kept),
    )


def _inputs(inputs: tuple[EmbeddingInput, ...]) -> dict[str, object]:
    """Give `texts` where all inputs are texts; else `inputs`, which may hold images too."""
    texts = [item for item in inputs if isinstance(item, str)]
    if len(texts) == len(inputs):
        return {"texts": texts}
    return {"inputs": [_input(item, f"input[{place}]") for place, item in enumerate(inputs)]}


def _input(item: EmbeddingInput, path: str) -> dict[str, object]:
    match item:
        case str(text):
            return {"content": [{"type": "text", "text": text}]}
        case tuple():
            raise UnsupportedFeature("Cohere embeds text, not token ids: send 'input' as text.", param=path)
        case RawInput(json=json):
            found: Any = msgspec.json.decode(json)
            match found:
                case {"content": [*_]}:
                    return {"content": _member(json, "content")}
                case {"type": "text" | "image_url"}:
                    return {"content": [msgspec.Raw(json)]}
                case _:
                    raise UnsupportedFeature("Cohere embeds texts and images only.", param=path)


def _member(json: JsonText, name: str) -> msgspec.Raw:
    return msgspec.json.decode(json, type=dict[str, msgspec.Raw])[name]


def _vectors(fields: Fields) -> tuple[Embedding, ...]:
    """Read the vectors of the type that OpenAI has a place for; those of other types are kept beside them."""
    if fields.kind("embeddings") == "an array":
        # Answers of one type only, as the first version of the API gave them.
        return tuple(_vector(raw, index, ()) for index, raw in enumerate(fields.items("embeddings") or []))
    by_type = fields.required_object("embeddings")
    rows = {name: vectors for name in by_type.names() if (vectors := by_type.items(name))}
    chosen = next((name for name in (FLOAT, BASE64, *rows) if name in rows), None)
    if chosen is None:
        raise fields.fault("'embeddings' holds no vectors.", "embeddings")
    others = {name: vectors for name, vectors in rows.items() if name != chosen}
    return tuple(_vector(raw, index, _beside(others, index)) for index, raw in enumerate(rows[chosen]))


def _beside(others: dict[str, list[msgspec.Raw]], index: int) -> Extra:
    return tuple((name, json_text(vectors[index])) for name, vectors in others.items() if index < len(vectors))


def _vector(raw: msgspec.Raw, index: int, extra: Extra) -> Embedding:
    path = f"embeddings[{index}]"
    if kind_of(raw) == "a string":
        return Embedding(index=index, base64=read_text(raw, path, answer_fault), extra=extra)
    try:
        return Embedding(index=index, values=_VALUES.decode(raw), extra=extra)
    except msgspec.ValidationError as error:
        raise answer_fault(f"{path!r} must be an array of numbers.", path) from error
