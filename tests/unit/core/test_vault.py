"""How entries are named and sealed: what opens, what does not, and that it stays so."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st
from isthmusd.core.keyring import Keyring, Unsealable
from isthmusd.core.vault import HEAD, Lock, Vault

OLD, NEW = b"old-0123456789-abcdefghijklmnopqrstuvwxyz", b"new-0123456789-abcdefghijklmnopqrstuvwxyz"
SCOPE = '["credential","acme","gateway_key","k1"]'
TOKEN = "isk-the-callers-token"
LOCKS = [Lock(SCOPE, TOKEN), Lock(SCOPE, None)]
NONCE = bytes(range(12))
NAME = bytes(range(32))
PLAIN = b"What is asked and answered."


def vault(*masters: bytes) -> Vault:
    return Vault(Keyring(masters))


def sealed_for(lock: Lock, by: Vault | None = None) -> bytes:
    return (by or vault(NEW)).seal(PLAIN, name=NAME, lock=lock, nonce=NONCE)


def hkdf(master: bytes, info: str, salt: bytes | None = None) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info.encode()).derive(master)


@given(st.binary(), st.binary(min_size=32, max_size=32), st.text(), st.none() | st.text())
def test_what_is_sealed_opens(plain: bytes, name: bytes, scope: str, token: str | None) -> None:
    lock = Lock(scope, token)
    sealed = vault(NEW).seal(plain, name=name, lock=lock, nonce=NONCE)

    assert vault(NEW).open(sealed, name=name, lock=lock) == plain
    assert len(plain) < 8 or plain not in sealed


@pytest.mark.parametrize("lock", LOCKS, ids=["token", "scope"])
def test_nothing_else_opens_it(lock: Lock) -> None:
    sealed = sealed_for(lock)
    others = [
        (vault(NEW), NAME, Lock('["credential","acme","gateway_key","k2"]', lock.token)),
        (vault(NEW), NAME, Lock('["tenant","acme"]', lock.token)),
        (vault(NEW), NAME, Lock("", lock.token)),
        (vault(NEW), bytes(32), lock),
        (vault(NEW), NAME[:-1], lock),
        (vault(NEW), NAME + SCOPE[:1].encode(), Lock(SCOPE[1:], lock.token)),
        (vault(NEW), NAME, Lock(SCOPE, "another token")),
        (vault(NEW), NAME, Lock(SCOPE, "")),
        (vault(NEW), NAME, Lock(SCOPE, None if lock.token else TOKEN)),
        (vault(OLD), NAME, lock),
    ]

    for opener, name, other in others:
        with pytest.raises(Unsealable):
            opener.open(sealed, name=name, lock=other)


@pytest.mark.parametrize("lock", LOCKS, ids=["token", "scope"])
def test_the_server_secret_alone_opens_nothing_that_a_token_locks(lock: Lock) -> None:
    sealed = sealed_for(lock)
    nonce, box = sealed[HEAD : HEAD + 12], sealed[HEAD + 12 :]
    guesses = [
        hkdf(NEW, f"isthmus/1/cache/{SCOPE}"),
        hkdf(NEW, f"isthmus/1/cache/{SCOPE}", b""),
        hkdf(NEW, "isthmus/1/cache"),
    ]
    opened: list[bytes] = []

    for key in guesses:
        try:
            opened.append(AESGCM(key).decrypt(nonce, box, NAME + SCOPE.encode()))
        except InvalidTag:
            continue

    assert opened == ([] if lock.token else [PLAIN, PLAIN])


def test_every_flipped_bit_is_noticed() -> None:
    sealed = sealed_for(LOCKS[0])

    for place in range(len(sealed)):
        for bit in range(8):
            changed = bytearray(sealed)
            changed[place] ^= 1 << bit
            with pytest.raises(Unsealable):
                vault(NEW).open(bytes(changed), name=NAME, lock=LOCKS[0])


def test_every_cut_is_noticed() -> None:
    sealed = sealed_for(LOCKS[0])

    for length in range(len(sealed)):
        with pytest.raises(Unsealable):
            vault(NEW).open(sealed[:length], name=NAME, lock=LOCKS[0])
    with pytest.raises(Unsealable):
        vault(NEW).open(sealed + b"\0", name=NAME, lock=LOCKS[0])


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_is_not_read(version: int) -> None:
    with pytest.raises(Unsealable):
        vault(NEW).open(bytes([version]) + sealed_for(LOCKS[0])[1:], name=NAME, lock=LOCKS[0])


def test_after_a_rotation_what_the_old_secret_sealed_opens_and_the_newest_seals() -> None:
    old, both = vault(OLD), vault(NEW, OLD)

    for lock in LOCKS:
        assert both.open(sealed_for(lock, old), name=NAME, lock=lock) == PLAIN
        assert vault(NEW).open(sealed_for(lock, both), name=NAME, lock=lock) == PLAIN
        with pytest.raises(Unsealable):
            old.open(sealed_for(lock, both), name=NAME, lock=lock)


def test_after_a_rotation_the_old_name_is_looked_for_after_the_new_one() -> None:
    assert vault(NEW, OLD).names(b"key") == (*vault(NEW).names(b"key"), *vault(OLD).names(b"key"))
    assert vault(NEW).names(b"key") != vault(OLD).names(b"key")


@given(st.binary(), st.binary())
def test_names_are_equal_for_equal_keys_only(one: bytes, other: bytes) -> None:
    named = vault(NEW)

    assert (named.names(one) == named.names(other)) == (one == other)
    assert {len(name) for name in named.names(one)} == {32}


def test_names_do_not_repeat_between_purposes() -> None:
    ring = Keyring([NEW])

    named = {ring.names(purpose, b"key") for purpose in ("cache", "provider-key", "", "name/cache", "cache/")}

    assert len(named) == 5
    assert Vault(ring).names(b"key") == ring.names("cache", b"key")


def test_names_stay_what_they_are() -> None:
    key = hkdf(NEW, "isthmus/1/name/cache")

    assert vault(NEW).names(b"key") == (hmac.new(key, b"key", "sha256").digest(),)
    assert vault(NEW).names(b"key")[0].hex() == "4f52f52475f783e16ebce6c4c759b6d97f8f2aac29b6f083c9b9b9adf6dc9833"


@pytest.mark.parametrize("lock", LOCKS, ids=["token", "scope"])
def test_seals_stay_what_they_are(lock: Lock) -> None:
    salt = None if lock.token is None else hashlib.sha256(lock.token.encode()).digest()
    key = hkdf(NEW, f"isthmus/1/cache/{lock.scope}", salt)
    box = AESGCM(key).encrypt(NONCE, PLAIN, NAME + lock.scope.encode())

    assert sealed_for(lock) == b"\x01" + hkdf(NEW, "isthmus/1/id")[:8] + NONCE + box


@pytest.mark.parametrize(
    ("lock", "digest"),
    list(
        zip(
            LOCKS,
            (
                "4d6d914795911313e3ddbcc7e6d3533e1eed7bcb73e7bc8a3c0193d01761cba8",
                "e8ddb734f8795c2d78829fba37ad438225e0a0ee126103c113c89d9d526888cd",
            ),
            strict=True,
        )
    ),
    ids=["token", "scope"],
)
def test_seals_stay_the_same_bytes(lock: Lock, digest: str) -> None:
    assert hashlib.sha256(sealed_for(lock)).hexdigest() == digest


def test_an_empty_token_is_a_token() -> None:
    sealed = sealed_for(Lock(SCOPE, ""))

    assert vault(NEW).open(sealed, name=NAME, lock=Lock(SCOPE, "")) == PLAIN
    with pytest.raises(Unsealable):
        vault(NEW).open(sealed, name=NAME, lock=Lock(SCOPE, None))


def test_more_locks_than_are_remembered() -> None:
    keeper = vault(NEW)
    locks = [Lock(f"scope {number}", TOKEN) for number in range(5_000)]
    sealed = [keeper.seal(b"", name=NAME, lock=lock, nonce=NONCE) for lock in locks]

    assert len(set(sealed)) == len(locks)
    assert keeper.open(sealed[0], name=NAME, lock=locks[0]) == b""


def test_no_repr_shows_a_token_or_a_secret() -> None:
    shown = repr(Lock(SCOPE, TOKEN)) + repr(vault(NEW))

    assert TOKEN not in shown
    assert NEW.decode() not in shown
    assert SCOPE in shown
    with pytest.raises(Unsealable) as caught:
        vault(NEW).open(sealed_for(LOCKS[0]), name=NAME, lock=LOCKS[1])
    assert TOKEN not in f"{caught.value!r}{caught.value.__cause__!r}"
