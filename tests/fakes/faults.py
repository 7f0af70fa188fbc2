"""What the fake provider says unless a test scripts it: the model in the body picks the answer. It keeps no state.

A model's last path segment counts (`x/cut` is `cut`); any name that is not a fault is answered like `ok`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from tests.fakes.answers import CUT, STALL, Answer, chat_body, chat_events, error, sse, stream, whole
from tests.fakes.endpoints import ENDPOINTS, Body, wants_usage
from tests.fakes.received import Received

SLOW_S = 1.0
"""How long the model `slow` takes to its first byte."""

_NON_ASCII = (("x-note", "café ☕".encode()), ("x-latin", b"caf\xe9"))


def answer_for(received: Received) -> Answer:
    """Answer a request by its path and the model in its JSON body."""
    path = received.path.split("?")[0].rstrip("/")
    body = _object_of(received.body)
    for ending, answer in ENDPOINTS.items():
        if path.endswith(ending) and received.method == "POST":
            return _with_fault(answer, received, body)
    if path.endswith("/models"):
        return whole({"object": "list", "data": [_model(name) for name in ("ok", *_FAULTS)]})
    return _echo(received, body)


def _with_fault(answer: Callable[[Body], Answer], received: Received, body: Body) -> Answer:
    fault = _FAULTS.get(str(body.get("model", "")).rsplit("/", 1)[-1])
    return fault(answer(body), received, body) if fault else answer(body)


def _cut(answer: Answer, _received: Received, _body: Body) -> Answer:
    return replace(answer, pieces=(*_half(answer), 0.05, CUT))


def _stall(answer: Answer, _received: Received, _body: Body) -> Answer:
    return replace(answer, pieces=(*_half(answer), STALL))


def _half(answer: Answer) -> tuple[bytes, ...]:
    pieces = [piece for piece in answer.pieces if isinstance(piece, bytes)]
    return (pieces[0][: len(pieces[0]) // 2],) if len(pieces) == 1 else tuple(pieces[: len(pieces) // 2])


def _split(answer: Answer, _received: Received, _body: Body) -> Answer:
    content = b"".join(piece for piece in answer.pieces if isinstance(piece, bytes))
    return replace(answer, pieces=tuple(content[at : at + 1] for at in range(len(content))))


def _crlf(answer: Answer, _received: Received, _body: Body) -> Answer:
    return replace(
        answer, pieces=tuple(p.replace(b"\n", b"\r\n") if isinstance(p, bytes) else p for p in answer.pieces)
    )


def _badjson(answer: Answer, _received: Received, body: Body) -> Answer:
    if body.get("stream") is True:
        return replace(answer, pieces=(*_half(answer), b'data: {"id": "chatcmpl-fake", \n\n', sse(b"[DONE]")))
    return whole(b'{"id": "chatcmpl-fake", "choices": [')


def _reason(answer: Answer, _received: Received, body: Body) -> Answer:
    model = str(body.get("model", ""))
    if body.get("stream") is True:
        return stream(*chat_events(model, wants_usage(body), reasoning="Let me think."))
    return whole(chat_body(model, reasoning_content="Let me think."))


def _inband(answer: Answer, _received: Received, body: Body) -> Answer:
    failure = {"error": {"message": "The engine stopped.", "type": "server_error", "param": None, "code": "engine"}}
    return stream(*_half(answer), sse(failure)) if body.get("stream") is True else whole(failure)


def _echo(received: Received, body: Body) -> Answer:
    """A chat answer whose text is the request's body; the rest of the request is beside it."""
    model, text = str(body.get("model", "")), received.body.decode(errors="replace")
    seen = {"echo": {"method": received.method, "path": received.path, "headers": received.headers}}
    if body.get("stream") is not True:
        return whole(chat_body(model, text) | seen)
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    event = chat_body(model) | seen | {"object": "chat.completion.chunk", "choices": [choice]}
    return stream(sse(event), sse(b"[DONE]"))


_FAULTS: dict[str, Callable[[Answer, Received, Body], Answer]] = {
    "split": _split,
    "crlf": _crlf,
    "cut": _cut,
    "stall": _stall,
    "slow": lambda answer, *_: replace(answer, delay_s=SLOW_S),
    "badjson": _badjson,
    "echo": lambda _, received, body: _echo(received, body),
    "r429": lambda *_: error(429, "Slow down.", "rate_limit_error", "rate_limit_exceeded", ("retry-after", "7")),
    "e401": lambda *_: error(401, "Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    "n404": lambda *_: error(404, "The model does not exist.", "invalid_request_error", "model_not_found"),
    "e500": lambda *_: error(500, "The server had an error.", "server_error", None),
    "reason": _reason,
    "inband": _inband,
    "html": lambda *_: replace(
        whole(b"<html><body>Bad gateway</body></html>"), headers=(("content-type", "text/html"),)
    ),
    "nonascii": lambda answer, *_: replace(answer, headers=(*answer.headers, *_NON_ASCII)),
}
"""How a model's name changes the answer that its path would get."""


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1700000000, "owned_by": "fake"}


def _object_of(content: bytes) -> Body:
    try:
        body = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return {}
    return body if isinstance(body, dict) else {}
