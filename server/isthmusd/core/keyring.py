"""The gateway's own secrets: what is derived from them to sign, to seal and to name. Where they come from is
`stores/provision.py`'s.

One master secret makes everything: a signing key by HKDF, an encryption key for each purpose by HKDF. Several may be
given, the newest first: the first one signs and seals, the others still verify and open.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MIN_LENGTH = 32
MIN_DIFFERENT = 12
"""Characters: a secret of fewer is a word or a repetition, not chance."""
KNOWN = ("changeme", "secret", "password", "default", "example", "isthmus", "sk-1234")
"""What stands in guides; a secret that is made of these only is everybody's."""
VERSION = b"\x01"
ID_BYTES = 8
NONCE_BYTES = 12
HEAD = len(VERSION) + ID_BYTES


class WeakSecret(ValueError):
    """The message is for the operator and holds no part of the secret."""


class Unsealable(Exception):
    """Sealed by a secret that is not here, for another purpose or owner, or changed since."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What signs, with the name by which verifiers find it."""

    kid: str
    private: Ed25519PrivateKey


class Keyring:
    """Everything that the master secrets make. Built once."""

    def __init__(self, masters: Iterable[bytes]) -> None:
        self._masters = {_id(master): master for master in masters}
        if not self._masters:
            raise WeakSecret("there is no secret")
        self._name_keys: dict[str, tuple[bytes, ...]] = {}
        signers = [_signer(master) for master in self._masters.values()]
        self.signer = signers[0]
        """The newest."""
        self.public: Mapping[str, Ed25519PublicKey] = {each.kid: each.private.public_key() for each in signers}
        """`kid` to the key that verifies."""

    @classmethod
    def parse(cls, text: str) -> Keyring:
        """Read secrets separated by white space or commas, the newest first. Raises WeakSecret."""
        secrets = text.replace(",", " ").split()
        for place, secret in enumerate(secrets, start=1):
            _refuse_weak(secret, place)
        return cls(secret.encode() for secret in secrets)

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Give the public keys as a JWK set (RFC 7517, RFC 8037)."""
        return {"keys": [_jwk(kid, public) for kid, public in self.public.items()]}

    def seal(self, plain: bytes, *, nonce: bytes, purpose: str, owner: str) -> bytes:
        """Encrypt for one purpose and owner. The nonce is 12 fresh random bytes."""
        name, master = next(iter(self._masters.items()))
        return VERSION + name + nonce + AESGCM(_derive(master, purpose)).encrypt(nonce, plain, owner.encode())

    def open(self, sealed: bytes, *, purpose: str, owner: str) -> bytes:
        """Decrypt what `seal` made. Raises Unsealable."""
        master = self._masters.get(sealed[len(VERSION) : HEAD])
        if sealed[: len(VERSION)] != VERSION or master is None:
            raise Unsealable("it was sealed by a secret that this gateway does not have")
        return _decrypt(_derive(master, purpose), sealed[HEAD:], owner)

    def is_current(self, sealed: bytes) -> bool:
        """Whether the newest secret sealed it."""
        return sealed[len(VERSION) : HEAD] == next(iter(self._masters))

    def sealed_by(self, sealed: bytes) -> str | None:
        """Tell which secret sealed it, by the `kid` that it signs with; None: one that is not here."""
        kids = dict(zip(self._masters, self.public, strict=True))
        return kids.get(sealed[len(VERSION) : HEAD])

    @property
    def newest(self) -> bytes:
        """The name of the secret that seals."""
        return next(iter(self._masters))

    def has(self, name: bytes) -> bool:
        """Whether a secret of this name is here."""
        return name in self._masters

    def subkey(self, name: bytes, purpose: str, owner: str, token: str | None) -> bytes:
        """Derive the key, 32 bytes, of one owner's things; with a token, one that nobody can derive without it."""
        salt = None if token is None else hashlib.sha256(token.encode()).digest()
        return _derive(self._masters[name], f"{purpose}/{owner}", salt)

    def names(self, purpose: str, text: bytes) -> tuple[bytes, ...]:
        """Name something by each secret, the newest first: HMAC-SHA-256, 32 bytes."""
        keys = self._name_keys.get(purpose)
        if keys is None:
            # Names are needed for every call with a provider's key; deriving costs more than naming. The keys are no
            # others': something may be sealed for a purpose of the same name.
            keys = tuple(_derive(master, f"name/{purpose}") for master in self._masters.values())
            self._name_keys[purpose] = keys
        return tuple(hmac.digest(key, text, "sha256") for key in keys)

    def digest(self, purpose: str, text: str) -> str:
        """Name a secret without keeping it: HMAC-SHA-256, 64 hex digits. Only the newest secret names."""
        return self.names(purpose, text.encode())[0].hex()


def seal_apart(plain: bytes, *, secret: bytes, nonce: bytes, owner: str) -> bytes:
    """Encrypt under a secret that somebody else keeps: neither half tells anything alone."""
    return VERSION + nonce + AESGCM(_derive(secret, "custody")).encrypt(nonce, plain, owner.encode())


def open_apart(sealed: bytes, *, secret: bytes, owner: str) -> bytes:
    """Decrypt what `seal_apart` made. Raises Unsealable."""
    return _decrypt(_derive(secret, "custody"), sealed[len(VERSION) :], owner)


def _decrypt(key: bytes, sealed: bytes, owner: str) -> bytes:
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], owner.encode())
    except (InvalidTag, ValueError):
        raise Unsealable("it was sealed for something else, or changed since") from None


def _derive(master: bytes, purpose: str, salt: bytes | None = None) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=f"isthmus/1/{purpose}".encode()).derive(master)


def _id(master: bytes) -> bytes:
    return _derive(master, "id")[:ID_BYTES]


def _signer(master: bytes) -> SigningKey:
    private = Ed25519PrivateKey.from_private_bytes(_derive(master, "sign"))
    digest = hashlib.sha256(private.public_key().public_bytes_raw()).digest()
    return SigningKey(kid=_base64url(digest[:12]), private=private)


def _jwk(kid: str, public: Ed25519PublicKey) -> dict[str, str]:
    x = _base64url(public.public_bytes_raw())
    return {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": x}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _refuse_weak(secret: str, place: int) -> None:
    advice = "make one with: openssl rand -base64 48"
    if len(secret) < MIN_LENGTH:
        raise WeakSecret(f"secret {place} has fewer than {MIN_LENGTH} characters; {advice}")
    rest = secret.lower()
    for word in KNOWN:
        rest = rest.replace(word, "")
    if len(rest) < MIN_LENGTH // 2 or len(set(secret)) < MIN_DIFFERENT:
        raise WeakSecret(f"secret {place} can be guessed; {advice}")
