"""What whoever has the master secret and the gateway's own store can read without any caller's token, and what becomes
of a provider key's answers when the secret is rotated."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from isthmusd.core.keyring import Keyring, Unsealable
from isthmusd.core.tokens import KEY_PREFIX, KEY_TYPE, mint
from isthmusd.core.vault import Lock, Vault

from tests.fakes.provider import FakeProvider
from tests.system.background import in_background
from tests.system.caching import HIT, MISS, before, chat_body, fresh_text, holds, post, rows, status_of
from tests.system.callers import Office
from tests.system.issuing import running_scene

pytestmark = pytest.mark.edge
NEW = "a-newer-secret-of-tests-9876543210-zyxwvutsrq"


async def test_a_key_cannot_be_signed_again_from_what_the_store_knows(tmp_path: Path) -> None:
    """Signatures of Ed25519 are always the same: a key whose claims are all in the store is the caller's own again."""
    with running_scene(tmp_path) as scene:
        issued = scene.office.key("acme")
        await post(scene.pair, chat_body(fresh_text()), token=issued.token)
        assert await asyncio.to_thread(holds, tmp_path, 1)
        office, key = scene.office, issued.key
        keyring = Keyring.parse(office.secret)
        claims = {"iss": office.issuer, "aud": office.issuer, "jti": key.id, "tenant": key.tenant}
        token = KEY_PREFIX + mint(keyring.signer, KEY_TYPE, {**claims, "iat": int(key.created_at)})
        scope = f'["credential","acme","gateway_key","{key.id}"]'

        with pytest.raises(Unsealable):
            Vault(keyring).open(rows(tmp_path)[0].sealed, name=rows(tmp_path)[0].name, lock=Lock(scope, token))


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with in_background(FakeProvider()) as running:
        yield running


async def test_a_provider_keys_answers_outlive_a_rotation(tmp_path: Path, provider: FakeProvider) -> None:
    text, got = fresh_text(), list[tuple[int, str | None]]()
    with Office(tmp_path) as office:
        old = office.secret
    for secret in (old, f"{NEW}\n{old}"):
        (tmp_path / "secret").write_text(secret)
        with before(provider, data=str(tmp_path)) as pair:
            got += [status_of(await post(pair, chat_body(text), token="sk-provider-key-0001")) for _ in range(3)]
            assert await asyncio.to_thread(holds, tmp_path, 1)

    assert got == [MISS, *[HIT] * 5]
