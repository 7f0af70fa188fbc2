"""A streamed body: its beginning is read for routing, its end never waited for, its whole bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest
from isthmusd.core.errors import InvalidRequest, RequestTooLarge
from isthmusd.pipeline.uploads import PREFIX_BYTES, Upload

from tests.unit.pipeline.world import play

IDLE_S = 300.0


async def each(pieces: Iterable[bytes], taken: list[int]) -> AsyncIterator[bytes]:
    for piece in pieces:
        taken.append(len(piece))
        yield piece


@pytest.mark.parametrize("pieces", [(), (b"",), (b"ab", b"", b"c"), (b"x" * (PREFIX_BYTES - 1),)])
def test_a_small_body_is_read_whole(pieces: tuple[bytes, ...]) -> None:
    upload = Upload(each(pieces, []), PREFIX_BYTES, IDLE_S)

    play(upload.begin())

    assert upload.complete
    assert upload.prefix == b"".join(pieces)


def test_a_large_body_is_read_no_further_than_its_beginning() -> None:
    pieces = [b"a" * (PREFIX_BYTES - 1), b"bc", b"d", b"e"]
    taken: list[int] = []
    upload = Upload(each(pieces, taken), 2 * PREFIX_BYTES, IDLE_S)

    async def scene() -> list[bytes]:
        await upload.begin()
        assert not upload.complete
        assert len(taken) == 2
        return [piece async for piece in upload.rest(upload.prefix)]

    sent = play(scene())
    assert sent == [b"a" * (PREFIX_BYTES - 1) + b"bc", b"d", b"e"]


def test_the_prefix_may_be_replaced_before_it_is_sent() -> None:
    upload = Upload(each([b"x" * PREFIX_BYTES, b"tail"], []), 2 * PREFIX_BYTES, IDLE_S)

    async def scene() -> list[bytes]:
        await upload.begin()
        return [piece async for piece in upload.rest(b"head")]

    assert play(scene()) == [b"head", b"tail"]


def test_an_upload_over_the_limit_is_refused_where_it_passes_it() -> None:
    upload = Upload(each([b"x" * PREFIX_BYTES, b"y", b"z"], []), PREFIX_BYTES + 1, IDLE_S)
    sent: list[bytes] = []

    async def scene() -> None:
        await upload.begin()
        async for piece in upload.rest(b""):
            sent.append(piece)

    with pytest.raises(RequestTooLarge):
        play(scene())
    assert sent == [b"", b"y"]


def test_an_upload_that_begins_over_the_limit_is_refused_at_once() -> None:
    with pytest.raises(RequestTooLarge) as refused:
        play(Upload(each([b"x" * 11], []), 10, IDLE_S).begin())

    assert refused.value.http_status == 413


@pytest.mark.parametrize("held", [0, PREFIX_BYTES])
def test_a_body_that_stops_arriving_is_given_up(held: int) -> None:
    async def stalling() -> AsyncIterator[bytes]:
        yield b"x" * held
        await asyncio.sleep(IDLE_S - 1)
        yield b"y"
        await asyncio.sleep(IDLE_S + 1)

    async def scene() -> None:
        upload = Upload(stalling(), 2 * PREFIX_BYTES, IDLE_S)
        await upload.begin()
        async for _ in upload.rest(b""):
            pass

    with pytest.raises(InvalidRequest) as refused:
        play(scene())
    assert (refused.value.http_status, refused.value.code) == (408, "request_timeout")
