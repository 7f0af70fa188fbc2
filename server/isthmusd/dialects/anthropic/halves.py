"""The called half, as the contract in `dialects/base.py` wants it. The work is done in the modules named after the
formats. Anthropic answers chats; it has neither completions nor embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from isthmusd.core.call import Stamp
from isthmusd.core.errors import UpstreamError
from isthmusd.core.headers import Headers
from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation
from isthmusd.dialects.anthropic.chat_request import PATH, encode_chat_request
from isthmusd.dialects.anthropic.chat_response import decode_chat_response
from isthmusd.dialects.anthropic.chat_stream import EventDecoder
from isthmusd.dialects.anthropic.errors import decode_error
from isthmusd.dialects.base import Called, Encoded


@dataclass(frozen=True, slots=True)
class AnthropicChat:
    """Chats with the Messages API."""

    def path(self, model: str, stream: bool) -> str:
        """Give the endpoint: it is the same for every model, streamed or not."""
        del model, stream
        return PATH

    def encode_request(self, request: Any, model: str, profile: Profile) -> Encoded:
        """Write a canonical request."""
        return encode_chat_request(request, model, profile)

    def decode_response(self, body: bytes, stamp: Stamp) -> Any:
        """Read a whole answer."""
        return decode_chat_response(body, stamp)

    def stream_decoder(self, stamp: Stamp, profile: Profile) -> EventDecoder:
        """Make the decoder of one stream: all hosts stream alike."""
        del profile
        return EventDecoder(stamp)

    def decode_error(self, status: int, headers: Headers, body: bytes) -> UpstreamError:
        """Read an error answer."""
        return decode_error(status, headers, body)


CALLED: dict[Operation, Called] = {Operation.CHAT: AnthropicChat()}
