"""The real clock and the randomness of ids and secrets. Tests bring their own."""

from __future__ import annotations

import os
import time

from isthmusd.core.call import Stamp


class SystemClock:
    """Time of this machine."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds on the event loop's scale. The loop's own reading is of the start of its turn, in milliseconds."""
        return time.monotonic()

    def stamp(self) -> Stamp:
        """A fresh random identity."""
        return Stamp(id=os.urandom(12).hex(), created_at=int(time.time()))

    def random_bytes(self, count: int) -> bytes:
        """Bytes of the system's generator."""
        return os.urandom(count)
