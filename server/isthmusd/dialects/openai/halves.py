"""The two halves of the dialect per operation, as the contract in `dialects/base.py` wants them. The work is done in
the modules named after the formats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from isthmusd.core.call import Stamp
from isthmusd.core.errors import UnsupportedFeature, UpstreamError
from isthmusd.core.headers import Headers
from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation, Peeked
from isthmusd.dialects.base import Called, Encoded, Identity, Served
from isthmusd.dialects.openai import chat_request, completion_request, embedding
from isthmusd.dialects.openai.chat_request import decode_chat_request, encode_chat_request
from isthmusd.dialects.openai.chat_response import decode_chat_response, encode_chat_response
from isthmusd.dialects.openai.chat_stream import chat_decoder, chat_encoder
from isthmusd.dialects.openai.chunk_decoder import ChunkDecoder
from isthmusd.dialects.openai.chunk_encoder import ChunkEncoder
from isthmusd.dialects.openai.completion_request import decode_completion_request, encode_completion_request
from isthmusd.dialects.openai.completion_response import decode_completion_response, encode_completion_response
from isthmusd.dialects.openai.completion_stream import completion_decoder, completion_encoder
from isthmusd.dialects.openai.errors import decode_error
from isthmusd.dialects.openai.identity import OpenAIIdentity
from isthmusd.dialects.openai.peek import peek

KEEP_ALIVE = b": keep-alive\n\n"


def _unsupported(*_: Any) -> NoReturn:
    raise UnsupportedFeature("This call needs a model whose provider speaks OpenAI's format: choose such a model.")


@dataclass(slots=True, kw_only=True)
class OpenAIServed:
    """Served half of one operation. What an operation cannot do raises UnsupportedFeature."""

    operation: Operation
    decode: Callable[[bytes], Any] = _unsupported
    encode: Callable[[Any], bytes] = _unsupported
    encoder: Callable[[Stamp, bool], ChunkEncoder] = _unsupported
    keep_alive: Any | None = KEEP_ALIVE

    def peek(self, body: bytes) -> Peeked:
        """Read the few fields that decisions need."""
        return peek(body, self.operation)

    def decode_request(self, body: bytes) -> Any:
        """Give the canonical request."""
        return self.decode(body)

    def encode_response(self, response: Any) -> bytes:
        """Write a canonical answer."""
        return self.encode(response)

    def stream_encoder(self, stamp: Stamp, include_usage: bool) -> ChunkEncoder:
        """Make the encoder of one stream."""
        return self.encoder(stamp, include_usage)


@dataclass(slots=True, kw_only=True)
class OpenAICalled:
    """Called half of one operation. What an operation cannot do raises UnsupportedFeature."""

    endpoint: str
    encode: Callable[[Any, str, Profile], Encoded] = _unsupported
    decode: Callable[[bytes, Stamp], Any] = _unsupported
    decoder: Callable[[Stamp, Profile], ChunkDecoder] = _unsupported

    def path(self, model: str, stream: bool) -> str:
        """Give the endpoint: it is the same for every model, streamed or not."""
        del model, stream
        return self.endpoint

    def encode_request(self, request: Any, model: str, profile: Profile) -> Encoded:
        """Write a canonical request."""
        return self.encode(request, model, profile)

    def decode_response(self, body: bytes, stamp: Stamp) -> Any:
        """Read a whole answer."""
        return self.decode(body, stamp)

    def stream_decoder(self, stamp: Stamp, profile: Profile) -> ChunkDecoder:
        """Make the decoder of one stream."""
        return self.decoder(stamp, profile)

    def decode_error(self, status: int, headers: Headers, body: bytes) -> UpstreamError:
        """Read an error answer."""
        return decode_error(status, headers, body)


def _decode_embedding(body: bytes, stamp: Stamp) -> Any:
    del stamp  # embeddings have neither id nor time
    return embedding.decode_embedding_response(body)


SERVED: dict[Operation, Served] = {
    Operation.CHAT: OpenAIServed(
        operation=Operation.CHAT, decode=decode_chat_request, encode=encode_chat_response, encoder=chat_encoder
    ),
    Operation.COMPLETION: OpenAIServed(
        operation=Operation.COMPLETION,
        decode=decode_completion_request,
        encode=encode_completion_response,
        encoder=completion_encoder,
    ),
    # Only peeked at: the body and the model's flavour then make it a chat or a completion.
    Operation.AUTO: OpenAIServed(operation=Operation.AUTO),
    Operation.EMBEDDING: OpenAIServed(
        operation=Operation.EMBEDDING,
        decode=embedding.decode_embedding_request,
        encode=embedding.encode_embedding_response,
    ),
    Operation.MODERATION: OpenAIServed(operation=Operation.MODERATION),
    Operation.RESPONSES: OpenAIServed(operation=Operation.RESPONSES),
}

CALLED: dict[Operation, Called] = {
    Operation.CHAT: OpenAICalled(
        endpoint=chat_request.PATH, encode=encode_chat_request, decode=decode_chat_response, decoder=chat_decoder
    ),
    Operation.COMPLETION: OpenAICalled(
        endpoint=completion_request.PATH,
        encode=encode_completion_request,
        decode=decode_completion_response,
        decoder=completion_decoder,
    ),
    Operation.EMBEDDING: OpenAICalled(
        endpoint=embedding.PATH, encode=embedding.encode_embedding_request, decode=_decode_embedding
    ),
    Operation.MODERATION: OpenAICalled(endpoint="/moderations"),
    Operation.RESPONSES: OpenAICalled(endpoint="/responses"),
}

IDENTITY: dict[Operation, Identity] = {operation: OpenAIIdentity(operation=operation) for operation in CALLED}
