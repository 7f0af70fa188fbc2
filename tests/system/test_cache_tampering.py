"""Whoever writes to a store of cached answers makes misses, never wrong answers; and what a rotation of the secret does
to what is kept."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from isthmusd.core.keyring import Keyring
from isthmusd.core.tenants import ForwardGrant
from isthmusd.core.vault import Lock, Vault

from tests.fakes.answers import chat_body as chat_answer
from tests.fakes.answers import whole
from tests.fakes.provider import FakeProvider
from tests.system.background import in_background
from tests.system.caching import (
    HIT,
    MISS,
    Row,
    asked,
    before,
    change,
    chat_body,
    faults,
    fresh_text,
    holds,
    metric,
    post,
    rows,
    status_of,
)
from tests.system.callers import Office
from tests.system.issuing import Scene
from tests.system.pair import eventually, running_pair
from tests.system.wire import Response

pytestmark = pytest.mark.edge
SET = "UPDATE sealed_1 SET sealed = ? WHERE number = (SELECT number FROM entries_1 WHERE name = ?)"
OLD = "an-old-secret-of-tests-0123456789-abcdefghijk"
NEW = "a-newer-secret-of-tests-9876543210-zyxwvutsrq"


@pytest.fixture(scope="module", params=["credential", "tenant"])
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Nothing is kept in memory: every call reads the file. With one worker each reading is counted once."""
    data = tmp_path_factory.mktemp("tampering") / "data"
    with Office(data) as office:
        for tenant in ("acme", "globex"):
            office.tenant(tenant, forward=ForwardGrant.SHARED)
        key = office.key("acme").token
        with running_pair(1, data=str(data), cache={"memory_bytes": 0, "scope": request.param}) as pair:
            yield Scene(pair=pair, office=office, key=key, data=data)


async def kept(scene: Scene, text: str, token: str | None, says: str) -> Row:
    """Have an answer kept, and find it in the file."""
    known = {row.name for row in rows_of(scene)}
    scene.pair.provider.reply_with(whole(chat_answer("ok", says)))
    answer = await ask(scene, text, token)
    assert status_of(answer) == MISS
    assert await asyncio.to_thread(holds, scene.data, len(known) + 1)
    (row,) = [row for row in rows_of(scene) if row.name not in known]
    return row


def rows_of(scene: Scene) -> list[Row]:
    return rows(scene.data) if (scene.data / "cache.db").exists() else []


async def ask(scene: Scene, text: str, token: str | None) -> Response:
    return await post(scene.pair, chat_body(text), token=token)


def content(answer: Response) -> str:
    return answer.json()["choices"][0]["message"]["content"]


