"""What whoever has the master secret and the gateway's own store can read without any caller's token."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from isthmusd.core.keyring import Keyring, Unsealable
from isthmusd.core.tokens import KEY_PREFIX, KEY_TYPE, mint
from isthmusd.core.vault import Lock, Vault

from tests.system.caching import chat_body, fresh_text, holds, post, rows
from tests.system.issuing import running_scene

pytestmark = pytest.mark.edge


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
