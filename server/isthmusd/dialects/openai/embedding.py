"""Embeddings: request and answer, both ways. They do not stream.

Source: https://platform.openai.com/docs/api-reference/embeddings
"""

from __future__ import annotations

import msgspec

from isthmusd.core.embedding import Embedding, EmbeddingRequest, EmbeddingResponse, RawInput
from isthmusd.core.profile import Profile
from isthmusd.core.request import Loss
from isthmusd.core.usage import Usage
from isthmusd.dialects.base import Encoded
from isthmusd.dialects.openai.errors import raise_if_error, request_fault
from isthmusd.dialects.openai.fitting import fitted
from isthmusd.dialects.openai.stream_options import carried_extra
from isthmusd.dialects.openai.texts import decode_inputs
from isthmusd.dialects.openai.usage import decode_usage, encode_usage
from isthmusd.framing.failures import answer_fault
from isthmusd.framing.fields import Fields, drop_none

PATH = "/embeddings"

_VALUES = msgspec.json.Decoder(tuple[float, ...])


def decode_embedding_request(body: bytes) -> EmbeddingRequest:
    """Read an embedding request. Raises InvalidRequest naming the field."""
    fields = Fields.of(body, "", request_fault)
    return EmbeddingRequest(
        model=fields.required_text("model"),
        inputs=decode_inputs(fields, "input", request_fault),
        dimensions=fields.integer("dimensions"),
        encoding_format=fields.text("encoding_format"),
        user=fields.text("user"),
        extra=fields.rest(),
    )


def encode_embedding_request(request: EmbeddingRequest, model: str, profile: Profile) -> Encoded:
    """Write an embedding request for the upstream model name `model`."""
    losses: list[Loss] = []
    inputs = [msgspec.Raw(item.json) if isinstance(item, RawInput) else item for item in request.inputs]
    # One input goes bare, as most callers write it; an object only ever occurs inside an array.
    bare = len(inputs) == 1 and not isinstance(inputs[0], msgspec.Raw)
    members = {
        "model": model,
        "input": inputs[0] if bare else inputs,
        "dimensions": request.dimensions,
        "encoding_format": request.encoding_format,
        "user": request.user,
    }
    extra = carried_extra(request.extra, profile, losses)
    body = fitted(drop_none(members, extra), profile, losses)
    return Encoded(path=PATH, body=msgspec.json.encode(body), losses=tuple(losses))


def decode_embedding_response(body: bytes) -> EmbeddingResponse:
    """Read an answer. Raises Garbled, or the error that came in its place."""
    fields = Fields.of(body, "", answer_fault)
    raise_if_error(fields)
    vectors = fields.objects("data")
    if vectors is None:
        raise fields.fault("'data' is missing.", "data")
    usage = fields.raw("usage")
    fields.raw("object")
    return EmbeddingResponse(
        model=fields.text("model") or "",
        embeddings=tuple(_decode_vector(vector, place) for place, vector in enumerate(vectors)),
        usage=None if usage is None else decode_usage(usage),
        extra=fields.rest(),
    )


def encode_embedding_response(response: EmbeddingResponse) -> bytes:
    """Write an answer."""
    members = {
        "object": "list",
        "data": [_encode_vector(vector) for vector in response.embeddings],
        "model": response.model,
        "usage": None if response.usage is None else _encode_usage(response.usage),
    }
    return msgspec.json.encode(drop_none(members, response.extra))


def _decode_vector(fields: Fields, place: int) -> Embedding:
    fields.raw("object")
    index = fields.integer("index")
    index = place if index is None else index
    if fields.kind("embedding") == "a string":
        return Embedding(index=index, base64=fields.text("embedding"), extra=fields.rest())
    raw = fields.raw("embedding")
    try:
        values = _VALUES.decode(raw if raw is not None else b"null")
    except msgspec.ValidationError as error:
        raise fields.fault(f"{fields.at('embedding')!r} must be an array of numbers.", "embedding") from error
    return Embedding(index=index, values=values, extra=fields.rest())


def _encode_vector(vector: Embedding) -> dict[str, object]:
    members = {
        "object": "embedding",
        "index": vector.index,
        "embedding": vector.base64 if vector.base64 is not None else vector.values,
    }
    return drop_none(members, vector.extra)


def _encode_usage(usage: Usage) -> dict[str, object]:
    """Embeddings complete nothing, so the shape has no completion tokens unless the provider counted some."""
    written = encode_usage(usage)
    if usage.completion_tokens is None:
        del written["completion_tokens"]
    return written
