"""Images and files by URL on their way to targets that take bytes: fetched once, at once, within the call's limits."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from isthmus.v1 import chat_pb2
from isthmusd.core.call import AuthMethod, Call, Principal
from isthmusd.core.chat import ChatRequest, FilePart, ImagePart, Message, Part
from isthmusd.core.errors import GatewayError, InvalidRequest, TimedOut, UnsupportedFeature
from isthmusd.core.media import Fetched, remote_parts
from isthmusd.core.profile import Profile, Provider
from isthmusd.core.reply import Whole
from isthmusd.core.routing import Plan, Target
from isthmusd.pipeline.attempts import Attempts
from isthmusd.pipeline.media import AT_ONCE, CallMedia
from isthmusd.pipeline.options import PipelineOptions
from isthmusd.pipeline.record import Draft
from isthmusd.pipeline.run import understand

from tests.unit.pipeline.gateway import chat_answer, error, whole
from tests.unit.pipeline.targets import Answer, ScriptedUpstream
from tests.unit.pipeline.world import START, FakeClock, arrival_of, play

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
DATA_URL = "data:image/png;base64," + base64.b64encode(PNG).decode()
CAT = "https://example.com/cat.png"


@dataclass(slots=True)
class FakeWeb:
    """What is where; everything else is refused."""

    there: Mapping[str, bytes] = field(default_factory=lambda: {CAT: PNG})
    takes_s: float = 1.0
    asked: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    running: int = 0
    most: int = 0

    async def fetch(self, url: str, limit: int) -> Fetched:
        self.asked.append((url, limit))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            self.running -= 1
        if url not in self.there:
            raise InvalidRequest("cannot be reached at its URL")
        return Fetched(content=self.there[url], content_type="image/png")


def parts_of(*parts: Part) -> Any:
    request = ChatRequest(model="m", messages=(Message(role="user", content=parts),))
    return remote_parts(request, Profile(fetches=frozenset()))


def images(count: int) -> list[str]:
    return [f"https://example.com/{number}.png" for number in range(count)]


def test_all_are_fetched_at_once_but_not_too_many_and_each_url_once() -> None:
    urls = images(AT_ONCE * 2)
    web = FakeWeb(dict.fromkeys(urls, PNG))
    media = CallMedia(web, PipelineOptions(media_bytes=77))

    async def scene() -> float:
        parts = parts_of(*(ImagePart(url=url) for url in (*urls, *urls)))
        await media.fetch(parts)
        await media.fetch(parts)
        return asyncio.get_running_loop().time()

    assert play(scene()) == 2.0
    assert sorted(web.asked) == [(url, 77) for url in urls]
    assert web.most == AT_ONCE
    assert set(media.held) == set(urls)


def refusal_of(media: CallMedia, *parts: Part) -> GatewayError:
    async def scene() -> GatewayError:
        with pytest.raises(GatewayError) as refusal:
            await media.fetch(parts_of(*parts))
        return refusal.value

    return play(scene())


def test_what_cannot_be_fetched_is_the_callers_error_and_names_the_part() -> None:
    web = FakeWeb()

    refusal = refusal_of(CallMedia(web, PipelineOptions()), ImagePart(url=CAT), FilePart(url="http://gone.example/x"))

    assert isinstance(refusal, InvalidRequest)
    assert (refusal.http_status, refusal.param, refusal.code) == (400, "messages[0].content[1]", "invalid_media")
    assert refusal.message == (
        "messages[0].content[1]: the file cannot be reached at its URL; send its content as base64 instead"
    )
    assert web.running == 0


def test_a_gateway_that_fetches_nothing_says_what_to_send() -> None:
    refusal = refusal_of(CallMedia(None, PipelineOptions()), ImagePart(url=CAT))

    assert isinstance(refusal, UnsupportedFeature)
    assert (refusal.http_status, refusal.code, refusal.param) == (400, "unsupported_feature", "messages[0].content[0]")
    assert "as base64" in refusal.message


def test_the_number_and_the_size_of_all_together_are_bounded() -> None:
    urls = images(3)
    web = FakeWeb(dict.fromkeys(urls, PNG))
    three = [ImagePart(url=url) for url in urls]

    too_many = refusal_of(CallMedia(web, PipelineOptions(media_per_request=2)), *three)
    assert web.asked == []
    too_much = refusal_of(CallMedia(web, PipelineOptions(request_bytes=len(PNG) * 2)), *three)

    assert "more than 2" in too_many.message
    assert f"larger than {len(PNG) * 2} bytes together" in too_much.message
    assert (too_many.http_status, too_much.http_status) == (400, 400)


def target(name: str, **profile: Any) -> Target:
    host = Provider(name=name, base_url=f"http://{name}/v1", needs_key=False, profile=Profile(**profile))
    return Target(provider=host, model="m")


NEEDS_BYTES: dict[str, Any] = {"fetches": frozenset()}


async def asked(
    web: FakeWeb | None, *answers: Answer, targets: tuple[Target, ...], **limits: Any
) -> tuple[ScriptedUpstream, Whole, Draft]:
    """Make a typed call with an image by URL."""
    image = chat_pb2.Part(image=chat_pb2.Image(url=CAT))
    body = chat_pb2.ChatRequest(model="m", messages=[chat_pb2.Message(role="user", parts=[image])])
    arrival = arrival_of(body=body, dialect="isthmus")
    upstream = ScriptedUpstream.saying(*answers)
    attempts = Attempts(upstream, FakeClock(), PipelineOptions(**limits), web)
    draft = Draft(arrival, FakeClock())
    principal = Principal(tenant="t", key_id="k", method=AuthMethod.ANONYMOUS)
    call = Call(request_id="r", principal=principal, started_at=START, deadline_at=None)
    async with attempts.first_success(call, understand(arrival, 10**6), Plan(targets=targets), {}, draft) as reply:
        assert isinstance(reply, Whole)
        return upstream, reply, draft


def image_urls(upstream: ScriptedUpstream) -> list[str]:
    bodies = [msgspec.json.decode(sent.body or b"") for sent in upstream.sent]
    return [body["messages"][0]["content"][0]["image_url"]["url"] for body in bodies]


def test_several_targets_get_the_bytes_that_were_fetched_once() -> None:
    web = FakeWeb()

    upstream, _, _ = play(
        asked(
            web,
            error(500),
            error(500),
            whole(chat_answer()),
            targets=(target("a", **NEEDS_BYTES), target("fetching"), target("b", **NEEDS_BYTES)),
        )
    )

    assert image_urls(upstream) == [DATA_URL, CAT, DATA_URL]
    assert len(web.asked) == 1


def test_a_target_that_fetches_itself_gets_the_url() -> None:
    web = FakeWeb()

    upstream, _, _ = play(asked(web, whole(chat_answer()), targets=(target("fetching"),)))

    assert image_urls(upstream) == [CAT]
    assert web.asked == []


def test_where_nothing_is_fetched_a_target_that_fetches_itself_is_asked() -> None:
    upstream, reply, draft = play(
        asked(None, whole(chat_answer()), targets=(target("a", **NEEDS_BYTES), target("fetching")))
    )

    assert image_urls(upstream) == [CAT]
    assert (reply.provenance.provider, reply.provenance.attempts, len(draft.attempts)) == ("fetching", 1, 1)


def test_fetching_counts_against_the_deadline_of_the_call() -> None:
    async def scene() -> None:
        with pytest.raises(TimedOut, match="while images or files were fetched"):
            await asked(FakeWeb(takes_s=100.0), targets=(target("a", **NEEDS_BYTES),), request_s=60.0)

    play(scene())


def test_media_that_is_not_there_is_no_reason_to_ask_another_target() -> None:
    async def scene() -> None:
        with pytest.raises(InvalidRequest, match=r"messages\[0\]\.content\[0\]"):
            await asked(FakeWeb({}), targets=(target("a", **NEEDS_BYTES), target("fetching")))

    play(scene())
