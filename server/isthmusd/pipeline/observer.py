"""Reads the usage out of forwarded answers without touching them. Model routes have their own taps."""

from __future__ import annotations

from isthmusd.core.errors import GatewayError
from isthmusd.core.headers import Headers, first
from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation, Peeked
from isthmusd.core.usage import Usage
from isthmusd.dialects import registry
from isthmusd.dialects.base import Relay

OPERATIONS = {
    "chat/completions": Operation.CHAT,
    "completions": Operation.COMPLETION,
    "embeddings": Operation.EMBEDDING,
    "responses": Operation.RESPONSES,
    "moderations": Operation.MODERATION,
}
OBSERVED_BYTES = 8 * 1024 * 1024
"""Whole answers above this are not read for usage."""


class UsageObserver:
    """Watches one answer. Never fails: what it cannot read has no usage."""

    def __init__(self, path: str, headers: Headers, profile: Profile) -> None:
        operation = OPERATIONS.get(path.strip("/").removeprefix("v1/"))
        identity = registry.identity("openai", operation) if operation is not None else None
        encoded = (first(headers, "content-encoding") or "identity").lower() != "identity"
        media_type = (first(headers, "content-type") or "").partition(";")[0].strip().lower()
        self._identity = None if encoded else identity
        self._relay: Relay | None = None
        self._held: list[bytes] | None = None
        self._size = 0
        if self._identity is not None and media_type == "text/event-stream":
            self._relay = self._identity.tap(Peeked(model="", stream=True, include_usage=True), 0, profile)
        elif self._identity is not None and media_type == "application/json":
            self._held = []

    def feed(self, chunk: bytes) -> None:
        """See the next bytes of the answer."""
        if self._relay is not None and self._relay.failure is None and not self._relay.ended:
            self._relay.feed(chunk)
        elif self._held is not None:
            self._size += len(chunk)
            self._held.append(chunk)
            if self._size > OBSERVED_BYTES:
                self._held = None

    def close(self) -> Usage | None:
        """Give the usage once the answer ended."""
        if self._relay is not None:
            usage = self._relay.usage
            return None if usage is None or usage.estimated else usage
        if self._held and self._identity is not None:
            try:
                return self._identity.usage_of(b"".join(self._held))
            except GatewayError:
                return None
        return None
