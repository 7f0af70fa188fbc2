"""What whoever steals a store of cached answers learns, and what whoever writes to it can do: nothing."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import itertools
import json
import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from isthmusd.core.entry import read_entry
from isthmusd.core.keyring import Keyring, Unsealable
from isthmusd.core.tenants import ForwardGrant, GatewayKey
from isthmusd.core.vault import Lock, Vault

from tests.fakes.answers import chat_body as chat_answer
from tests.fakes.answers import sse, stream, whole
from tests.fakes.valkey import Valkey, running_valkey
from tests.system.caching import ALWAYS, HIT, chat_body, holds, post, rows, status_of
from tests.system.issuing import Scene, running_scene
from tests.system.kept_calls import settled
from tests.system.pair import eventually
from tests.system.ways import CALLS, wishing

pytestmark = pytest.mark.edge
ASKED = "canary-that-was-asked"
WORDS = ("canary-of-", "an-answer-", "that-was-", "given-in-", "pieces-of-a-stream")
ANSWERED = "".join(WORDS)
CANARIES = (ASKED, ANSWERED, *(word for word in WORDS if len(word) > 9), "canary-in-a-header", "canary-in-a-name")
WAYS = ("http chat", "http chat stream", "grpc chat", "grpc chat stream", "http completion", "http responses")
MAGICS = (b"\x1f\x8b\x08", b"\x78\x01", b"\x78\x9c", b"\x78\xda")
ZERO = bytes(32)


def pieces_of_base64(secret: bytes) -> Iterator[bytes]:
    """How a secret looks within a longer text, wherever it begins."""
    for shift in range(3):
        yield b64encode(bytes(shift) + secret)[4:-4]


def forms(secret: str) -> Iterator[bytes]:
    """How a secret may be written."""
    raw = secret.encode()
    yield from (raw, raw[::-1], raw.hex().encode(), raw.hex().upper().encode(), *pieces_of_base64(raw))
    yield raw.decode().encode("utf-16-le")
    yield json.dumps(secret)[1:-1].encode()


def unpacked(content: bytes) -> Iterator[bytes]:
    """All that some place of these bytes could be the beginning of, if it were compressed."""
    for magic in MAGICS:
        at = content.find(magic)
        while at >= 0:
            with suppress(zlib.error):
                yield zlib.decompressobj(wbits=47).decompress(content[at:], 1 << 16)
            at = content.find(magic, at + 1)


def found(secrets: Iterable[str], content: bytes) -> set[str]:
    texts = [content, *unpacked(content)]
    return {secret for secret in secrets for form in forms(secret) if any(form in text for text in texts)}


def test_the_search_finds_what_is_hidden() -> None:
    packed = io.BytesIO(b"before" + gzip.compress(ASKED.encode()))

    assert found([ASKED], b"x" + b64encode(b"ab" + ASKED.encode() + b"c")) == {ASKED}
    assert found([ASKED], ASKED.encode().hex().encode()) == {ASKED}
    assert found([ASKED], packed.getvalue()) == {ASKED}
    assert found([ASKED], b"nothing of it") == set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Robbed:
    """A gateway that has kept answers for many, and what they showed to get them."""

    scene: Scene
    store: Valkey | None
    tokens: dict[str, str | None]
    keys: dict[str, GatewayKey]


@pytest.fixture(scope="module", params=["sqlite", "valkey"])
def robbed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Robbed]:
    with ExitStack() as stack:
        settings: dict[str, Any] = {}
        store = None
        if request.param == "valkey":
            store = stack.enter_context(running_valkey("--rdbcompression", "no", port=True))
            settings["cache"] = {"url": store.url}
        scene = stack.enter_context(running_scene(tmp_path_factory.mktemp("dumps") / "data", **settings))
        scene.office.tenant("globex", forward=ForwardGrant.SHARED)
        issued = {name: scene.office.key(name) for name in ("acme", "globex")}
        tokens: dict[str, str | None] = {name: each.token for name, each in issued.items()}
        tokens |= {"credential": asyncio.run(scene.credential(issued["acme"].token)), "nobody": None}
        tokens |= {"provider key": "sk-canary-provider-key-000001"}
        robbed = Robbed(scene=scene, store=store, tokens=tokens, keys={name: each.key for name, each in issued.items()})
        asyncio.run(fill(robbed))
        yield robbed


async def fill(robbed: Robbed) -> None:
    pair = robbed.scene.pair
    named = (("x-canary", "canary-in-a-header"),)
    answer = whole(chat_answer("ok", ANSWERED), headers=named)
    async with wishing(pair.url, pair.gateway.grpc_target) as wish:
        for way, token in itertools.product(WAYS, robbed.tokens.values()):
            pair.provider.reply_always(stream(*streamed(), headers=named) if way.endswith("stream") else answer)
            heard = await CALLS[way](wish(token=token, text=f"{ASKED} {way}", more=(ALWAYS,)))
            assert heard.is_good, heard
    pair.provider.reply_always(None)
    assert await asyncio.to_thread(eventually, lambda: len(names(robbed)) == len(WAYS) * len(robbed.tokens))
    assert await asyncio.to_thread(settled, robbed.scene.data)


def streamed() -> Iterator[bytes]:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "ok"}
    for word in WORDS:
        yield sse(head | {"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]})
    yield sse(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    yield sse(b"[DONE]")


def client(store: Valkey) -> Any:
    return redis.Redis(unix_socket_path=str(store.socket))


def names(robbed: Robbed) -> list[bytes]:
    """Of what the store has."""
    if robbed.store is None:
        return [each.name for each in rows(robbed.scene.data)]
    with client(robbed.store) as connection:
        return [key for key in connection.keys("*") if b":e:" in key]


def test_no_store_tells_what_was_asked_or_answered_or_by_whom(robbed: Robbed) -> None:
    tokens = [token for token in robbed.tokens.values() if token is not None]
    signatures = [token.rpartition(".")[2] for token in tokens if "." in token]
    secrets = [*CANARIES, *tokens, *signatures, robbed.scene.office.secret]
    paths = [path for path in robbed.scene.data.rglob("*") if path.is_file() and path.name != "secret"]
    if robbed.store is not None:
        robbed.store.say("SAVE")
        paths += [path for path in robbed.store.folder.rglob("*") if path.is_file()]
    paths.append(robbed.scene.pair.gateway.log)

    searched = {path.name: found(secrets, path.read_bytes()) for path in paths}

    assert searched.keys() > ({"dump.rdb"} if robbed.store else {"cache.db"})
    assert {name: what for name, what in searched.items() if what} == {}
    if robbed.store is not None:
        with client(robbed.store) as connection:
            values = [value for key in connection.keys("*") for value in (key, connection.dump(key) or b"")]
        assert values
        assert found(secrets, b"\n".join(values)) == set()


in_sqlite = pytest.mark.parametrize("robbed", ["sqlite"], indirect=True)
"""What is sealed is the same in every store."""


def opened(vault: Vault, robbed: Robbed, locks: Iterable[Lock]) -> dict[bytes, bytes]:
    """What all of these locks open."""
    found = dict[bytes, bytes]()
    for row, lock in itertools.product(rows(robbed.scene.data), locks):
        with suppress(Unsealable):
            found[row.name] = vault.open(row.sealed, name=row.name, lock=lock)
    return found


def scope(method: str, tenant: str, key_id: str) -> str:
    return json.dumps(["credential", tenant, method, key_id], separators=(",", ":"))


def scopes(robbed: Robbed) -> list[str]:
    """All that a thief can guess, who knows everybody by name."""
    ids = {key.id for key in robbed.keys.values()}
    known = {record["key_id"] for record in records(robbed)} | ids | {"anonymous"}
    # A provider's key is named by its digest: who has the key, can name it.
    known |= {hashlib.sha256(token.encode()).hexdigest() for token in robbed.tokens.values() if token}
    tenants = {record["tenant"] for record in records(robbed)} | {"acme", "globex"}
    credentials = [scope(*each) for each in itertools.product(METHODS, tenants, known)]
    return [*credentials, *(json.dumps(["tenant", tenant], separators=(",", ":")) for tenant in tenants), ""]


METHODS = ("anonymous", "provider_key", "gateway_key", "temporary_credential", "identity_token")


def records(robbed: Robbed) -> list[dict[str, Any]]:
    lines = robbed.scene.pair.gateway.log.read_text().splitlines()
    told = (json.loads(line) for line in lines if line.startswith("{"))
    return [each for each in told if each.get("event") == "call"]


@in_sqlite
def test_with_the_secret_and_the_token_everything_opens(robbed: Robbed) -> None:
    """Otherwise the attempts would show nothing."""
    vault = Vault(Keyring.parse(robbed.scene.office.secret))
    locks = [Lock(one, token) for one, token in itertools.product(scopes(robbed), robbed.tokens.values())]
    answers = [b"".join(read_entry(plain).pieces) for plain in opened(vault, robbed, locks).values()]

    assert len(answers) == len(WAYS) * len(robbed.tokens)
    assert all(b"canary-of-" in each for each in answers)


@in_sqlite
def test_without_the_secret_nothing_opens(robbed: Robbed) -> None:
    known = [
        ZERO,
        b"",
        *(row.name for row in rows(robbed.scene.data)),
        *(row.sealed[1:9] for row in rows(robbed.scene.data)),
    ]
    master = rows(robbed.scene.data)[0].sealed[1:9]
    locks = [Lock(one, token) for one, token in itertools.product(scopes(robbed), robbed.tokens.values())]
    for guess in dict.fromkeys(known):
        keyring = Keyring([guess])
        keyring._masters[master] = guess
        assert opened(Vault(keyring), robbed, locks) == {}


@in_sqlite
def test_with_the_secret_only_what_has_no_token_opens(robbed: Robbed) -> None:
    vault = Vault(Keyring.parse(robbed.scene.office.secret))
    tokens = [None, "", *(key.id for key in robbed.keys.values()), "acme", "globex"]
    tokens += [row.name.hex() for row in rows(robbed.scene.data)[:4]]
    nobodys = opened(vault, robbed, [Lock(scope("anonymous", *who), None) for who in nobody(robbed)])
    locks = [Lock(one, token) for one, token in itertools.product(scopes(robbed), tokens)]

    assert len(nobodys) == len(WAYS)
    assert opened(vault, robbed, locks).keys() == nobodys.keys()


def nobody(robbed: Robbed) -> set[tuple[str, str]]:
    return {(each["tenant"], each["key_id"]) for each in records(robbed) if "anonym" in json.dumps(each)}


@in_sqlite
def test_one_callers_token_opens_no_other_callers_answers(robbed: Robbed) -> None:
    vault = Vault(Keyring.parse(robbed.scene.office.secret))
    mine = robbed.tokens["acme"]
    own = opened(vault, robbed, [Lock(one, mine) for one in scopes(robbed)])
    with_any_name = {row.name for row in rows(robbed.scene.data)}

    assert len(own) == len(WAYS)
    for row, name in itertools.product(rows(robbed.scene.data), with_any_name):
        if row.name != name:
            for one in scopes(robbed)[:40]:
                with pytest.raises(Unsealable):
                    vault.open(row.sealed, name=name, lock=Lock(one, mine))


@in_sqlite
async def test_names_tell_nobody_what_was_asked(robbed: Robbed) -> None:
    """The same question by others, or in other words, has no name in common; nor has it under another secret."""
    before = {row.name for row in rows(robbed.scene.data)}
    token = robbed.scene.office.key("acme").token
    answer = await post(robbed.scene.pair, chat_body(f"{ASKED} http chat"), ALWAYS, token=token)
    kept = await asyncio.to_thread(holds, robbed.scene.data, len(before) + 1)
    after = [row for row in rows(robbed.scene.data) if row.name not in before]

    assert kept
    assert answer.status == 200
    assert len(after) == 1
    assert {len(name) for name in before} == {32}
    assert status_of(await post(robbed.scene.pair, chat_body(f"{ASKED} http chat"), ALWAYS, token=token)) == HIT
