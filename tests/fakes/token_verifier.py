"""An operator's token verifier on a real socket, by the contract in `verifier.proto`."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
from isthmus.v1.verifier_pb2 import VerifyTokenRequest, VerifyTokenResponse
from isthmus.v1.verifier_pb2_grpc import TokenVerifierServicer, add_TokenVerifierServicer_to_server


class FakeTokenVerifier(TokenVerifierServicer):
    """Answers are by token; a status is an error. Other tokens are not good. `asked` holds the tokens."""

    def __init__(self) -> None:
        self.answers: dict[str, VerifyTokenResponse | grpc.StatusCode] = {}
        self.delay_s = 0.0
        self.asked: list[str] = []
        self.address = "127.0.0.1:0"
        self._arrived = asyncio.Condition()

    async def VerifyToken(self, request: VerifyTokenRequest, context: Any) -> VerifyTokenResponse:
        async with self._arrived:
            self.asked.append(request.token)
            self._arrived.notify_all()
        await asyncio.sleep(self.delay_s)
        match self.answers.get(request.token, grpc.StatusCode.UNAUTHENTICATED):
            case VerifyTokenResponse() as answer:
                return answer
            case status:
                # As a careless service does: it repeats the secret.
                await context.abort(status, f"not good: {request.token}")
                raise AssertionError("abort raises")

    async def was_asked(self, count: int) -> None:
        """Wait until so many questions have come."""
        async with asyncio.timeout(10), self._arrived:
            await self._arrived.wait_for(lambda: len(self.asked) >= count)

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        add_TokenVerifierServicer_to_server(self, self._server)
        port = self._server.add_insecure_port(self.address)
        if not self.address.startswith("unix:"):
            self.address = f"127.0.0.1:{port}"
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.stop(0)
