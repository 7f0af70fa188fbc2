"""Reads OpenAI's format into the neutral words of `wire_turn.py`: what the corpus has its answers and requests in. It
writes nothing.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tests.fakes.wire_turn import Asked, Block, Json, Turn

KNOBS = (
    "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "frequency_penalty", "presence_penalty", "seed",
    "n", "logit_bias", "logprobs", "top_logprobs", "parallel_tool_calls", "user", "service_tier", "dimensions",
)  # fmt: skip


def turn_of(answer: Json) -> Turn:
    """Read a whole answer to a chat or a prompt; its first choice."""
    choice = answer["choices"][0]
    message = choice.get("message") or {"content": choice.get("text")}
    blocks = [
        Block(kind=kind, deltas=(message[name],))
        for kind, name in (("thinking", "reasoning_content"), ("text", "content"), ("refusal", "refusal"))
        if message.get(name)
    ]
    blocks += [_call(call) for call in message.get("tool_calls") or ()]
    return Turn(
        id=answer["id"],
        model=answer["model"],
        created=answer["created"],
        blocks=tuple(blocks),
        finish=choice["finish_reason"],
        usage=answer.get("usage"),
    )


def _call(call: Json) -> Block:
    function = call["function"]
    return Block(kind="call", id=call["id"], name=function["name"], deltas=(function["arguments"],))


def turn_of_events(data: list[bytes]) -> Turn:
    """Read the data of a stream's events, `[DONE]` included; what is broken in it is broken in the turn."""
    done = data.index(b"[DONE]") if b"[DONE]" in data else None
    reader = _Reader()
    for one in data[:done]:
        if not reader.read(one):
            break
    after = _Reader()
    for one in data[done + 1 :] if done is not None else ():
        if one != b"[DONE]":
            after.read(one)
    head = reader.head
    return Turn(
        id=head.get("id", "answer-1"),
        model=head.get("model", "model-1"),
        created=head.get("created", 1741569952),
        blocks=tuple(reader.blocks()),
        finish=reader.finish,
        usage=reader.usage,
        ends=done is not None,
        trouble=reader.trouble,
        says=reader.says,
        after=tuple(after.blocks()),
    )


class _Reader:
    """Puts pieces of one kind in a row together; calls by their index."""

    def __init__(self) -> None:
        self.head: Json = {}
        self.finish: str | None = None
        self.usage: Json | None = None
        self.trouble: str | None = None
        self.says = ""
        self._open: list[tuple[str, str, str, list[str]]] = []
        self._calls: dict[int, tuple[str, str, str, list[str]]] = {}

    def read(self, data: bytes) -> bool:
        """Take one event; False if nothing can follow it."""
        try:
            event = msgspec.json.decode(data)
        except msgspec.DecodeError:
            self.trouble = "garbage"
            return False
        if "error" in event:
            self.trouble, self.says = "error", event["error"]["message"]
            return False
        self.head = self.head or event
        self.usage = event.get("usage") or self.usage
        for choice in event["choices"]:
            self._read_choice(choice)
        return True

    def _read_choice(self, choice: Json) -> None:
        self.finish = choice.get("finish_reason") or self.finish
        delta = choice.get("delta") or {"content": choice.get("text")}
        for kind, name in (("thinking", "reasoning_content"), ("text", "content"), ("refusal", "refusal")):
            if delta.get(name):
                self._add(kind, delta[name])
        for call in delta.get("tool_calls") or ():
            function = call.get("function") or {}
            if call["index"] not in self._calls:
                entry = ("call", call["id"], function["name"], list[str]())
                self._calls[call["index"]] = entry
                self._open.append(entry)
            if function.get("arguments"):
                self._calls[call["index"]][3].append(function["arguments"])

    def _add(self, kind: str, text: str) -> None:
        if not self._open or self._open[-1][0] != kind:
            self._open.append((kind, "", "", []))
        self._open[-1][3].append(text)

    def blocks(self) -> list[Block]:
        return [Block(kind=kind, id=id_, name=name, deltas=tuple(texts)) for kind, id_, name, texts in self._open]


def asked_of(request: Json, model: str) -> Asked:
    """Read a request for a chat, a completion or embeddings."""
    asked = Asked(model=model, stream=request.get("stream") is True)
    for message in request.get("messages") or ():
        _add_message(asked, message)
    if isinstance(request.get("prompt"), str):
        asked.add("user", ("text", request["prompt"]))
    for place, tool in enumerate(request.get("tools") or ()):
        function = tool.get("function")
        if function is not None:
            asked.places[function["name"]] = place
            asked.tools[function["name"]] = {name: value for name, value in function.items() if name != "name"}
    _read_choice(asked, request.get("tool_choice"))
    asked.knobs = {name: request[name] for name in KNOBS if request.get(name) is not None}
    limit = request.get("max_completion_tokens") or request.get("max_tokens")
    asked.knobs |= {"max_tokens": limit} if limit else {}
    stop = request.get("stop")
    asked.knobs |= {"stop": [stop] if isinstance(stop, str) else stop} if stop else {}
    match request.get("response_format"):
        case {"type": "json_schema", "json_schema": form}:
            asked.schema = form.get("schema", {})
        case {"type": "json_object"}:
            asked.schema = {}
        case _:
            pass
    given = request.get("input")
    asked.inputs = [given] if isinstance(given, str) else given or []
    return asked


def _read_choice(asked: Asked, raw: Any) -> None:
    match raw:
        case str() | None:
            asked.choice = raw
        case {"type": "function", "function": {"name": name}}:
            asked.choice = f"={name}"
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}:
            asked.choice = mode
            asked.allow([tool["function"]["name"] for tool in tools])
        case _:
            raise AssertionError(f"no case chooses {raw!r}")


def _add_message(asked: Asked, message: Json) -> None:
    content = message.get("content")
    parts: list[Json] = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    match message["role"]:
        case "system" | "developer":
            asked.system += [part["text"] for part in parts if part["text"]]
        case "tool":
            asked.add("user", ("result", message["tool_call_id"], "".join(part.get("text", "") for part in parts)))
        case role:
            thinking = [
                ("thinking", block.get("thinking", block.get("data")), block.get("signature"))
                for block in message.get("thinking_blocks") or ()
            ]
            calls = [
                ("call", call["id"], call["function"]["name"], _arguments(call["function"]["arguments"]))
                for call in message.get("tool_calls") or ()
            ]
            told = "user" if role != "assistant" else role
            asked.add(told, *thinking, *map(_piece, parts), *calls)


def _arguments(text: str) -> Any:
    return msgspec.json.decode(text) if text else {}


def _piece(part: Json) -> tuple[Any, ...]:
    match part:
        case {"type": "text" | "refusal" as kind}:
            return ("text", part[kind])
        case {"type": "image_url", "image_url": {"url": str(url)}} if url.startswith("data:"):
            return ("image", *_data(url))
        case {"type": "image_url", "image_url": {"url": url}}:
            return ("image", "url", url)
        case {"type": "input_audio", "input_audio": {"data": data, "format": form}}:
            return ("audio", f"audio/{form}", data)
        case {"type": "file", "file": {"file_id": id_}}:
            return ("file", "id", id_)
        case {"type": "file", "file": {"file_data": url}}:
            return ("file", *_data(url))
        case _:
            return ("other", msgspec.json.encode(part).decode())


def _data(uri: str) -> tuple[str, str]:
    head, _, data = uri.partition(",")
    return head.removeprefix("data:").removesuffix(";base64"), data
