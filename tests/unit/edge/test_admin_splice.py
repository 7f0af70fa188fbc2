"""The admin address tells gRPC from HTTP by its first bytes, and carries both without holding or losing any."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from isthmusd.edge.admin_splice import PREFACE, Splice
from isthmusd.edge.errors import AddressInUse
from isthmusd.edge.options import Address, UnixAddress

Served = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HTTP = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"
GRPC = PREFACE + b"\r\n\r\nSM\r\n\r\nframes"


def telling(name: bytes) -> Served:
    """Answer with a name and all that came, once the caller has said all."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(name + b":" + await reader.read())
        writer.close()

    return serve


@asynccontextmanager
async def listening(path: Path, serve: Served) -> AsyncIterator[Path]:
    server = await asyncio.start_unix_server(serve, path)
    try:
        yield path
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def splicing(
    folder: Path,
    *workers: str,
    serve: Served | None = None,
    most: int = 16,
    opening_s: float = 5.0,
    quiet_s: float = 5.0,
) -> AsyncIterator[tuple[Splice, Path]]:
    """Splice between HTTP and these workers; those that begin with `dead` do not listen."""
    address = UnixAddress(path=folder / "admin")
    named = [folder / worker for worker in workers]
    splice = Splice(folder / "http", named, most=most, opening_s=opening_s, quiet_s=quiet_s)
    async with listening(folder / "http", telling(b"http")):
        alive = [worker for worker in workers if not worker.startswith("dead")]
        servers = [
            await asyncio.start_unix_server(serve or telling(worker.encode()), folder / worker) for worker in alive
        ]
        try:
            async with splice.serving(address):
                yield splice, address.path
        finally:
            for server in servers:
                server.close()
                await server.wait_closed()


async def exchange(path: Path, *pieces: bytes) -> bytes:
    """Send pieces, say that this is all, and read until the end."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.001)
        writer.write_eof()
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


async def connections(splice: Splice, count: int) -> None:
    async with asyncio.timeout(5):
        while splice.connection_count != count:  # noqa: ASYNC110 it tells nobody when it changes
            await asyncio.sleep(0.01)


async def test_grpc_goes_to_a_worker_and_everything_else_to_http(tmp_path: Path) -> None:
    async with splicing(tmp_path, "w0") as (_, path):
        answers = [await exchange(path, opening) for opening in (GRPC, HTTP, b"PRI * HTTP/1.1\r\n\r\n", b"x")]

    assert answers == [b"w0:" + GRPC, b"http:" + HTTP, b"http:PRI * HTTP/1.1\r\n\r\n", b"http:x"]


@pytest.mark.parametrize("opening", [GRPC, HTTP])
async def test_however_the_first_bytes_are_cut_they_mean_the_same(tmp_path: Path, opening: bytes) -> None:
    async with splicing(tmp_path, "w0") as (_, path):
        whole = await exchange(path, opening)
        bytewise = await exchange(path, *(opening[at : at + 1] for at in range(len(opening))))

    assert bytewise == whole


async def test_workers_take_turns_and_the_dead_are_passed_over(tmp_path: Path) -> None:
    async with splicing(tmp_path, "w0", "dead1", "w2") as (_, path):
        names = [(await exchange(path, GRPC)).partition(b":")[0] for _ in range(6)]

    assert {*names} == {b"w0", b"w2"}


async def test_without_a_living_worker_the_connection_is_closed(tmp_path: Path) -> None:
    async with splicing(tmp_path, "dead0") as (splice, path):
        answer = await exchange(path, GRPC)
        await connections(splice, 0)

    assert answer == b""


async def test_who_says_nothing_is_cut_off(tmp_path: Path) -> None:
    async with splicing(tmp_path, "w0", opening_s=0.05) as (splice, path):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(PREFACE[:5])
        answer = await asyncio.wait_for(reader.read(), 5)
        await connections(splice, 0)
        writer.close()

    assert answer == b""


async def test_r17_a_request_that_does_not_go_on_takes_nobodys_place_for_ever(tmp_path: Path) -> None:
    async with splicing(tmp_path, "w0", quiet_s=0.2) as (splice, path):
        stuck, writer = await asyncio.open_unix_connection(path)
        called, calling = await asyncio.open_unix_connection(path)
        writer.write(HTTP[:5])
        calling.write(GRPC)
        for _ in range(6):
            await asyncio.sleep(0.1)
            # Who goes on is not cut off, however long it takes.
            writer.write(b"x")
        began = asyncio.get_running_loop().time()
        answer = await asyncio.wait_for(stuck.read(), 5)
        took_s = asyncio.get_running_loop().time() - began
        await connections(splice, 1)
        calling.write_eof()
        answered = await asyncio.wait_for(called.read(), 5)
        for each in (writer, calling):
            each.close()

    assert answer == b""
    assert 0.1 < took_s < 2
    assert answered == b"w0:" + GRPC


async def test_no_more_than_so_many_connections_are_carried(tmp_path: Path) -> None:
    async with splicing(tmp_path, "w0", most=2) as (splice, path):
        held = [await asyncio.open_unix_connection(path) for _ in range(2)]
        await connections(splice, 2)
        refused, writer = await asyncio.open_unix_connection(path)
        answer = await asyncio.wait_for(refused.read(), 5)
        writer.close()
        for _, each in held:
            each.close()
        await connections(splice, 0)
        later = await exchange(path, HTTP)

    assert answer == b""
    assert later == b"http:" + HTTP


async def test_a_slow_reader_slows_down_the_writer(tmp_path: Path) -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        try:
            while True:
                writer.write(bytes(64 * 1024))
                await writer.drain()
                sent += 64 * 1024
        finally:
            writer.transport.abort()

    async with splicing(tmp_path, "w0", serve=_forgiving(flood)) as (splice, path):
        _, writer = await asyncio.open_unix_connection(path, limit=1024)
        writer.write(GRPC)
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.2)
        writer.transport.abort()
        await connections(splice, 0)

    # Both sockets' own buffers are in it, twice.
    assert 0 < sent < 4 * 1024 * 1024


async def test_one_direction_may_end_before_the_other(tmp_path: Path) -> None:
    async def ends_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        writer.write_eof()
        heard.append(await reader.read())
        writer.close()

    heard = list[bytes]()
    async with splicing(tmp_path, "w0", serve=ends_first) as (splice, path):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(GRPC)
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.write(b", and more")
        writer.write_eof()
        await connections(splice, 0)
        writer.close()

    assert answer == b"bye"
    assert heard == [GRPC + b", and more"]


async def test_a_stop_cuts_what_is_open_and_leaves_nothing(tmp_path: Path) -> None:
    async with splicing(tmp_path, "w0") as (splice, path):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(GRPC)
        await connections(splice, 1)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()

    assert answer == b""
    assert splice.connection_count == 0
    assert not path.exists()


async def test_a_tcp_address_that_is_taken_is_refused_by_the_name_of_its_flag(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address(host="127.0.0.1", port=taken.getsockname()[1])
        with pytest.raises(AddressInUse, match="--admin"):
            async with Splice(tmp_path / "http", []).serving(address):
                pytest.fail("it was served")


def _forgiving(serve: Served) -> Served:
    async def forgiving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await serve(reader, writer)

    return forgiving
