"""The typed credential service. Issuing credentials needs keys of this gateway, which it does not have."""

from __future__ import annotations

from typing import Any

from isthmusd.core.request import Operation
from isthmusd.pipeline.credentials import refuse_credentials
from isthmusd.rpc.call import Context
from isthmusd.rpc.typed import TypedCalls, answering


class CredentialServicer:
    """Answers UNIMPLEMENTED to every method of `isthmus.v1.CredentialService`."""

    def __init__(self, calls: TypedCalls) -> None:
        self._calls = calls

    async def CreateCredential(self, request: Any, context: Context) -> None:
        """Refuse."""
        await self._refuse(request, context)

    async def GetCredential(self, request: Any, context: Context) -> None:
        """Refuse."""
        await self._refuse(request, context)

    async def ListCredentials(self, request: Any, context: Context) -> None:
        """Refuse."""
        await self._refuse(request, context)

    async def RevokeCredential(self, request: Any, context: Context) -> None:
        """Refuse."""
        await self._refuse(request, context)

    async def _refuse(self, request: Any, context: Context) -> None:
        arrival = self._calls.reader.typed(context, Operation.CREDENTIALS, request)
        async with answering(context, arrival):
            await refuse_credentials(self._calls.gateway, arrival)
