"""The typed credential service. Issuing credentials needs keys of this gateway, which it does not have yet."""

from __future__ import annotations

from isthmus.v1 import credential_pb2_grpc


class CredentialServicer(credential_pb2_grpc.CredentialServiceServicer):
    """Answers UNIMPLEMENTED to every method: the generated base does."""
