"""The called half per operation, as the contract in `dialects/base.py` wants it. The work is done in the modules named
after the formats.
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
from isthmusd.dialects.bedrock.chat_request import chat_path, encode_chat_request
from isthmusd.dialects.bedrock.chat_response import decode_chat_response
from isthmusd.dialects.bedrock.chat_stream import ConverseDecoder
from isthmusd.dialects.bedrock.embedding import decode_embedding_response, embedding_path, encode_embedding_request
from isthmusd.dialects.bedrock.errors import decode_error


def _unsupported(*_: Any) -> NoReturn:
    raise UnsupportedFeature("Embeddings do not stream: leave 'stream' out.")


def _embedding_path(model: str, stream: bool) -> str:
    del stream
    return embedding_path(model)


@dataclass(slots=True, kw_only=True)
class BedrockCalled:
    """Called half of one operation."""

    place: Callable[[str, bool], str]
    encode: Callable[[Any, str, Profile], Encoded]
    decode: Callable[[bytes, Stamp], Any]
    decoder: Callable[[Stamp, Profile], ConverseDecoder] = _unsupported

    def path(self, model: str, stream: bool) -> str:
        """Give the path, with the model in it, percent-encoded."""
        return self.place(model, stream)

    def encode_request(self, request: Any, model: str, profile: Profile) -> Encoded:
        """Write a canonical request."""
        return self.encode(request, model, profile)

    def decode_response(self, body: bytes, stamp: Stamp) -> Any:
        """Read a whole answer."""
        return self.decode(body, stamp)

    def stream_decoder(self, stamp: Stamp, profile: Profile) -> ConverseDecoder:
        """Make the decoder of one stream."""
        return self.decoder(stamp, profile)

    def decode_error(self, status: int, headers: Headers, body: bytes) -> UpstreamError:
        """Read an error answer."""
        return decode_error(status, headers, body)


CALLED: dict[Operation, Called] = {
    Operation.CHAT: BedrockCalled(
        place=chat_path, encode=encode_chat_request, decode=decode_chat_response, decoder=ConverseDecoder
    ),
    Operation.EMBEDDING: BedrockCalled(
        place=_embedding_path, encode=encode_embedding_request, decode=decode_embedding_response
    ),
}
