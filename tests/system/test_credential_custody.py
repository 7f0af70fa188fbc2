"""Temporary credentials that stand for a caller's own provider key: the key pays, and neither what the store keeps nor
what the token says tells it to anybody.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator

import msgspec
import pytest
from isthmus.v1 import chat_pb2_grpc
from isthmusd.core.keyring import Keyring, Unsealable, open_apart
from jwt.utils import base64url_decode, base64url_encode

from tests.system.issuing import Scene, bearing, metadata, running_scene
from tests.system.typed import LIMIT_S, chat_request
from tests.system.wire import ask, chat

pytestmark = pytest.mark.edge
CHAT = "/v1/chat/completions"
PROVIDER_KEY = "sk-somebodys-own-key-at-the-provider"


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Without anonymous access."""
    with running_scene(tmp_path_factory.mktemp("closed") / "data", auth={"anonymous": False}) as running:
        yield running


async def test_a_callers_own_key_reaches_its_provider(closed: Scene) -> None:
    start = len(closed.pair.provider.requests)
    token = await closed.credential(PROVIDER_KEY, model="ok")
    nobody = await closed.wish(None)

    answer = await ask(closed.url, CHAT, chat(), headers=bearing(token))
    forwarded = await ask(closed.url, "/v1/images/generations", b'{"model":"ok"}', headers=bearing(token))
    with closed.pair.channel() as channel:
        stub = chat_pb2_grpc.ChatServiceStub(channel)
        await asyncio.to_thread(stub.CreateChatCompletion, chat_request(), metadata=metadata(token), timeout=LIMIT_S)
    other = await ask(closed.url, CHAT, chat("r429"), headers=bearing(token))

    assert (answer.status, forwarded.status, other.status, nobody.status) == (200, 200, 403, 401)
    seen = [received.header("authorization") for received in closed.pair.provider.requests[start:]]
    assert seen == [f"Bearer {PROVIDER_KEY}"] * 3


async def test_r11_neither_the_store_nor_the_token_tells_a_provider_key(closed: Scene) -> None:
    wish = await closed.wish(PROVIDER_KEY)
    name, token = wish.json()["id"], wish.json()["key"]
    await ask(closed.url, CHAT, chat(), headers=bearing(token))
    head, body, signature = token.split(".")
    claims = msgspec.json.decode(base64url_decode(body))
    with sqlite3.connect(f"file:{closed.data / 'isthmus.db'}?mode=ro", uri=True) as store:
        (custody,) = store.execute("SELECT custody FROM credentials WHERE id = ?", (name,)).fetchone()
    store.close()

    master = (closed.data / "secret").read_text().split()
    keyring = Keyring.parse("\n".join(master))
    guesses = [line.encode() for line in master]
    guesses += [token.encode(), head.encode(), body.encode(), signature.encode(), base64url_decode(signature)]
    guesses += [keyring.signer.private.private_bytes_raw(), name.encode(), bytes(32)]
    opened = [guess for guess in guesses if opens(custody, guess, name)]

    assert opened == []
    with pytest.raises(Unsealable):
        keyring.open(custody, purpose="custody", owner=name)
    assert open_apart(custody, secret=base64url_decode(claims["secret"]), owner=name) == PROVIDER_KEY.encode()
    assert written_nowhere(closed, PROVIDER_KEY.encode())
    assert written_nowhere(closed, token.encode())
    assert written_nowhere(closed, claims["secret"].encode())
    assert written_nowhere(closed, base64url_decode(claims["secret"]))
    assert PROVIDER_KEY not in head + body
    assert PROVIDER_KEY.encode() not in base64url_decode(body)


def opens(custody: bytes, secret: bytes, owner: str) -> bool:
    try:
        open_apart(custody, secret=secret, owner=owner)
    except Unsealable:
        return False
    return True


def written_nowhere(scene: Scene, secret: bytes) -> bool:
    """Whether no file that the gateway keeps, and no line that it said, has these bytes."""
    files = [path for path in scene.data.rglob("*") if path.is_file()]
    assert any(path.name == "isthmus.db" for path in files)
    return not any(secret in path.read_bytes() for path in (*files, scene.pair.gateway.log))


@pytest.mark.parametrize("alter", ["kind", "prefix", "signature", "claims", "twice"])
async def test_a_token_that_was_altered_is_refused_and_reaches_nobody(closed: Scene, alter: str) -> None:
    token = await closed.credential(model="ok")
    head, body, signature = token.split(".")
    claims = msgspec.json.decode(base64url_decode(body))
    forged = base64url_encode(msgspec.json.encode({**claims, "model": "r429"})).decode()
    altered = {
        "kind": closed.key.removeprefix("isk_"),
        "prefix": f"isk_{token}",
        "signature": f"{head}.{body}.{signature[:-4]}AAAA",
        "claims": f"{head}.{forged}.{signature}",
        "twice": f"{token}.{signature}",
    }[alter]
    start = len(closed.pair.provider.requests)

    calling = await ask(closed.url, CHAT, chat("r429"), headers=bearing(altered))
    issuing = await closed.wish(altered)

    assert {(answer.status, answer.error["type"]) for answer in (calling, issuing)} == {(401, "authentication_error")}
    assert len(closed.pair.provider.requests) == start
