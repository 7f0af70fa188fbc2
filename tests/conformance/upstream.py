"""Turns what a case says of its provider into an answer that the fake provider plays, in OpenAI's format or another. It
opens no socket and does not judge requests.
"""

from __future__ import annotations

import re
from dataclasses import replace

import msgspec

from tests.conformance import corpus
from tests.fakes.answers import CUT, Answer, Step, raw, sse, stream, whole
from tests.fakes.wire_openai import turn_of, turn_of_events
from tests.fakes.wire_turn import Problem, Turn, Wire

MISSING_BYTES = 1000
"""How much a cut whole answer promises and does not send."""
COMMENT = re.compile(rb"^:.*\n\n", re.MULTILINE)


def scripted(answer: corpus.Answer) -> Answer:
    """Give the bytes and faults of one scripted answer."""
    headers = tuple(answer.headers.items())
    if answer.end == "drop":
        return raw(CUT)
    if answer.sse is not None:
        pieces: list[Step] = [_event(event, answer) for event in answer.sse]
        # The pause lets what was written leave the socket: a reset throws away what waits in its buffers.
        return stream(*pieces, *((0.1, CUT) if answer.end == "cut" else ()), headers=headers)
    body = answer.text.encode() if answer.text is not None else msgspec.json.encode(answer.json)
    if answer.end == "cut":
        return _cut(body, answer.status)
    if answer.text is not None:
        headers = tuple({"content-type": "text/plain", **answer.headers}.items())
        return Answer(status=answer.status, headers=headers, pieces=(body,))
    return whole(body, answer.status, headers)


def spoken(case: corpus.Case, answer: corpus.Answer, wire: Wire) -> Answer:
    """Give the same answer in another format."""
    if answer.end == "drop" or answer.text is not None:
        return scripted(answer)
    if answer.sse is not None:
        written = b"".join(_event(event, answer) for event in answer.sse)
        turn = turn_of_events(_data(written))
        return _framed_like(written, wire.stream(replace(turn, trouble="cut") if answer.end == "cut" else turn))
    if answer.status >= 400:
        return wire.problem(_problem(answer))
    if case.operation == "embedding":
        ordered = sorted(answer.json["data"], key=lambda one: one["index"])
        vectors = [one["embedding"] for one in ordered]
        return wire.embedding(answer.json["model"], vectors, answer.json["usage"]["prompt_tokens"])
    turn: Turn = turn_of(answer.json)
    said = wire.whole(turn)
    return _cut(b"".join(piece for piece in said.pieces if isinstance(piece, bytes))) if answer.end == "cut" else said


def _problem(answer: corpus.Answer) -> Problem:
    error = answer.json["error"]
    return Problem(
        status=answer.status,
        message=error["message"],
        kind=error["type"],
        code=error["code"] or "",
        headers=tuple(answer.headers.items()),
    )


def _cut(body: bytes, status: int = 200) -> Answer:
    head = f"HTTP/1.1 {status} OK\r\ncontent-type: application/json\r\n"
    return raw(f"{head}content-length: {len(body) + MISSING_BYTES}\r\n\r\n".encode() + body)


def _event(event: object, answer: corpus.Answer) -> bytes:
    match event:
        case str():
            return event.encode()
        case dict():
            return sse({**answer.each, **event})
        case _:
            raise TypeError(f"an event is an object or a string, not {event!r}")


def _data(written: bytes) -> list[bytes]:
    """The data of each event, read as a client does."""
    blocks = written.replace(b"\r\n", b"\n").split(b"\n\n")
    lines = ([line[5:].strip() for line in block.split(b"\n") if line.startswith(b"data:")] for block in blocks)
    return [b"\n".join(found) for found in lines if found]


def _framed_like(written: bytes, answer: Answer) -> Answer:
    """Frame the events as oddly as the case does; formats without text lines are left as they are."""

    def framed(piece: bytes) -> bytes:
        if b"\r\n" in written:
            return piece.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        if b"data:{" in written:
            return piece.replace(b"data: ", b"data:")
        if b",\ndata:" in written:
            return piece.replace(b",", b",\ndata: ", 1)
        if b"retry:" in written:
            return b"id: 7\nretry: 3000\n" + piece
        return piece

    comments = COMMENT.findall(written)
    pieces = [framed(piece) if isinstance(piece, bytes) else piece for piece in answer.pieces]
    return replace(answer, pieces=(*comments, *pieces))
