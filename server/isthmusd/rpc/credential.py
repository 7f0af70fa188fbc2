"""The typed credential service. Over HTTP the same is `OpenAIService.Credentials`, which only issues."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from isthmus.v1 import credential_pb2

from isthmusd.core.credentials import DEFAULT_TTL_S, CredentialWish, checked_model, checked_project, checked_ttl
from isthmusd.core.errors import InvalidRequest
from isthmusd.core.request import Operation
from isthmusd.core.tenants import TemporaryCredential
from isthmusd.pipeline.credentials import get_credential, issue_credential, list_credentials, revoke_credential
from isthmusd.rpc.call import Context
from isthmusd.rpc.typed import TypedCalls, answering

ENDS = "answering() ends the call or lets it return"


class CredentialServicer:
    """Implements `isthmus.v1.CredentialService`: a method for each of its methods."""

    def __init__(self, calls: TypedCalls) -> None:
        self._calls = calls

    async def CreateCredential(
        self, request: credential_pb2.CreateCredentialRequest, context: Context
    ) -> credential_pb2.CreateCredentialResponse:
        """Issue a credential of the caller's."""
        arrival = self._calls.reader.typed(context, Operation.CREDENTIALS, request)
        async with answering(context, arrival):
            issued = await issue_credential(self._calls.gateway, arrival, _wish)
            return credential_pb2.CreateCredentialResponse(key=issued.token, credential=_message(issued.credential))
        raise AssertionError(ENDS)

    async def GetCredential(
        self, request: credential_pb2.GetCredentialRequest, context: Context
    ) -> credential_pb2.GetCredentialResponse:
        """Show one of the caller's."""
        arrival = self._calls.reader.typed(context, Operation.CREDENTIALS, request)
        async with answering(context, arrival):
            found = await get_credential(self._calls.gateway, arrival, request.id)
            return credential_pb2.GetCredentialResponse(credential=_message(found))
        raise AssertionError(ENDS)

    async def ListCredentials(
        self, request: credential_pb2.ListCredentialsRequest, context: Context
    ) -> credential_pb2.ListCredentialsResponse:
        """List the caller's."""
        arrival = self._calls.reader.typed(context, Operation.CREDENTIALS, request)
        async with answering(context, arrival):
            page = await list_credentials(
                self._calls.gateway, arrival, after=request.page_token, limit=request.page_size
            )
            return credential_pb2.ListCredentialsResponse(
                credentials=[_message(each) for each in page.credentials], next_page_token=page.next or ""
            )
        raise AssertionError(ENDS)

    async def RevokeCredential(
        self, request: credential_pb2.RevokeCredentialRequest, context: Context
    ) -> credential_pb2.RevokeCredentialResponse:
        """Take back one of the caller's."""
        arrival = self._calls.reader.typed(context, Operation.CREDENTIALS, request)
        async with answering(context, arrival):
            revoked = await revoke_credential(self._calls.gateway, arrival, request.id)
            return credential_pb2.RevokeCredentialResponse(credential=_message(revoked))
        raise AssertionError(ENDS)


def _wish(request: credential_pb2.CreateCredentialRequest) -> CredentialWish:
    logging = request.logging if request.HasField("logging") else None
    compressed = logging is not None and logging.HasField("compress_audio")
    return CredentialWish(
        model=checked_model(request.model) if request.HasField("model") else None,
        ttl_s=_ttl_s(request.ttl) if request.HasField("ttl") else DEFAULT_TTL_S,
        project=None if logging is None else checked_project(logging.project_name),
        compress_audio=logging.compress_audio if logging is not None and compressed else None,
    )


def _ttl_s(ttl: Duration) -> int:
    if ttl.nanos:
        raise InvalidRequest("'ttl' must be whole seconds", param="ttl")
    return checked_ttl(ttl.seconds, "ttl")


def _message(credential: TemporaryCredential) -> credential_pb2.Credential:
    return credential_pb2.Credential(
        id=credential.id,
        model=credential.model,
        logging=_logging(credential),
        create_time=_time(credential.created_at),
        expire_time=_time(credential.expires_at),
        revoke_time=None if credential.revoked_at is None else _time(credential.revoked_at),
    )


def _logging(credential: TemporaryCredential) -> credential_pb2.CredentialLogging | None:
    if credential.project is None:
        return None
    logging = credential_pb2.CredentialLogging(project_name=credential.project)
    if credential.compress_audio is not None:
        logging.compress_audio = credential.compress_audio
    return logging


def _time(seconds: float) -> Timestamp:
    whole, part = divmod(round(seconds * 1_000_000), 1_000_000)
    return Timestamp(seconds=whole, nanos=part * 1000)
