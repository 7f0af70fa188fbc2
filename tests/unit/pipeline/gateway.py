"""A whole gateway over scripted targets: everything but sockets and gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from isthmusd.core.profile import Flavour, Provider
from isthmusd.core.reply import Stream
from isthmusd.pipeline.admission import Admission
from isthmusd.pipeline.attempts import Attempts
from isthmusd.pipeline.callers import Identification
from isthmusd.pipeline.flights import Flights
from isthmusd.pipeline.options import PipelineOptions
from isthmusd.pipeline.ports import Upstream
from isthmusd.pipeline.producing import Caching
from isthmusd.pipeline.resolve import ModelAlias, Resolver
from isthmusd.pipeline.run import Gateway, run

from tests.fakes.callers import KnownCallers, identification
from tests.unit.pipeline.targets import EVENTS, Answer, ScriptedUpstream, Step
from tests.unit.pipeline.world import FakeClock, KeptJournal, ShownCalls, arrival_of, headers_of, identifier_of

OPENAI = Provider(name="openai", base_url="http://o/v1", api_key="sk-ours", endpoint="main", models=("gpt",))
CLAUDE = Provider(name="claude", base_url="http://c/v1", key_prefixes=("sk-ant-",))
OLD = Provider(name="old", base_url="http://old/v1", needs_key=False, flavours={"*": Flavour.COMPLETION})
NEW = Provider(name="new", base_url="http://new/v1", needs_key=False, flavours={"*": Flavour.CHAT})
ALIASES = {"fast": ModelAlias(provider="openai", model="gpt-mini")}


@dataclass(slots=True)
class Built:
    """A gateway, and what a test watches of it."""

    upstream: ScriptedUpstream
    options: PipelineOptions = field(default_factory=PipelineOptions)
    providers: tuple[Provider, ...] = (OPENAI, CLAUDE, OLD, NEW)
    journal: KeptJournal = field(default_factory=KeptJournal)
    shown: ShownCalls = field(default_factory=ShownCalls)
    clock: FakeClock = field(default_factory=FakeClock)
    known: KnownCallers = field(default_factory=KnownCallers)
    """Tenants, keys and credentials."""
    caching: Caching | None = None
    """None: nothing is cached."""

    @classmethod
    def saying(cls, *answers: Answer, **options: Any) -> Built:
        return cls(upstream=ScriptedUpstream.saying(*answers), options=PipelineOptions(**options))

    @property
    def means(self) -> Identification:
        return identification(self.known)

    @property
    def gateway(self) -> Gateway:
        return self.gateway_over(self.upstream)

    def gateway_over(self, upstream: Upstream) -> Gateway:
        """A gateway that asks another upstream than the scripted one."""
        options = self.options
        return Gateway(
            options=options,
            clock=self.clock,
            journal=self.journal,
            admission=Admission(options.calls, self.shown),
            identifier=identifier_of(options, self.clock, self.means),
            identification=self.means,
            credentials=self.known,
            resolver=Resolver(
                {provider.name: provider for provider in self.providers},
                ALIASES,
                options.default_provider,
                anonymous=options.anonymous,
            ),
            upstream=upstream,
            flights=Flights(Attempts(upstream, self.clock, options), options, self.clock, self.caching),
        )


USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}


def chat_request(**members: Any) -> bytes:
    return msgspec.json.encode({"model": "gpt", "messages": [{"role": "user", "content": "hi"}]} | members)


def chat_answer(text: str = "hello", **members: Any) -> bytes:
    message = {"role": "assistant", "content": text}
    return msgspec.json.encode(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-1",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": USAGE,
        }
        | members
    )


def completion_answer(text: str = "hello") -> bytes:
    choice = {"index": 0, "text": text, "finish_reason": "stop", "logprobs": None}
    whole = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "gpt-1", "choices": [choice]}
    return msgspec.json.encode(whole | {"usage": USAGE})


def whole(body: bytes, status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): [value] for name, value in headers.items()}
    return Answer(status=status, headers={"content-type": ["application/json"], **named}, steps=(body,))


def error(status: int, message: str = "said no", **headers: str) -> Answer:
    said = {"error": {"message": message, "type": "their_type", "param": None, "code": None}}
    return whole(msgspec.json.encode(said), status, **headers)


def event(delta: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-1", "choices": [choice]}
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


HELLO = event({"role": "assistant", "content": "hello"})
STOP = event({}, "stop")
DONE = b"data: [DONE]\n\n"


def events(*steps: Step, opening: tuple[Step, ...] = ()) -> Answer:
    return Answer(headers={**EVENTS, "x-request-id": ["req_9"]}, steps=steps, opening=opening)


async def read_slowly(gateway: Gateway, pause_s: float) -> None:
    """Ask for a stream that may be shared; take a piece, then think about it."""
    arrival = arrival_of(headers_of(), body=chat_request(temperature=0, stream=True))
    async with run(gateway, arrival) as reply:
        match reply:
            case Stream(pieces=pieces):
                async for _ in pieces:
                    await asyncio.sleep(pause_s)
            case _:
                raise AssertionError("a stream was asked for")
