"""Asks the operator's own service (`isthmus.v1.TokenVerifier`) about tokens of kinds that the gateway does not know.
Its answers are remembered by `pipeline/callers.py`.

Calls that bring the same token at the same time share one question, and it is nobody's: a caller who gives up does not
end it for the others. A token is in no log, and what the service says of an error is not either: it may repeat it.
"""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Self

import grpc
import grpc.aio
from isthmus.v1.verifier_pb2 import VerifyTokenRequest, VerifyTokenResponse
from isthmus.v1.verifier_pb2_grpc import TokenVerifierStub

from isthmusd.core.errors import GatewayError, Unavailable
from isthmusd.core.identity import Identity, is_name, refuse_foreign
from isthmusd.core.issuers import VERIFIER
from isthmusd.core.remembered import fingerprint
from isthmusd.core.tokens import Unverified, unknown_key
from isthmusd.upstream.options import HookOptions

LOG = logging.getLogger(__name__)
MAX_QUESTIONS = 256
"""At once. More are made-up tokens, or a service that is too slow to be asked more."""
CHANNEL = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 64 * 1024),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
"""It is near and it is known: a restart of it is over in a second for us, too."""


class VerifierHook:
    """The service. One per worker; enter it before the first token."""

    def __init__(self, options: HookOptions) -> None:
        self._options = options
        self._channel: grpc.aio.Channel | None = None
        self._questions: dict[bytes, asyncio.Task[Identity | GatewayError]] = {}

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(self._options.address, options=CHANNEL)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        questions = tuple(self._questions.values())
        for question in questions:
            question.cancel()
        await asyncio.gather(*questions, return_exceptions=True)
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    def wants(self, token: str, said: Unverified | None) -> bool:
        """Whether a token is the service's business: a JWT, whose issuer nobody here knows, or one with its prefix."""
        return said is not None or token.startswith(self._options.prefixes)

    async def verify(self, token: str) -> Identity:
        """Ask about a token; see `pipeline.ports.TokenHook`."""
        name = fingerprint(token)
        question = self._questions.get(name)
        if question is None:
            if self._channel is None or len(self._questions) >= MAX_QUESTIONS:
                raise _unavailable()
            question = asyncio.get_running_loop().create_task(self._ask(self._channel, token))
            self._questions[name] = question
            question.add_done_callback(lambda _: self._questions.pop(name, None))
        await asyncio.wait((question,))
        if question.cancelled():
            raise _unavailable()
        match question.result():
            case Identity() as identity:
                return identity
            case error:
                # Each caller gets one of his own: raising one in many places grows its traceback without end.
                raise type(error)(error.message, code=error.code, retry_after_s=error.retry_after_s)

    async def _ask(self, channel: grpc.aio.Channel, token: str) -> Identity | GatewayError:
        stub = TokenVerifierStub(channel)
        try:
            answer = await stub.VerifyToken(VerifyTokenRequest(token=token), timeout=self._options.timeout_s)
            return self._read(answer)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                return unknown_key()
            LOG.warning("the token verifier at %s fails: %s", self._options.address, error.code().name)
            return _unavailable()
        except GatewayError as error:
            return error

    def _read(self, answer: VerifyTokenResponse) -> Identity:
        """Check an answer. Raises Unavailable, PermissionDenied."""
        if not is_name(answer.subject):
            LOG.warning("the token verifier at %s gives no usable subject", self._options.address)
            raise _unavailable()
        tenant = answer.tenant or None
        refuse_foreign(tenant, self._options.tenants)
        end = answer.expire_time
        return Identity(
            issuer=VERIFIER,
            subject=answer.subject,
            tenant=tenant,
            expires_at=end.seconds + end.nanos / 1e9 if answer.HasField("expire_time") else None,
        )


def _unavailable() -> Unavailable:
    return Unavailable(
        "this token cannot be verified now; try again", code="identity_provider_unavailable", retry_after_s=1.0
    )
