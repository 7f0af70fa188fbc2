"""Requests that are no message at all, and texts cut to what gRPC can carry."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
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
        call: Any = getattr(gateway.channel, kind)(f"/isthmus.v1.{method}")
        refusal = await refusal_of(call(iter([GARBAGE]) if kind == "stream_stream" else GARBAGE))

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
