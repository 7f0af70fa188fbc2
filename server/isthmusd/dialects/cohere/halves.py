"""The called half of the dialect per operation, as the contract in `dialects/base.py` wants it. The work is done in the
modules named after the formats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from isthmusd.core.call import Stamp
from isthmusd.core.errors import UnsupportedFeature, UpstreamError
from isthmusd.core.headers import Headers
from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation
from isthmusd.dialects.base import Called, Encoded
from isthmusd.dialects.cohere import chat_request, embedding
from isthmusd.dialects.cohere.chat_response import decode_chat_response
from isthmusd.dialects.cohere.chat_stream import ChatDecoder
from isthmusd.dialects.cohere.errors import decode_error


def _whole_only(*_: Any) -> NoReturn:
    raise UnsupportedFeature("Embeddings do not stream: ask without 'stream'.", param="stream")


@dataclass(slots=True, kw_only=True)
class CohereCalled:
    """Called half of one operation."""

    endpoint: str
    encode: Callable[[Any, str, Profile], Encoded]
    decode: Callable[[bytes, Stamp], Any]
    decoder: Callable[[Stamp], ChatDecoder] = _whole_only

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

    def stream_decoder(self, stamp: Stamp, profile: Profile) -> ChatDecoder:
        """Make the decoder of one stream."""
        del profile  # the format has one terminator, and everybody sends it
        return self.decoder(stamp)

    def decode_error(self, status: int, headers: Headers, body: bytes) -> UpstreamError:
        """Read an error answer."""
        return decode_error(status, headers, body)


def _decode_embedding(body: bytes, stamp: Stamp) -> Any:
    del stamp  # embeddings have neither id nor time
    return embedding.decode_embedding_response(body)


CALLED: dict[Operation, Called] = {
    Operation.CHAT: CohereCalled(
        endpoint=chat_request.PATH,
        encode=chat_request.encode_chat_request,
        decode=decode_chat_response,
        decoder=ChatDecoder,
    ),
    Operation.EMBEDDING: CohereCalled(
        endpoint=embedding.PATH, encode=embedding.encode_embedding_request, decode=_decode_embedding
    ),
}
