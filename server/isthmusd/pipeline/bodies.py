"""What a complete body must be before anyone parses it. Streamed bodies are `uploads.py`'s."""

from __future__ import annotations

import re

from isthmusd.core.errors import RequestTooLarge, UnsupportedMediaType
from isthmusd.core.headers import first
from isthmusd.core.request import Arrival

JSON = re.compile(r"application/(?:[\w.+-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)


def check_body(arrival: Arrival, limit: int) -> None:
    """Refuse bytes that are too many, compressed or not JSON; messages of typed calls are checked by gRPC itself."""
    match arrival.body:
        case bytes() as body:
            if len(body) > limit:
                raise RequestTooLarge(f"the body is over the limit of {limit} bytes")
            if (first(arrival.headers, "content-encoding") or "identity").lower() != "identity":
                raise UnsupportedMediaType("send the JSON body uncompressed")
            content_type = first(arrival.headers, "content-type")
            if content_type and not JSON.fullmatch(content_type.strip()):
                raise UnsupportedMediaType("send JSON with 'content-type: application/json'")
        case _:
            pass
