"""Reads what Cohere's v2 chat and embed are asked. It answers nothing.

Source: https://docs.cohere.com/reference/chat and https://docs.cohere.com/reference/embed
"""

from __future__ import annotations

from typing import Any

import msgspec

from tests.fakes.received import Received
from tests.fakes.wire_turn import Asked, Json, renamed

KNOBS = {
    "temperature": "temperature",
    "p": "top_p",
    "k": "top_k",
    "max_tokens": "max_tokens",
    "stop_sequences": "stop",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "logprobs": "logprobs",
}
MODES = {"REQUIRED": "required", "NONE": "none"}


def asked_of(received: Received) -> Asked:
    """Read one request."""
    given: Json = received.json()
    asked = Asked(model=given["model"], stream=given.get("stream") is True)
    if received.path.endswith("/embed"):
        assert given["input_type"], "Cohere demands it of its newer models"
        assert given["embedding_types"] in (["float"], ["base64"])
        asked.inputs = given["texts"]
        asked.knobs = {"dimensions": given["output_dimension"]} if "output_dimension" in given else {}
        return asked
    assert received.path.endswith("/chat"), received.path
    for message in given["messages"]:
        _read_message(asked, message)
    for tool in given.get("tools", ()):
        function = tool["function"]
        names = {"description": "description", "parameters": "parameters"}
        asked.tools[function["name"]] = renamed(function, names)
        if given.get("strict_tools") is not None:
            asked.tools[function["name"]]["strict"] = given["strict_tools"]
    asked.choice = MODES.get(given.get("tool_choice", ""))
    asked.knobs = renamed(given, KNOBS)
    form = given.get("response_format", {})
    asked.schema = form.get("json_schema", {}) if form.get("type") == "json_object" else None
    return asked


def _read_message(asked: Asked, message: Json) -> None:
    match message["role"]:
        case "system":
            asked.system += [part["text"] for part in _parts(message["content"])]
        case "user":
            asked.add("user", *map(_piece, _parts(message["content"])))
        case "assistant":
            plan = [("text", message["tool_plan"])] if message.get("tool_plan") else []
            calls = [
                ("call", call["id"], call["function"]["name"], msgspec.json.decode(call["function"]["arguments"]))
                for call in message.get("tool_calls") or ()
            ]
            said = [_piece(part) for part in _parts(message.get("content") or [])]
            assert not calls or all(piece[0] == "thinking" for piece in said), "text beside calls is a tool_plan"
            asked.add("assistant", *said, *plan, *calls)
        case "tool":
            text = "".join(map(_result, _parts(message["content"])))
            asked.add("user", ("result", message["tool_call_id"], text))
        case role:
            raise AssertionError(f"no role of Cohere's: {role}")


def _parts(content: str | list[Json]) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _piece(part: Json) -> tuple[Any, ...]:
    match part:
        case {"type": "text", "text": text}:
            return ("text", text)
        case {"type": "thinking", "thinking": text}:
            return ("thinking", text, None)
        case {"type": "image_url", "image_url": {"url": url}} if url.startswith("data:"):
            head, _, data = url.partition(",")
            return ("image", head.removeprefix("data:").removesuffix(";base64"), data)
        case {"type": "image_url", "image_url": {"url": url}}:
            return ("image", "url", url)
        case _:
            raise AssertionError(f"no part of Cohere's: {part}")


def _result(part: Json) -> str:
    match part:
        case {"type": "text", "text": text}:
            return text
        case {"type": "document", "document": {"data": str(text)}}:
            return text
        case {"type": "document", "document": {"data": {"text": text}}}:
            return text
        case _:
            return msgspec.json.encode(part).decode()
