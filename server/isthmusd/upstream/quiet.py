"""A pool whose connections owe nobody anything: one that spoke while it was idle is not used again. How requests are
written and answers read is `direct.py`'s and aiohttp's.

aiohttp keeps bytes that come to an idle connection and reads them as the answer to its next request, which is another
caller's.
"""

from __future__ import annotations

from typing import Any

import aiohttp
from aiohttp.connector import Connection

MAX_LOUD_COUNT = 8
"""How many such connections one call may meet; a server that speaks first, unasked, would go on without end."""


class QuietConnector(aiohttp.TCPConnector):
    """Gives out only connections on which nothing waits to be read."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 aiohttp's own signature
    ) -> Connection:
        """See `BaseConnector`. Raises ClientConnectionError, too."""
        for _ in range(MAX_LOUD_COUNT):
            connection = await super().connect(req, traces, timeout)
            if connection.protocol is None or not connection.protocol.should_close:
                return connection
            connection.close()
        raise aiohttp.ClientConnectionError("the server speaks before it is asked")
