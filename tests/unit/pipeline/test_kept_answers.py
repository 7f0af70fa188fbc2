"""What a gateway with a cache keeps of what providers answer, and what it does not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from isthmusd.core.errors import Throttled
from isthmusd.core.profile import Profile
from isthmusd.core.reply import Stream, Whole
from isthmusd.core.request import Operation
from isthmusd.pipeline.run import run

from tests.unit.pipeline.caching import CacheParts
from tests.unit.pipeline.gateway import DONE, HELLO, OPENAI, STOP, Built, chat_answer, event, events, whole
from tests.unit.pipeline.targets import Answer
from tests.unit.pipeline.world import arrival_of, headers_of, play


class Asked:
    """A gateway with a cache, of which one operation is asked."""

    def __init__(self, operation: Operation, *answers: Answer) -> None:
        self.operation = operation
        self.built = Built.saying(*answers)
        self.parts = CacheParts()
        self.built.caching = self.parts.caching
        self.gateway = self.built.gateway

    @property
    def sent(self) -> int:
        return len(self.built.upstream.sent)

    async def ask(self, mode: str = "auto", **members: Any) -> tuple[str | None, bytes]:
        """Give what the cache did for a call, and what was answered."""
        body = msgspec.json.encode({"model": "gpt", **members})
        arrival = arrival_of(headers_of(x_isthmus_cache=mode), body=body, operation=self.operation)
        async with run(self.gateway, arrival) as reply:
            cache = dict(reply.headers).get("x-isthmus-cache")
            match reply:
                case Whole():
                    return cache, reply.body
                case Stream():
                    return cache, b"".join([piece async for piece in reply.pieces])


def response(id: str) -> Answer:
    return whole(msgspec.json.encode({"id": id, "object": "response", "status": "completed", "output": []}))


@pytest.mark.parametrize("mode", ["auto", "always"])
def test_each_turn_of_a_conversation_is_asked_for(mode: str) -> None:
    asked = Asked(Operation.RESPONSES, *map(response, "abc"))
    asking = {"input": "go on", "conversation": "conv_1", "temperature": 0}

    async def scene() -> list[tuple[str | None, bytes]]:
        at_once = await asyncio.gather(*(asked.ask(mode, **asking) for _ in range(2)))
        return [*at_once, await asked.ask(mode, **asking)]

    got = play(scene())

    assert [cache for cache, _ in got] == [None] * 3
    assert len({body for _, body in got}) == 3
    assert [record.cache for record in asked.built.journal.records] == ["BYPASS"] * 3
    assert (asked.parts.watched.began, asked.parts.answers.items) == (0, {})


ASKINGS: dict[Operation, dict[str, Any]] = {
    Operation.CHAT: {"messages": [{"role": "user", "content": "Hi"}], "temperature": 0},
    Operation.COMPLETION: {"prompt": "Hi", "temperature": 0},
    Operation.EMBEDDING: {"input": "Hi"},
    Operation.MODERATION: {"input": "Hi"},
}
NAMES = {
    Operation.CHAT: "choices",
    Operation.COMPLETION: "choices",
    Operation.EMBEDDING: "data",
    Operation.MODERATION: "results",
}
"""Member of an answer that holds what was asked for."""


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"request_id": "later"},
        {"detail": "loading"},
        {"object": "error", "message": "overloaded"},
        {"entries": []},
        {"entries": None},
        {"entries": [{"index": 0}], "error": {"message": "overloaded"}},
    ],
)
@pytest.mark.parametrize("operation", ASKINGS)
def test_what_is_no_answer_passes_and_is_not_kept(operation: Operation, members: dict[str, Any]) -> None:
    named = {NAMES[operation] if name == "entries" else name: value for name, value in members.items()}
    bad, good = msgspec.json.encode(named), msgspec.json.encode({NAMES[operation]: [{"index": 0}]})
    asked = Asked(operation, whole(bad), whole(good))

    async def scene() -> list[tuple[str | None, bytes]]:
        return [await asked.ask(**ASKINGS[operation]) for _ in range(3)]

    assert play(scene()) == [("MISS", bad), ("MISS", good), ("HIT", good)]


@pytest.mark.parametrize("entries", ["null", "[]"])
@pytest.mark.parametrize("operation", ASKINGS)
def test_an_error_with_a_good_status_and_nothing_beside_it_is_one(operation: Operation, entries: str) -> None:
    error = f'{{"error":{{"message":"overloaded","code":429}},"{NAMES[operation]}":{entries}}}'.encode()
    asked = Asked(operation, whole(error))

    with pytest.raises(Throttled, match="overloaded"):
        play(asked.ask(**ASKINGS[operation]))

    assert asked.parts.answers.items == {}


def test_an_error_with_a_good_status_moves_a_call_on() -> None:
    asked = Asked(Operation.CHAT, whole(b'{"choices":null,"error":{"message":"busy"}}'), whole(chat_answer()))
    second = replace(OPENAI, base_url="http://second/v1", endpoint="second")
    asked.built.providers = (replace(OPENAI, alternates=(second,)),)
    asked.gateway = asked.built.gateway

    assert play(asked.ask(**ASKINGS[Operation.CHAT])) == ("MISS", chat_answer())

    assert [attempt.status for attempt in asked.built.journal.only.attempts] == [500, 200]


@pytest.mark.parametrize("word", ["abort", "insufficient_system_resource", "error"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_generation_that_broke_off_is_not_kept(word: str, stream: bool) -> None:
    choices = [{"index": 0, "message": {"role": "assistant", "content": "so f"}, "finish_reason": word}]
    broken = events(HELLO, event({}, word), DONE) if stream else whole(chat_answer(choices=choices))
    good = events(HELLO, STOP, DONE) if stream else whole(chat_answer())
    asked = Asked(Operation.CHAT, broken, good)

    async def scene() -> list[str | None]:
        return [(await asked.ask(**ASKINGS[Operation.CHAT], stream=stream))[0] for _ in range(3)]

    assert play(scene()) == ["MISS", "MISS", "HIT"]


@pytest.mark.parametrize("cookies", [("session", ""), ("", "session"), ("", ""), ("__cf_bm", "")])
def test_an_answer_of_several_requests_is_somebodys_own_if_one_sets_a_cookie(cookies: tuple[str, str]) -> None:
    vector = msgspec.json.encode({"data": [{"index": 0, "embedding": [1.0]}], "model": "gpt"})
    answers = [whole(vector, **({"set_cookie": f"{name}=1"} if name else {})) for name in cookies]
    asked = Asked(Operation.EMBEDDING, *answers, whole(vector), whole(vector))
    asked.built.providers = (replace(OPENAI, profile=Profile(embeddings_per_request=1)),)
    asked.gateway = asked.built.gateway

    async def scene() -> list[str | None]:
        return [(await asked.ask(input=["a", "b"]))[0] for _ in range(2)]

    assert play(scene()) == ["MISS", "MISS" if "session" in cookies else "HIT"]