CHANGES: Mapping[str, Callable[[bytes], bytes]] = {
    "version": lambda sealed: b"\x02" + sealed[1:],
    "version of nobody": lambda sealed: b"\x00" + sealed[1:],
    "name of the secret": lambda sealed: flipped(sealed, 1),
    "nonce": lambda sealed: flipped(sealed, 9),
    "first byte": lambda sealed: flipped(sealed, 21),
    "middle": lambda sealed: flipped(sealed, len(sealed) // 2),
    "tag": lambda sealed: flipped(sealed, len(sealed) - 1),
    "cut": lambda sealed: sealed[:-1],
    "longer": lambda sealed: sealed + b"\0",
    "head alone": lambda sealed: sealed[:21],
    "nothing": lambda _: b"",
    "one byte": lambda sealed: sealed[:1],
    "chance": lambda sealed: os.urandom(len(sealed)),
    "chance with a good head": lambda sealed: sealed[:21] + os.urandom(len(sealed) - 21),
    "plain text": lambda _: b'{"choices":[{"message":{"content":"evil"}}]}',
}


def flipped(sealed: bytes, at: int) -> bytes:
    return sealed[:at] + bytes((sealed[at] ^ 1,)) + sealed[at + 1 :]


@pytest.mark.parametrize("what", CHANGES)
async def test_a_changed_entry_is_a_miss_that_is_counted(scene: Scene, what: str) -> None:
    text = fresh_text()
    row = await kept(scene, text, scene.key, "right")
    count = metric(scene.pair, "isthmus_cache_store_errors_total", operation="get", kind="sealed")

    assert change(scene.data, SET, CHANGES[what](row.sealed), row.name) == 1
    scene.pair.provider.reply_with(whole(chat_answer("ok", "new")))
    missed = await ask(scene, text, scene.key)
    rewritten = await asyncio.to_thread(
        eventually, lambda: any(each.name == row.name and len(each.sealed) > 100 for each in rows(scene.data))
    )
    hit = await ask(scene, text, scene.key)

    assert (*status_of(missed), content(missed)) == (*MISS, "new")
    assert rewritten
    assert (*status_of(hit), content(hit)) == (*HIT, "new")
    assert metric(scene.pair, "isthmus_cache_store_errors_total", operation="get", kind="sealed") == count + 1


@pytest.mark.parametrize(
    "plain", [b"", b"\xc1", b"\x80", b"\x93\x01\x02\x03", bytes(range(60))], ids=lambda plain: plain[:4].hex()
)
async def test_what_opens_and_is_no_entry_is_a_miss_that_is_counted(scene: Scene, plain: bytes) -> None:
    """As a version of ours might have written it that did not change the number."""
    text, vault = fresh_text(), Vault(Keyring.parse(scene.office.secret))
    row = await kept(scene, text, None, "right")
    count = metric(scene.pair, "isthmus_cache_store_errors_total", operation="get", kind="unreadable")

    vault.open(row.sealed, name=row.name, lock=NOBODYS)
    sealed = vault.seal(plain, name=row.name, lock=NOBODYS, nonce=os.urandom(12))
    assert change(scene.data, SET, sealed, row.name) == 1
    missed = await ask(scene, text, None)
    rewritten = await asyncio.to_thread(
        eventually, lambda: any(each.name == row.name and each.sealed != sealed for each in rows(scene.data))
    )
    hit = await ask(scene, text, None)

    assert [status_of(missed), status_of(hit)] == [MISS, HIT]
    assert rewritten
    assert metric(scene.pair, "isthmus_cache_store_errors_total", operation="get", kind="unreadable") == count + 1


NOBODYS = Lock('["credential","default","anonymous","anonymous"]', None)


@pytest.mark.parametrize("pair_of", ["same key", "other key", "other tenant", "nobody"])
@pytest.mark.parametrize("how", ["sealed", "names"])
async def test_entries_that_changed_places_are_misses(scene: Scene, pair_of: str, how: str) -> None:
    others = {
        "same key": scene.key,
        "other key": scene.office.key("acme").token,
        "other tenant": scene.office.key("globex").token,
        "nobody": None,
    }
    one, other = fresh_text(), fresh_text()
    first = await kept(scene, one, scene.key, "of one")
    second = await kept(scene, other, others[pair_of], "of another")

    swap(scene, first, second, how)
    answers = [await ask(scene, one, scene.key), await ask(scene, other, others[pair_of])]

    assert [status_of(each) for each in answers] == [MISS, MISS]
    assert {content(each) for each in answers}.isdisjoint({"of one", "of another"})


def swap(scene: Scene, first: Row, second: Row, how: str) -> None:
    match how:
        case "sealed":
            change(scene.data, SET, second.sealed, first.name)
            change(scene.data, SET, first.sealed, second.name)
        case _:
            for old, new in ((first.name, bytes(32)), (second.name, first.name), (bytes(32), second.name)):
                assert change(scene.data, "UPDATE entries_1 SET name = ? WHERE name = ?", new, old) == 1


async def test_an_entry_told_to_live_on_ends_all_the_same(scene: Scene) -> None:
    """What counts is what was sealed."""
    text = fresh_text()
    scene.pair.provider.reply_with(whole(chat_answer("ok", "old")))
    await post(scene.pair, chat_body(text), ("x-isthmus-cache-ttl", "1"), token=scene.key)
    there = await asyncio.to_thread(eventually, lambda: change(scene.data, LONGER) > 0)
    await asyncio.sleep(1.1)

    assert there
    assert status_of(await ask(scene, text, scene.key)) == MISS


LONGER = (
    "UPDATE entries_1 SET expires_at = expires_at + 1000, stored_at = stored_at + 1000 WHERE expires_at - stored_at < 2"
)


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with in_background(FakeProvider()) as running:
        yield running


async def test_what_an_older_secret_sealed_stays_readable_while_it_is_loaded(
    tmp_path: Path, provider: FakeProvider
) -> None:
    text, got = fresh_text(), dict[str, list[tuple[int, str | None]]]()
    with Office(tmp_path) as office:
        office.tenant("acme")
        old, key = office.secret, office.key("acme").token
        tokens: dict[str, str | None] = {"nobody": None, "key": key, "provider key": "sk-provider-key-0001"}
        for secret in (old, f"{NEW}\n{old}", f"{NEW}\n{old}"):
            (tmp_path / "secret").write_text(secret)
            with before(provider, data=str(tmp_path)) as pair:
                if "credential" not in tokens:
                    issued = await post(pair, {}, path="/v1/credentials", token=key)
                    tokens["credential"] = issued.json()["key"]
                for caller, token in tokens.items():
                    said = [status_of(await post(pair, chat_body(text), token=token)) for _ in range(6)]
                    got.setdefault(caller, []).extend(said)
                there = await asyncio.to_thread(holds, tmp_path, len(tokens))
                failed = faults(pair)
                assert there
                assert failed == 0

    assert got == {caller: [MISS, *[HIT] * 17] for caller in tokens}
    assert asked(provider, text) == len(tokens)


async def test_what_a_lost_secret_sealed_is_a_miss(tmp_path: Path, provider: FakeProvider) -> None:
    text, got = fresh_text(), dict[str | None, list[tuple[int, str | None]]]()
    tokens = (None, "sk-provider-key-0001")
    for count, secret in enumerate((OLD, NEW), start=1):
        with before(provider, data=str(tmp_path), secret=secret) as pair:
            for token in tokens:
                said = [status_of(await post(pair, chat_body(text), token=token)) for _ in range(4)]
                got.setdefault(token, []).extend(said)
            there = await asyncio.to_thread(holds, tmp_path, count * len(tokens))
            assert there
            assert faults(pair) == 0

    assert got == {token: [MISS, HIT, HIT, HIT] * 2 for token in tokens}
