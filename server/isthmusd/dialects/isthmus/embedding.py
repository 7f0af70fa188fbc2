"""Embeddings: requests in, vectors out. The form of a vector is what the provider answered; nothing is converted."""

from __future__ import annotations

from typing import Any

from isthmus.v1 import embedding_pb2 as pb

from isthmusd.core.call import Stamp
from isthmusd.core.embedding import Embedding, EmbeddingInput, EmbeddingRequest, EmbeddingResponse, RawInput
from isthmusd.core.request import Peeked
from isthmusd.dialects.isthmus.fields import (
    BadField,
    decode_each,
    from_base64,
    join,
    json_value,
    members,
    present,
    required,
)
from isthmusd.dialects.isthmus.request import WHOLE, WORD, Kinds, decode_extra, replace_fields
from isthmusd.dialects.isthmus.steps import UNWRITABLE, EventEncoder, garbled
from isthmusd.dialects.isthmus.usage import encode_usage

_SETTINGS: Kinds = {"dimensions": WHOLE, "user": WORD}
_REPLACED: Kinds = {**_SETTINGS, "encoding_format": WORD}
_OWN = frozenset({"model", "input"})
_ENCODINGS: dict[int, str | None] = {
    pb.EMBEDDING_ENCODING_UNSPECIFIED: None,
    pb.EMBEDDING_ENCODING_FLOATS: "float",
    pb.EMBEDDING_ENCODING_FLOAT32_LE: "base64",
}
_VECTOR = "embedding"
"""The member in which the hub keeps a vector of another form (int8, sparse)."""


class EmbeddingServed:
    """The half that callers of `EmbeddingService` speak."""

    keep_alive = None

    def peek(self, body: pb.EmbeddingRequest) -> Peeked:
        """Read the few fields that decisions need. Raises InvalidRequest."""
        try:
            extra = members("extra_json", body.extra_json)
            names = tuple(name for name, _ in extra)
            return Peeked(model=required("model", body.model), extra=names, size=body.ByteSize())
        except BadField as bad:
            raise bad.refusal() from None

    def decode_request(self, body: pb.EmbeddingRequest) -> EmbeddingRequest:
        """Give the canonical request. Raises InvalidRequest naming the field."""
        try:
            return _decode_request(body)
        except BadField as bad:
            raise bad.refusal() from None

    def encode_response(self, response: EmbeddingResponse) -> pb.EmbeddingResponse:
        """Write a canonical answer. Raises Garbled."""
        try:
            return _encode_response(response)
        except UNWRITABLE:
            raise garbled() from None

    def stream_encoder(self, stamp: Stamp, include_usage: bool) -> EventEncoder:
        """Refuse: no RPC streams embeddings, so that asking for it is a bug."""
        raise NotImplementedError


def _decode_request(request: pb.EmbeddingRequest) -> EmbeddingRequest:
    model = required("model", request.model)
    inputs = decode_each("input", request.input, _decode_input)
    if not inputs:
        raise BadField("input", "must hold at least one input")
    if request.encoding not in _ENCODINGS:
        raise BadField("encoding", "is not known to this gateway")
    extra = decode_extra(request, _OWN)
    settings: dict[str, Any] = {**present(request, _SETTINGS), "encoding_format": _ENCODINGS[request.encoding]}
    extra = replace_fields(extra, _REPLACED, settings)
    return EmbeddingRequest(model=model, inputs=inputs, extra=extra, **settings)


def _decode_input(item: pb.EmbeddingInput) -> EmbeddingInput:
    match item.WhichOneof("input"):
        case "text":
            return item.text
        case "tokens":
            return tuple(item.tokens.values)
        case "raw_json":
            return RawInput(json=json_value("raw_json", item.raw_json))
        case _:
            raise BadField("", "has no form that this gateway knows")


def _encode_response(response: EmbeddingResponse) -> pb.EmbeddingResponse:
    wire = pb.EmbeddingResponse(
        model=response.model,
        usage=None if response.usage is None else encode_usage(response.usage),
        extra_json=join(response.extra),
    )
    for embedding in response.embeddings:
        _write_vector(embedding, wire.embeddings.add())
    return wire


def _write_vector(embedding: Embedding, wire: pb.Embedding) -> None:
    wire.index = embedding.index
    extra = embedding.extra
    if embedding.base64 is not None:
        wire.float32_le = from_base64(embedding.base64)
    elif embedding.values is not None:
        wire.floats.values.extend(embedding.values)
        wire.floats.SetInParent()
    else:
        wire.raw_json = next((text for name, text in extra if name == _VECTOR), "null")
        extra = tuple(member for member in extra if member[0] != _VECTOR)
    wire.extra_json = join(extra)
