"""The upstream of the benchmark: canned OpenAI bytes with as little CPU as Python allows. It is not a fake for tests.

Run as `python -m bench.mock`; prints `mock ready at http://127.0.0.1:PORT`. One process, one asyncio Protocol: a whole
reply is one write of constant bytes, a stream is one write per 20 ms, or without pauses for `canned.HASTY_MODEL`.
"""

import argparse
import asyncio
import time
from dataclasses import dataclass
from typing import Final, cast

import msgspec
import uvloop

from bench.canned import CHUNK_INTERVAL_S, CHUNKS_PER_STREAM, HASTY_MODEL, MODELS, REPLY, Events
from bench.wire import MessageReader


def _whole(status: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\nx-request-id: req_bench\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(body)) + body


_NOT_FOUND: Final = _whole(b"404 Not Found", b'{"error":{"message":"no such path","type":"invalid_request_error"}}')
_BAD_JSON: Final = _whole(b"400 Bad Request", b'{"error":{"message":"not JSON","type":"invalid_request_error"}}')
_REPLY: Final = _whole(b"200 OK", REPLY)
_MODELS: Final = _whole(b"200 OK", MODELS)
_STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"x-request-id: req_bench\r\ntransfer-encoding: chunked\r\n\r\n"
)
_FORMS: Final = {form: Events(include_usage=form) for form in (False, True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """The one option the mock honours."""

    include_usage: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What of a chat request decides the answer's form."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None


_decode_ask = msgspec.json.Decoder(Ask).decode


class Connection(asyncio.Protocol):
    """One keep-alive connection. Requests are answered in order; a stream ends before the next request is read."""

    def __init__(self) -> None:
        self._reader = MessageReader()
        self._body = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:

        self._transport = cast("asyncio.Transport", transport)  # what a stream server gives
        self._loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        self._body += self._reader.feed(data)
        if self._reader.complete:
            body, self._body = self._body, b""
            self._answer(self._reader.first_line, body)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _answer(self, first_line: bytes, body: bytes) -> None:
        match first_line.split(b" ")[:2]:
            case [b"POST", path] if path.endswith(b"/chat/completions"):
                self._answer_chat(body)
            case [b"GET", path] if path.endswith((b"/models", b"/health")):
                self._transport.write(_MODELS)
            case _:
                self._transport.write(_NOT_FOUND)

    def _answer_chat(self, body: bytes) -> None:
        try:
            ask = _decode_ask(body)
        except msgspec.DecodeError:
            self._transport.write(_BAD_JSON)
            return
        if not ask.stream:
            self._transport.write(_REPLY)
            return
        options = ask.stream_options
        self._events = _FORMS[bool(options and options.include_usage)]
        self._interval_s = 0 if ask.model == HASTY_MODEL else CHUNK_INTERVAL_S
        self._next_at = self._loop.time()
        self._send_chunk(0)

    def _send_chunk(self, index: int) -> None:
        if index == CHUNKS_PER_STREAM:
            self._timer = None
            self._transport.write(_chunked(self._events.end) + b"0\r\n\r\n")
            return
        chunk = _chunked(self._events.chunk(index, time.monotonic_ns()))
        self._transport.write(chunk if index else _STREAM_HEAD + chunk)
        # Absolute times: a late tick does not push the following ones.
        self._next_at += self._interval_s
        self._timer = self._loop.call_at(self._next_at, self._send_chunk, index + 1)


def _chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


async def serve(port: int) -> None:
    """Serve until cancelled; port 0 takes a free one. Prints the ready line."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port, backlog=1024)
    async with server:
        print(f"mock ready at http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()


def main() -> None:
    """Read the port and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    uvloop.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
