"""Which calls are the same one: what may differ between them, what may not, and what a restart changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.answers import chat_body as chat_answer
from tests.fakes.answers import whole
from tests.fakes.provider import FakeProvider
from tests.system.background import in_background
from tests.system.caching import ALWAYS, CHAT, HIT, MISS, asked, before, fresh_text, holds, post, status_of, told
from tests.system.pair import Pair, running_pair
from tests.system.ways import CALLS, wishing

pytestmark = pytest.mark.edge
SEED = 12345678901234567890123


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    box = {"api_key": "box-key", "endpoint": "other", "dialect": "openai", "models": ["tiny"]}
    models = {name: {"provider": "openai", "model": "ok"} for name in ("fast", "quick")}
    models["tiny"] = {"provider": "box", "model": "ok"}
    with running_pair(2, providers={"box": box}, models=models) as running:
        yield running


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A call. `{text}` in its body is a prompt of its own."""

    body: str = '{"model":"ok","messages":[{"role":"user","content":"{text}"}],"temperature":0}'
    path: str = CHAT
    more: tuple[tuple[str, str], ...] = ()


def with_members(**members: Any) -> Asking:
    asking = {"model": "ok", "messages": [{"role": "user", "content": "{text}"}], "temperature": 0, **members}
    return Asking(body=json.dumps(asking, ensure_ascii=False))


USUAL = Asking()
TOOLS = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("f", "g")]


def schema(*names: str) -> dict[str, Any]:
    """Give the response format of an object with these properties."""
    properties = {name: {"type": "string"} for name in names}
    return {"type": "json_schema", "json_schema": {"name": "r", "schema": {"type": "object", "properties": properties}}}


DIFFERENT: Mapping[str, tuple[Asking, Asking]] = {
    "endpoint": (USUAL, Asking(more=(("x-isthmus-endpoint", "main"),))),
    "endpoint by its older name": (USUAL, Asking(more=(("x-bt-endpoint-name", "main"),))),
    "beta header": (USUAL, Asking(more=(("openai-beta", "assistants=v2"),))),
    "value of a beta header": (Asking(more=(("openai-beta", "a"),)), Asking(more=(("openai-beta", "b"),))),
    "other beta header": (Asking(more=(("openai-beta", "a"),)), Asking(more=(("anthropic-beta", "a"),))),
    "model": (USUAL, with_members(model="split")),
    "alias": (USUAL, with_members(model="tiny")),
    "vendor field": (USUAL, with_members(vendor_field=1)),
    "value of a vendor field": (with_members(vendor_field=1), with_members(vendor_field=2)),
    "null of a vendor field": (USUAL, with_members(vendor_field=None)),
    "kind of a value": (with_members(vendor_field=1), with_members(vendor_field=True)),
    "text of a number": (with_members(vendor_field=1), with_members(vendor_field=1.0)),
    "text or number": (with_members(vendor_field=1), with_members(vendor_field="1")),
    "long seed": (with_members(seed=SEED), with_members(seed=SEED + 1)),
    "temperature": (USUAL, with_members(temperature=0.1, seed=1)),
    "order in a schema": (
        with_members(response_format=schema("a", "b")),
        with_members(response_format=schema("b", "a")),
    ),
    "order of a list": (with_members(tools=TOOLS), with_members(tools=TOOLS[::-1])),
    "split of a text": (
        with_members(messages=[{"role": "user", "content": "{text}"}, {"role": "user", "content": "b"}]),
        with_members(messages=[{"role": "user", "content": "{text}b"}]),
    ),
    "who says it": (
        with_members(messages=[{"role": "user", "content": "{text}"}]),
        with_members(messages=[{"role": "system", "content": "{text}"}]),
    ),
    "letters in upper case": (with_members(user="ann"), with_members(user="Ann")),
    "form of letters": (with_members(user="\u00e9"), with_members(user="e\u0301")),
    "stream within a member": (with_members(metadata={"stream": "a"}), with_members(metadata={"stream": "b"})),
    "n": (USUAL, with_members(n=2)),
    "operation": (USUAL, Asking(path="/v1/completions", body='{"model":"ok","prompt":"{text}","temperature":0}')),
}
SAME: Mapping[str, tuple[Asking, Asking]] = {
    "order of names": (
        USUAL,
        Asking(body='{"temperature":0,"messages":[{"content":"{text}","role":"user"}],"model":"ok"}'),
    ),
    "spacing": (
        USUAL,
        Asking(body=' { "model" : "ok",\n"messages": [ {"role":\t"user", "content":"{text}"} ] , "temperature":0}\r\n'),
    ),
    "escapes": (with_members(user="é/"), Asking(body=with_members(user="é/").body.replace("é/", r"\u00E9\/"))),
    "order in the middle": (
        with_members(metadata={"a": "1", "b": {"c": 1, "d": 2}}),
        with_members(metadata={"b": {"d": 2, "c": 1}, "a": "1"}),
    ),
    "stream": (USUAL, with_members(stream=True)),
    "no stream": (USUAL, with_members(stream=False)),
    "usage of a stream": (with_members(stream=True), with_members(stream=True, stream_options={"include_usage": True})),
    "alias of the path": (USUAL, Asking(path="/v1/proxy/chat/completions")),
    "query": (USUAL, Asking(path=CHAT + "?a=b")),
    "request id": (USUAL, Asking(more=(("x-request-id", "another-one"),))),
    "program": (USUAL, Asking(more=(("user-agent", "another/1.0"), ("x-stainless-lang", "python")))),
    "idempotency key": (
        Asking(more=(("idempotency-key", "one"),)),
        Asking(more=(("idempotency-key", "two"),)),
    ),
    "timeout": (USUAL, Asking(more=(("x-isthmus-timeout", "20"),))),
    "project": (USUAL, Asking(more=(("x-isthmus-project", "p"),))),
    "strictness without losses": (USUAL, Asking(more=(("x-isthmus-strict", "true"),))),
    "long seed": (with_members(seed=SEED), with_members(seed=SEED)),
}  # fmt: skip


