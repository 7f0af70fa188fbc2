"""Temporary credentials: what may be wished for, who may give it, and what their tokens say. How a wish is written is
the business of `dialects/openai/credentials.py` and `rpc/credential.py`; whom a token stands for, of
`pipeline/callers.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from isthmusd.core.call import Principal
from isthmusd.core.errors import CredentialExpired, InvalidRequest
from isthmusd.core.tenants import Grants, Issuer, TemporaryCredential
from isthmusd.core.tokens import Claims, to_base64url

DEFAULT_TTL_S = 600
MAX_TTL_S = 86_400
MODEL_LENGTH = 512
PROJECT_LENGTH = 256
"""Characters. The token holds both, and no token may be longer than `tokens.MAX_BYTES`."""
PROJECT_FIELD = "logging.project_name"
SECRET_BYTES = 32
ID_PREFIX = "tmp_"


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialWish:
    """What a new credential shall be able to do. Made of checked parts."""

    model: str | None = None
    """The only model that may be named with it; None: all that its issuer may use."""
    ttl_s: int = DEFAULT_TTL_S
    project: str | None = None
    compress_audio: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A new credential, with the token that is shown once."""

    credential: TemporaryCredential
    token: str = field(repr=False)


def checked_ttl(seconds: float, param: str) -> int:
    """Give a lifetime in whole seconds. Raises InvalidRequest."""
    # NaN is within no bounds.
    if not 1 <= seconds <= MAX_TTL_S or seconds != math.floor(seconds):
        raise InvalidRequest(f"'{param}' must be a whole number of seconds from 1 to {MAX_TTL_S}", param=param)
    return int(seconds)


def checked_model(name: str) -> str:
    """Give a model's name. Raises InvalidRequest."""
    return _checked_text(name, "model", MODEL_LENGTH)


def checked_project(name: str) -> str:
    """Give a project's name. Raises InvalidRequest."""
    return _checked_text(name, PROJECT_FIELD, PROJECT_LENGTH)


def refuse_beyond(wish: CredentialWish, grants: Grants) -> None:
    """Raise PermissionDenied for what the issuer may not use himself."""
    if wish.model is not None:
        grants.refuse_model(wish.model, "model")
    if wish.project is not None:
        grants.refuse_project(wish.project, PROJECT_FIELD)


def issuer_of(principal: Principal) -> Issuer:
    """Name a caller as the issuer of credentials."""
    return Issuer(method=principal.method.value, id=principal.key_id)


def credential_of(wish: CredentialWish, principal: Principal, *, name: str, now: float) -> TemporaryCredential:
    """Make what a caller wishes for; `name` is new and random. It does not outlive its issuer.

    Raises CredentialExpired if that would leave it no time.
    """
    # Tokens tell whole seconds, and what is kept must say the same.
    expires_at = math.floor(now) + wish.ttl_s
    if principal.expires_at is not None:
        expires_at = min(expires_at, math.floor(principal.expires_at))
    if expires_at <= now:
        raise CredentialExpired("your own key is about to expire: no credential of it could be used")
    return TemporaryCredential(
        id=ID_PREFIX + name,
        tenant=principal.tenant,
        issuer=issuer_of(principal),
        model=wish.model,
        project=wish.project,
        compress_audio=wish.compress_audio,
        created_at=now,
        expires_at=float(expires_at),
    )


def claims_of(
    credential: TemporaryCredential, *, gateway: str, salt: bytes, secret: bytes | None, stored: bool = False
) -> Claims:
    """Give what the token says; `secret` opens the custody of a caller's provider key and is nowhere else.

    `salt` is stored nowhere either: without it, whoever has the master secret and the store could make the token again,
    and read what is kept for it. `stored`: its issuer is an identity that the store put to the tenant.
    """
    told: dict[str, str | int | None] = {
        "iss": gateway,
        "aud": gateway,
        "jti": credential.id,
        "tenant": credential.tenant,
        "iat": math.floor(credential.created_at),
        "exp": math.floor(credential.expires_at),
        "model": credential.model,
        "project": credential.project,
        "salt": to_base64url(salt),
        "secret": None if secret is None else to_base64url(secret),
        "stored": stored or None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _checked_text(text: str, param: str, limit: int) -> str:
    # Not printable are control characters, which some stores refuse, and halves of surrogate pairs.
    if not text.strip() or len(text) > limit or not text.isprintable():
        raise InvalidRequest(f"'{param}' must be 1 to {limit} printable characters", param=param)
    return text
