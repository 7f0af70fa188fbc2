"""A running stream that is translated: a target's decoder feeding a caller's encoder. Bytes that need no translation
pass a `Tap` of their dialect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from isthmusd.core.errors import GatewayError, UpstreamError
from isthmusd.core.events import End, Event, RefusalDelta, TextDelta, ThinkingDelta, ToolCallDelta, UsageReport
from isthmusd.core.usage import Usage, estimate
from isthmusd.dialects.base import StreamDecoder, StreamEncoder


class Translation:
    """Relay over the hub. A stream whose target reports no usage gets an estimate, before its end."""

    def __init__(self, decoder: StreamDecoder, encoder: StreamEncoder, prompt_bytes: int = 0) -> None:
        self.failure: UpstreamError | None = None
        self.ended = False
        self.usage: Usage | None = None
        self._decoder = decoder
        self._encoder = encoder
        self._prompt_bytes = prompt_bytes
        self._completion_bytes = 0

    def feed(self, data: bytes) -> Any | None:
        """Take bytes of the target, give one piece for the caller, or None."""
        return self._pass(self._decoder.feed(data))

    def close(self) -> Any | None:
        """The target ended its body: give what was held back, and settle the usage."""
        piece = self._pass(self._decoder.close())
        if self.usage is None:
            self.usage = self._estimate()
        return piece

    def fail(self, error: GatewayError) -> Any | None:
        """Write an in-band error, the last piece."""
        return self._encoder.fail(error)

    def _pass(self, events: Sequence[Event]) -> Any | None:
        passed: list[Event] = []
        for event in events:
            match event:
                case UsageReport(usage=usage):
                    self.usage = usage
                case End() if self.usage is None:
                    self.usage = self._estimate()
                    passed.append(UsageReport(usage=self.usage))
                case TextDelta(text=text) | ThinkingDelta(text=text) | RefusalDelta(text=text):
                    self._completion_bytes += len(text.encode())
                case ToolCallDelta(arguments=arguments):
                    self._completion_bytes += len(arguments.encode())
                case _:
                    pass
            passed.append(event)
        self.failure, self.ended = self._decoder.failure, self._decoder.ended
        return self._encoder.feed(passed) if passed else None

    def _estimate(self) -> Usage:
        return estimate(self._prompt_bytes, self._completion_bytes)