async def ask(pair: Pair, asking: Asking, text: str) -> tuple[int, str | None]:
    body = asking.body.replace("{text}", text).encode()
    return status_of(await post(pair, body, *asking.more, path=asking.path))


@pytest.mark.parametrize("difference", DIFFERENT)
@pytest.mark.parametrize("backwards", [False, True], ids=["", "backwards"])
async def test_what_is_not_the_same_gets_an_answer_of_its_own(pair: Pair, difference: str, backwards: bool) -> None:
    one, other = DIFFERENT[difference][::-1] if backwards else DIFFERENT[difference]
    text = fresh_text()

    statuses = [await ask(pair, each, text) for each in (one, other, one, other)]

    assert statuses == [MISS, MISS, HIT, HIT]
    assert asked(pair.provider, text) == 2


@pytest.mark.parametrize("difference", SAME)
@pytest.mark.parametrize("backwards", [False, True], ids=["", "backwards"])
async def test_what_is_the_same_gets_the_same_answer(pair: Pair, difference: str, backwards: bool) -> None:
    one, other = SAME[difference][::-1] if backwards else SAME[difference]
    text = fresh_text()

    statuses = [await ask(pair, each, text) for each in (one, other, one, other)]

    assert statuses == [MISS, HIT, HIT, HIT]
    assert asked(pair.provider, text) == 1


@pytest.mark.parametrize("operation", ["chat", "completion", "embedding"])
async def test_protocols_share_nothing(pair: Pair, operation: str) -> None:
    text, got = fresh_text(), list[str | None]()
    async with wishing(pair.url, pair.gateway.grpc_target) as wish:
        for protocol in ("http", "grpc", "http", "grpc"):
            heard = await CALLS[f"{protocol} {operation}"](wish(text=text, more=(ALWAYS,)))
            got.append(dict(heard.headers).get("x-isthmus-cache"))

    assert got == ["MISS", "MISS", "HIT", "HIT"]
    assert asked(pair.provider, text) == 2


@pytest.mark.parametrize("member", ["messages", "prompt"])
async def test_an_answer_has_the_shape_of_the_path_that_was_asked(pair: Pair, member: str) -> None:
    """Whether or not `auto` shares with what it stands for."""
    text = fresh_text()
    given = {"messages": [{"role": "user", "content": text}], "prompt": text}[member]
    plain, kind = {"messages": (CHAT, "chat.completion"), "prompt": ("/v1/completions", "text_completion")}[member]
    body = {"model": "gpt-4o", member: given, "temperature": 0}

    answers = [await post(pair, body, path=path) for path in (plain, "/v1/auto", plain, "/v1/auto")]

    assert {each.status for each in answers} == {200}
    assert {each.json()["object"] for each in answers} == {kind}
    assert [status_of(each) for each in answers[2:]] == [HIT, HIT]


@dataclass(slots=True)
class Place:
    """A data directory, and a provider, that gateways come and go before."""

    data: Path
    provider: FakeProvider
    other: FakeProvider
    settings: dict[str, Any] = field(default_factory=dict[str, Any])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        provider, other = (stack.enter_context(in_background(FakeProvider())) for _ in range(2))
        yield Place(data=tmp_path, provider=provider, other=other)


def target(model: str) -> dict[str, Any]:
    return {"models": {"fast": {"provider": "openai", "model": model}}}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_kept_answer_survives_the_gateway(place: Place, stream: bool) -> None:
    body = json.dumps({"model": "fast", "input": (text := fresh_text())}).encode()
    chat = {"model": "fast", "messages": [{"role": "user", "content": text}], "seed": 7, "stream": stream}
    answers = []
    for _ in range(2):
        with before(place.provider, data=str(place.data), **target("ok")) as pair:
            answers += [await post(pair, chat), await post(pair, chat)]
            answers.append(await post(pair, body, path="/v1/embeddings"))
            kept = await asyncio.to_thread(holds, place.data, 2)

    assert kept
    assert [status_of(each) for each in answers] == [MISS, HIT, MISS, HIT, HIT, HIT]
    assert len({each.body for each in answers}) == 2
    assert all((told(each.headers).age or 0) > 0 for each in answers[3:])
    assert asked(place.provider, text) == 2


async def test_a_name_that_leads_elsewhere_has_no_old_answers(place: Place) -> None:
    text = fresh_text()
    chat = {"model": "fast", "messages": [{"role": "user", "content": text}], "seed": 7}
    elsewhere = {"providers": {"openai": {"base_url": place.other.url, "api_key": "sk-other", "endpoint": "main"}}}
    statuses = []
    for settings in (target("ok"), target("split"), {**target("ok"), **elsewhere}, target("ok")):
        place.other.reply_always(whole(chat_answer("ok", "from elsewhere")))
        with before(place.provider, data=str(place.data), **settings) as pair:
            answer = await post(pair, chat)
            statuses.append(status_of(answer))
            await asyncio.to_thread(holds, place.data, len(statuses))

    assert statuses == [MISS, MISS, MISS, HIT]
    assert asked(place.provider, text) == 2
    assert asked(place.other, text) == 1
