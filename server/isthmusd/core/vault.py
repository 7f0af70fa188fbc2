"""How the cache names and seals its entries. The secrets are the keyring's; what an entry is, `core/entry.py` says.

A name is an HMAC: without a master secret nobody can tell whether a guessed request was made. The key of an entry is
made of the master secret, its scope and, where the scope is one credential, that credential's token, which is stored
nowhere. The scope and the name are authenticated, so that no entry opens in another's place.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from isthmusd.core.keyring import ID_BYTES, NONCE_BYTES, Keyring, Unsealable

VERSION = b"\x01"
HEAD = len(VERSION) + ID_BYTES
PURPOSE = "cache"
LOCKS = 4096
"""Keys that are remembered: to derive one costs more than to use it."""


@dataclass(frozen=True, slots=True)
class Lock:
    """What an entry is sealed for."""

    scope: str
    token: str | None
    """None: the scope alone."""

    def __repr__(self) -> str:
        return f"Lock({self.scope!r})"


class Vault:
    """Names and seals. One per worker."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._cipher = lru_cache(maxsize=LOCKS)(self._made)

    def names(self, key: bytes) -> tuple[bytes, ...]:
        """Give the names, 32 bytes each, under which an answer may be kept: the first is the one to write under, the
        others are those of older secrets."""
        return self._keyring.names(PURPOSE, key)

    def seal(self, plain: bytes, *, name: bytes, lock: Lock, nonce: bytes) -> bytes:
        """Encrypt under the newest secret. The nonce is 12 fresh random bytes."""
        master = self._keyring.newest
        return VERSION + master + nonce + self._cipher(master, lock).encrypt(nonce, plain, _bound(name, lock))

    def open(self, sealed: bytes, *, name: bytes, lock: Lock) -> bytes:
        """Decrypt what `seal` made. Raises Unsealable."""
        master, nonce = sealed[len(VERSION) : HEAD], sealed[HEAD : HEAD + NONCE_BYTES]
        if sealed[: len(VERSION)] != VERSION or not self._keyring.has(master):
            raise Unsealable("it was sealed by another version, or by a secret that this gateway does not have")
        try:
            return self._cipher(master, lock).decrypt(nonce, sealed[HEAD + NONCE_BYTES :], _bound(name, lock))
        except (InvalidTag, ValueError):
            raise Unsealable("it was sealed for something else, or changed since") from None

    def _made(self, master: bytes, lock: Lock) -> AESGCM:
        return AESGCM(self._keyring.subkey(master, PURPOSE, lock.scope, lock.token))


def _bound(name: bytes, lock: Lock) -> bytes:
    return name + lock.scope.encode()
