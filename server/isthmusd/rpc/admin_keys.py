"""What AdminService does with gateway keys and temporary credentials. Tenants are `admin_tenants.py`'s."""

from __future__ import annotations

from collections.abc import Mapping

from isthmus.v1 import admin_pb2 as pb

from isthmusd.core.administration import KeyWish
from isthmusd.core.errors import InvalidRequest
from isthmusd.core.tenants import GatewayKey, Grants, Role, TemporaryCredential
from isthmusd.pipeline.ports import Administration
from isthmusd.rpc.admin_fields import (
    decode_duration,
    decode_grants,
    decode_time,
    encode_grants,
    encode_time,
    known,
    next_page,
    optional,
    page_limit,
    page_start,
    required,
)
from isthmusd.rpc.admin_method import Method

ROLES: Mapping[pb.KeyRole, Role] = {
    pb.KEY_ROLE_UNSPECIFIED: Role.CALLER,
    pb.KEY_ROLE_CALLER: Role.CALLER,
    pb.KEY_ROLE_ADMIN: Role.ADMIN,
}
ROLE_MESSAGES = {Role.CALLER: pb.KEY_ROLE_CALLER, Role.ADMIN: pb.KEY_ROLE_ADMIN}


def _create(store: Administration, request: pb.CreateKeyRequest) -> pb.CreateKeyResponse:
    wish = KeyWish(
        tenant=required("tenant", request.tenant),
        name=request.display_name,
        role=known("role", request.role, ROLES),
        grants=decode_grants(request.grants) if request.HasField("grants") else Grants(),
        expires_at=decode_time("expire_time", request.expire_time) if request.HasField("expire_time") else None,
    )
    issued = store.create_key(wish)
    return pb.CreateKeyResponse(token=issued.token, key=_key(issued.key))


def _get(store: Administration, request: pb.GetKeyRequest) -> pb.GetKeyResponse:
    return pb.GetKeyResponse(key=_key(store.key(required("id", request.id))))


def _list(store: Administration, request: pb.ListKeysRequest) -> pb.ListKeysResponse:
    limit = page_limit(request.page_size)
    listed = store.keys(tenant=optional("tenant", request.tenant), after=page_start(request.page_token), limit=limit)
    last = listed[-1].id if listed else ""
    return pb.ListKeysResponse(keys=[_key(each) for each in listed], next_page_token=next_page(listed, limit, last))


def _rotate(store: Administration, request: pb.RotateKeyRequest) -> pb.RotateKeyResponse:
    if not request.HasField("grace"):
        raise InvalidRequest("'grace' is required: how long the old key goes on to open", param="grace")
    issued = store.rotate_key(required("id", request.id), decode_duration("grace", request.grace))
    return pb.RotateKeyResponse(token=issued.token, key=_key(issued.key))


def _revoke(store: Administration, request: pb.RevokeKeyRequest) -> pb.RevokeKeyResponse:
    return pb.RevokeKeyResponse(key=_key(store.revoke_key(required("id", request.id))))


def _get_credential(store: Administration, request: pb.GetIssuedCredentialRequest) -> pb.GetIssuedCredentialResponse:
    found = store.credential(required("id", request.id))
    return pb.GetIssuedCredentialResponse(credential=_credential(found))


def _list_credentials(
    store: Administration, request: pb.ListIssuedCredentialsRequest
) -> pb.ListIssuedCredentialsResponse:
    limit = page_limit(request.page_size)
    listed = store.credentials(
        tenant=optional("tenant", request.tenant), after=page_start(request.page_token), limit=limit
    )
    last = listed[-1].id if listed else ""
    return pb.ListIssuedCredentialsResponse(
        credentials=[_credential(each) for each in listed], next_page_token=next_page(listed, limit, last)
    )


def _revoke_credential(
    store: Administration, request: pb.RevokeIssuedCredentialRequest
) -> pb.RevokeIssuedCredentialResponse:
    revoked = store.revoke_credential(required("id", request.id))
    return pb.RevokeIssuedCredentialResponse(credential=_credential(revoked))


KEYS: Mapping[str, Method] = {
    "CreateKey": Method(_create, ("tenant",), "key.id"),
    "GetKey": Method(_get, ("id",)),
    "ListKeys": Method(_list, ("tenant",)),
    "RotateKey": Method(_rotate, ("id",), "key.id"),
    "RevokeKey": Method(_revoke, ("id",)),
    "GetIssuedCredential": Method(_get_credential, ("id",)),
    "ListIssuedCredentials": Method(_list_credentials, ("tenant",)),
    "RevokeIssuedCredential": Method(_revoke_credential, ("id",)),
}


def _key(key: GatewayKey) -> pb.GatewayKey:
    return pb.GatewayKey(
        id=key.id,
        tenant=key.tenant,
        display_name=key.name,
        role=ROLE_MESSAGES[key.role],
        grants=encode_grants(key.grants),
        signing_key_id=key.kid,
        create_time=encode_time(key.created_at),
        expire_time=encode_time(key.expires_at),
        revoke_time=encode_time(key.revoked_at),
    )


def _credential(credential: TemporaryCredential) -> pb.IssuedCredential:
    return pb.IssuedCredential(
        id=credential.id,
        tenant=credential.tenant,
        issuer_method=credential.issuer.method,
        issuer_id=credential.issuer.id,
        model=credential.model,
        project=credential.project,
        create_time=encode_time(credential.created_at),
        expire_time=encode_time(credential.expires_at),
        revoke_time=encode_time(credential.revoked_at),
    )
