"""The called half of the dialect per operation, as the contract in `dialects/base.py` wants it. The work is done in the
modules named after the formats.
"""

from __future__ import annotations

from typing import NoReturn

from isthmusd.core.call import Stamp
from isthmusd.core.chat import ChatRequest, ChatResponse
from isthmusd.core.embedding import EmbeddingRequest, EmbeddingResponse
from isthmusd.core.errors import UnsupportedFeature, UpstreamError
from isthmusd.core.headers import Headers
from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation
from isthmusd.dialects.base import Called, Encoded, StreamDecoder
from isthmusd.dialects.gemini import chat_request, embedding
from isthmusd.dialects.gemini.chat_response import decode_chat_response
from isthmusd.dialects.gemini.chat_stream import ChatDecoder
from isthmusd.dialects.gemini.errors import decode_error


class GeminiChat:
    """Called half of chat."""

    def path(self, model: str, stream: bool) -> str:
        """Give the method's path, which names the model."""
        return chat_request.chat_path(model, stream)

    def encode_request(self, request: ChatRequest, model: str, profile: Profile) -> Encoded:
        """Write a canonical request."""
        return chat_request.encode_chat_request(request, model, profile)

    def decode_response(self, body: bytes, stamp: Stamp) -> ChatResponse:
        """Read a whole answer."""
        return decode_chat_response(body, stamp)

    def stream_decoder(self, stamp: Stamp, profile: Profile) -> StreamDecoder:
        """Make the decoder of one stream."""
        del profile  # the end of the body ends every stream, on every host
        return ChatDecoder(stamp)

    def decode_error(self, status: int, headers: Headers, body: bytes) -> UpstreamError:
        """Read an error answer."""
        return decode_error(status, headers, body)


class GeminiEmbedding:
    """Called half of embeddings."""

    def path(self, model: str, stream: bool) -> str:
        """Give the path for several inputs; a request for one names its own."""
        del stream
        return embedding.batch_path(model)

    def encode_request(self, request: EmbeddingRequest, model: str, profile: Profile) -> Encoded:
        """Write a canonical request. Raises UnsupportedFeature for token ids."""
        return embedding.encode_embedding_request(request, model, profile)

    def decode_response(self, body: bytes, stamp: Stamp) -> EmbeddingResponse:
        """Read an answer."""
        del stamp  # embeddings have neither id nor time
        return embedding.decode_embedding_response(body)

    def stream_decoder(self, stamp: Stamp, profile: Profile) -> NoReturn:
        """Embeddings do not stream."""
        del stamp, profile
        raise UnsupportedFeature("Embeddings do not stream: leave 'stream' out.")

    def decode_error(self, status: int, headers: Headers, body: bytes) -> UpstreamError:
        """Read an error answer."""
        return decode_error(status, headers, body)


CALLED: dict[Operation, Called] = {Operation.CHAT: GeminiChat(), Operation.EMBEDDING: GeminiEmbedding()}
