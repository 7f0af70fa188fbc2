"""The real clock and the randomness of ids. Tests bring their own."""

from __future__ import annotations

import asyncio
import os
import time

from isthmusd.core.call import Stamp


class SystemClock:
    """Time of this machine."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """The running event loop's time, seconds."""
        return asyncio.get_running_loop().time()

    def stamp(self) -> Stamp:
        """A fresh random identity."""
        return Stamp(id=os.urandom(12).hex(), created_at=int(time.time()))
