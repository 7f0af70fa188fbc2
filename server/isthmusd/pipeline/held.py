"""An answer, and what must stay open while it is used. Which answer that is, `attempts.py` decides.

Written out where `@asynccontextmanager` and an exit stack would do: every call comes through here, and a whole answer
holds nothing open.
"""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import AsyncExitStack
from types import TracebackType

from isthmusd.core.reply import Reply


class Connections:
    """What a call opened; nothing costs nothing."""

    __slots__ = ("_stack",)

    def __init__(self) -> None:
        self._stack: AsyncExitStack | None = None

    def stack(self) -> AsyncExitStack:
        """Give the stack to push onto."""
        if self._stack is None:
            self._stack = AsyncExitStack()
        return self._stack

    async def aclose(self) -> None:
        """Close all of it; more may be opened afterwards."""
        if self._stack is not None:
            await self._stack.aclose()


class Held:
    """An answer that is waited for when this is entered; leaving closes its connections. Entered once, by one task."""

    __slots__ = ("_answer", "_connections")

    def __init__(self, answer: Awaitable[Reply], connections: Connections) -> None:
        self._answer = answer
        self._connections = connections

    async def __aenter__(self) -> Reply:
        try:
            return await self._answer
        except BaseException:
            await self._connections.aclose()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connections.aclose()
