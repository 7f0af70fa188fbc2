"""Asks the gateway over HTTP as a program without an SDK does, and puts streams together. Every answer is held against
OpenAI's schema on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec

from tests.conformance.dialects import Dialect
from tests.conformance.spec import complaints
from tests.fakes.answers import Answer
from tests.fakes.wire_turn import Asked
from tests.system.pair import Pair

Json = dict[str, Any]
LIMIT = aiohttp.ClientTimeout(total=30)


@dataclass(slots=True, kw_only=True)
class Reply:
    """What came back; a stream's chunks are put together into the one message that they make."""

    status: int
    headers: dict[str, str]
    body: Json = field(default_factory=dict[str, Any])
    """A whole answer."""
    message: Json = field(default_factory=dict[str, Any])
    finish: str | None = None
    usage: Json | None = None
    error: Json | None = None
    inband: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """A caller of one dialect's provider."""

    pair: Pair
    dialect: Dialect

    def script(self, *answers: Answer) -> None:
        """Say what the provider answers next."""
        self.pair.provider.reply_with(*answers)

    def asked(self) -> Asked:
        """Read what the provider was asked last."""
        return self.dialect.wire.asked(self.pair.provider.last)

    async def chat(self, model: str = "model-1", *, stream: bool = False, **request: Any) -> Reply:
        """Ask for a chat; whole or streamed, the reply has the same members."""
        body = {"model": f"{self.dialect.provider}/{model}", **request}
        body |= {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        reply, content = await self._post("chat/completions", body)
        if reply.error is not None:
            return reply
        if stream:
            _read_stream(reply, content)
        else:
            _read_whole(reply, content)
        return reply

    async def embeddings(self, model: str, **request: Any) -> Reply:
        """Ask for embeddings."""
        reply, content = await self._post("embeddings", {"model": f"{self.dialect.provider}/{model}", **request})
        if reply.error is None:
            reply.body = _judged("embeddings", content)
        return reply

    async def _post(self, path: str, body: Json) -> tuple[Reply, bytes]:
        headers = {"content-type": "application/json"}
        async with aiohttp.ClientSession(timeout=LIMIT) as session:
            url = f"{self.pair.url}/v1/{path}"
            async with session.post(url, data=msgspec.json.encode(body), headers=headers) as response:
                content = await response.read()
                lowered = {name.lower(): value for name, value in response.headers.items()}
                reply = Reply(status=response.status, headers=lowered)
        if reply.status != 200:
            reply.error = _judged("error", content)["error"]
        return reply, content


def _judged(kind: str, content: bytes) -> Json:
    value: Json = msgspec.json.decode(content)
    assert not complaints(kind, value), (complaints(kind, value), value)
    return value


def _read_whole(reply: Reply, content: bytes) -> None:
    reply.body = _judged("chat", content)
    choice = reply.body["choices"][0]
    reply.message, reply.finish, reply.usage = choice["message"], choice["finish_reason"], reply.body.get("usage")


def _read_stream(reply: Reply, content: bytes) -> None:
    blocks = [block for block in content.decode().split("\n\n") if block and not block.startswith(":")]
    ended = blocks[-1] == "data: [DONE]"
    for block in blocks[:-1] if ended else blocks:
        chunk = msgspec.json.decode(block.removeprefix("data: "))
        if "error" in chunk:
            assert not ended
            reply.error, reply.inband = _judged("error", msgspec.json.encode(chunk))["error"], True
            return
        _judged("chunk", msgspec.json.encode(chunk))
        reply.usage = chunk.get("usage") or reply.usage
        for choice in chunk["choices"]:
            reply.finish = choice["finish_reason"] or reply.finish
            merge(reply.message, choice["delta"])
    assert ended, content[-300:]
    for listed in ("tool_calls", "thinking_blocks"):
        for one in reply.message.get(listed, ()):
            one.pop("index", None)


def merge(whole: Any, delta: Json) -> None:
    """Add a delta to what came before, by OpenAI's rules: texts grow, entries of lists have an index."""
    for name, value in delta.items():
        before = whole.get(name)
        match before, value:
            case None, list():
                whole[name] = []
                _merge_list(whole[name], value)
            case list(), list():
                _merge_list(before, value)
            case str(), str() if name not in ("role", "type", "id"):
                whole[name] = before + value
            case dict(), dict():
                merge(before, value)
            case _, None:
                whole.setdefault(name, None)
            case _:
                whole[name] = value


def _merge_list(whole: list[Any], entries: list[Any]) -> None:
    for entry in entries:
        known = next((one for one in whole if one.get("index") == entry.get("index") is not None), None)
        if known is None:
            whole.append(dict(entry))
        else:
            merge(known, entry)
