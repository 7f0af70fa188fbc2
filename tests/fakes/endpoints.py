"""What a healthy provider answers on each path. Faults are `tests/fakes/faults.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.fakes.answers import Answer, chat_body, chat_events, sse, stream, whole

Body = dict[str, Any]


def wants_usage(body: Body) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def _chat(body: Body) -> Answer:
    model = str(body.get("model", ""))
    if body.get("stream") is True:
        return stream(*chat_events(model, wants_usage(body)))
    return whole(chat_body(model))


def _completion(body: Body) -> Answer:
    base = {"id": "cmpl-fake", "object": "text_completion", "created": 1700000000, "model": body.get("model")}
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    texts = ("Hel", "lo, ", "wörld 🌍")
    if body.get("stream") is not True:
        choice = {"text": "".join(texts), "index": 0, "logprobs": None, "finish_reason": "stop"}
        return whole(base | {"choices": [choice], "usage": usage})
    base |= {"usage": None} if wants_usage(body) else {}
    choices = [{"text": text, "index": 0, "logprobs": None, "finish_reason": None} for text in texts]
    choices[-1]["finish_reason"] = "stop"
    events = [sse(base | {"choices": [choice]}) for choice in choices]
    events += [sse(base | {"choices": [], "usage": usage})] if wants_usage(body) else []
    return stream(*events, sse(b"[DONE]"))


def _embedding(body: Body) -> Answer:
    given = body.get("input")
    count = len(given) if isinstance(given, list) and given and not isinstance(given[0], int) else 1
    vector: Any = [0.6, 0.8, 0.0]
    if body.get("encoding_format") == "base64":
        vector = "mpkZP83MTD8AAAAA"
    data = [{"object": "embedding", "index": index, "embedding": vector} for index in range(count)]
    usage = {"prompt_tokens": 4 * count, "total_tokens": 4 * count}
    return whole({"object": "list", "data": data, "model": body.get("model"), "usage": usage})


def _speech(_body: Body) -> Answer:
    return Answer(headers=(("content-type", "audio/mpeg"),), pieces=(bytes(range(256)) * 64,) * 4, framing="chunked")


def _upload(_body: Body) -> Answer:
    return whole({"id": "file-fake", "object": "file", "bytes": 3, "created_at": 1700000000, "filename": "fake.jsonl",
                  "purpose": "batch", "status": "processed"})  # fmt: skip


ENDPOINTS: dict[str, Callable[[Body], Answer]] = {
    "/chat/completions": _chat,
    "/completions": _completion,
    "/embeddings": _embedding,
    "/audio/speech": _speech,
    "/files": _upload,
}
