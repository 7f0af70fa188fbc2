"""What the master secrets make: signatures, seals and names."""

from __future__ import annotations

import hmac

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from isthmusd.core.keyring import Keyring, Unsealable, WeakSecret, open_apart, seal_apart

OLD = "old-0123456789-abcdefghijklmnopqrstuvwxyz"
NEW = "new-0123456789-abcdefghijklmnopqrstuvwxyz"
NONCE = bytes(range(12))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " , ",
        "short",
        "a" * 64,
        "changeme" * 8,
        "sk-1234" * 8,
        "password-default-isthmus-example-secret",
        "ISTHMUS-SECRET-ISTHMUS-SECRET-1234567",
        f"{NEW}, short",
    ],
)
def test_r5_a_secret_that_can_be_guessed_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(WeakSecret) as caught:
        Keyring.parse(text)

    assert not any(word in str(caught.value) for word in text.replace(",", " ").split())


@pytest.mark.parametrize("text", [f"{NEW} {OLD}", f"{NEW},{OLD}", f"\n{NEW}\n{OLD}\n"])
def test_secrets_are_separated_by_white_space_or_commas_the_newest_first(text: str) -> None:
    keyring = Keyring.parse(text)

    assert keyring.signer.kid == Keyring.parse(NEW).signer.kid
    assert list(keyring.public) == [Keyring.parse(secret).signer.kid for secret in (NEW, OLD)]


def test_the_same_secret_makes_the_same_keys_and_another_makes_others() -> None:
    first, second, other = Keyring.parse(NEW), Keyring.parse(NEW), Keyring.parse(OLD)

    assert first.jwks() == second.jwks() != other.jwks()
    assert first.digest("a", "text") == second.digest("a", "text")
    assert len({first.digest("a", "text"), first.digest("b", "text"), other.digest("a", "text")}) == 3
    assert len(first.digest("a", "text")) == 64


def test_names_are_made_by_a_key_that_does_nothing_else() -> None:
    secret = b"s" * 48
    ring = Keyring([secret])

    def named_by(info: bytes) -> str:
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret)
        return hmac.new(key, b"text", "sha256").hexdigest()

    # What is sealed for a purpose is sealed by the key of this name.
    assert ring.digest("provider-key", "text") != named_by(b"isthmus/1/provider-key")
    assert ring.digest("provider-key", "text") == named_by(b"isthmus/1/name/provider-key")


def test_published_keys_hold_nothing_private() -> None:
    (entry,) = Keyring.parse(NEW).jwks()["keys"]

    assert entry.keys() == {"kty", "crv", "alg", "use", "kid", "x"}


def test_what_is_sealed_is_opened_by_its_secret_purpose_and_owner_only() -> None:
    keyring = Keyring.parse(NEW)
    sealed = keyring.seal(b"plain", nonce=NONCE, purpose="provider", owner="acme")

    assert keyring.open(sealed, purpose="provider", owner="acme") == b"plain"
    assert b"plain" not in sealed
    for opener, purpose, owner in (
        (keyring, "provider", "other"),
        (keyring, "body", "acme"),
        (Keyring.parse(OLD), "provider", "acme"),
    ):
        with pytest.raises(Unsealable):
            opener.open(sealed, purpose=purpose, owner=owner)


@pytest.mark.parametrize("place", [0, 1, 8, 9, 20, 21, -1])
def test_a_changed_byte_anywhere_is_noticed(place: int) -> None:
    keyring = Keyring.parse(NEW)
    changed = bytearray(keyring.seal(b"plain", nonce=NONCE, purpose="provider", owner="acme"))
    changed[place] ^= 1

    with pytest.raises(Unsealable):
        keyring.open(bytes(changed), purpose="provider", owner="acme")


@pytest.mark.parametrize("length", [0, 1, 8, 9, 10, 20, 21, 30])
def test_a_cut_seal_is_noticed(length: int) -> None:
    keyring = Keyring.parse(NEW)
    sealed = keyring.seal(b"plain", nonce=NONCE, purpose="provider", owner="acme")

    with pytest.raises(Unsealable):
        keyring.open(sealed[:length], purpose="provider", owner="acme")


def test_after_a_rotation_the_old_seal_still_opens_and_is_known_to_be_old() -> None:
    old, both = Keyring.parse(OLD), Keyring.parse(f"{NEW} {OLD}")
    sealed = old.seal(b"plain", nonce=NONCE, purpose="provider", owner="acme")

    assert both.open(sealed, purpose="provider", owner="acme") == b"plain"
    assert old.is_current(sealed)
    assert not both.is_current(sealed)
    assert both.sealed_by(sealed) == old.signer.kid
    assert Keyring.parse(NEW).sealed_by(sealed) is None
    assert both.is_current(both.seal(b"plain", nonce=NONCE, purpose="provider", owner="acme"))


def test_split_custody_opens_with_the_others_half_only() -> None:
    sealed = seal_apart(b"sk-provider", secret=b"theirs", nonce=NONCE, owner="tmp-1")

    assert open_apart(sealed, secret=b"theirs", owner="tmp-1") == b"sk-provider"
    for secret, owner in ((b"other", "tmp-1"), (b"theirs", "tmp-2"), (b"", "tmp-1")):
        with pytest.raises(Unsealable):
            open_apart(sealed, secret=secret, owner=owner)


def test_no_repr_shows_a_secret() -> None:
    keyring = Keyring.parse(NEW)

    assert NEW not in repr(keyring) + repr(keyring.signer) + repr(vars(keyring).get("signer"))
