"""Requests that are no message at all, and texts cut to what gRPC can carry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from isthmusd.core.errors import InvalidRequest
from isthmusd.rpc import call
from isthmusd.rpc.errors import shortened

from tests.unit.rpc.serving import refusal_of, serving

GARBAGE = b"\xff\xff\xff"


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("unary_unary", "ChatService/CreateChatCompletion"),
        ("unary_stream", "ChatService/StreamChatCompletion"),
        ("stream_stream", "ForwardService/Forward"),
    ],
)
async def test_bytes_that_are_no_message_are_the_callers_fault(kind: str, method: str) -> None:
    async with serving() as gateway:
        ask: Any = getattr(gateway.channel, kind)(f"/isthmus.v1.{method}")
        refusal = await refusal_of(ask(iter([GARBAGE]) if kind == "stream_stream" else GARBAGE))

    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "protos" in refusal.message


async def test_methods_that_do_not_exist_are_not_implemented() -> None:
    async with serving() as gateway:
        refusal = await refusal_of(gateway.channel.unary_unary("/isthmus.v1.ChatService/Nothing")(b""))

    assert refusal.code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("text", "limit", "cut"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "abc"),
        ("a%b", 4, "a%"),
        ("é", 6, "é"),
        ("é", 5, ""),
        ("ab🌍c", 14, "ab🌍"),
        ("", 0, ""),
        ("a\nb", 5, "a\nb"),
    ],
)
def test_texts_are_cut_to_their_size_on_the_wire(text: str, limit: int, cut: str) -> None:
    assert shortened(text, limit) == cut


async def taken(pieces: list[bytes], length: int | None) -> tuple[bytes, float]:
    """Read a body; tell how long its end took."""

    async def arriving() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    loop = asyncio.get_running_loop()
    began = loop.time()
    body = b"".join([piece async for piece in call.whole_body(arriving(), length)])
    return body, loop.time() - began


async def test_a_body_of_the_declared_length_ends_at_once() -> None:
    body, took_s = await taken([b"ab", b"c"], 3)

    assert body == b"abc"
    assert took_s < call.LEFT_WITHIN_S


async def test_a_body_of_unknown_length_waits_whether_its_caller_left() -> None:
    body, took_s = await taken([b"ab"], None)

    assert body == b"ab"
    assert took_s >= call.LEFT_WITHIN_S


async def test_a_body_that_is_too_short_never_passes_for_a_whole_one() -> None:
    reading = asyncio.ensure_future(taken([b"ab"], 3))
    await asyncio.sleep(5 * call.LEFT_WITHIN_S)

    assert not reading.done()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_a_body_that_is_too_short_is_refused_if_its_caller_stays() -> None:
    async def arriving() -> AsyncIterator[bytes]:
        yield b"ab"

    with pytest.raises(InvalidRequest, match="declared"):
        [piece async for piece in call.whole_body(arriving(), 3, cut_within_s=0.01)]
