"""Reads what Anthropic's Messages API is asked. It answers nothing.

Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from typing import Any

from tests.fakes.received import Received
from tests.fakes.wire_turn import Asked, Json, renamed

MODES = {"auto": "auto", "any": "required", "none": "none"}
KNOBS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_tokens": "max_tokens",
    "stop_sequences": "stop",
}
TIERS = {"auto": "auto", "standard_only": "default"}


def asked_of(received: Received) -> Asked:
    """Read one request."""
    given: Json = received.json()
    assert received.path.endswith("/messages"), received.path
    assert received.header("anthropic-version") == "2023-06-01"
    assert isinstance(given["max_tokens"], int), "Anthropic demands a limit"
    asked = Asked(model=given["model"], stream=given.get("stream") is True)
    asked.system = [block["text"] for block in _blocks(given.get("system", []))]
    for message in given["messages"]:
        assert message["role"] in ("user", "assistant", "system"), message
        blocks = _blocks(message["content"])
        if message["role"] == "system":
            asked.system += [block["text"] for block in blocks]
            continue
        assert blocks, "Anthropic refuses a turn that says nothing"
        asked.add(message["role"], *map(piece, blocks))
    for tool in given.get("tools", ()):
        asked.tools[tool["name"]] = renamed(
            tool, {"description": "description", "input_schema": "parameters", "strict": "strict"}
        )
    choice = given.get("tool_choice", {})
    asked.choice = f"={choice['name']}" if choice.get("type") == "tool" else MODES.get(choice.get("type"))
    asked.knobs = renamed(given, KNOBS)
    if choice.get("disable_parallel_tool_use") is not None:
        asked.knobs["parallel_tool_calls"] = not choice["disable_parallel_tool_use"]
    if "user_id" in given.get("metadata", {}):
        asked.knobs["user"] = given["metadata"]["user_id"]
    if given.get("service_tier") in TIERS:
        asked.knobs["service_tier"] = TIERS[given["service_tier"]]
    form = given.get("output_config", {}).get("format") or {}
    asked.schema = form.get("schema")
    return asked


def _blocks(content: str | list[Json]) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def piece(block: Json) -> tuple[Any, ...]:
    """Read one block of a message."""
    match block:
        case {"type": "text", "text": str(text)}:
            assert text.strip(), "Anthropic refuses empty texts"
            return ("text", text)
        case {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}:
            return ("image", kind, data)
        case {"type": "image", "source": {"type": "url", "url": url}}:
            return ("image", "url", url)
        case {"type": "document", "source": {"type": "base64", "media_type": kind, "data": data}}:
            return ("file", kind, data)
        case {"type": "document", "source": {"type": "file", "file_id": id_}}:
            return ("file", "id", id_)
        case {"type": "tool_use", "id": id_, "name": name, "input": dict(given)}:
            return ("call", id_, name, given)
        case {"type": "tool_result", "tool_use_id": id_}:
            return ("result", id_, "".join(one["text"] for one in _blocks(block.get("content", ""))))
        case {"type": "thinking", "thinking": text, "signature": signature}:
            return ("thinking", text, signature)
        case {"type": "redacted_thinking", "data": data}:
            return ("thinking", data, None)
        case _:
            raise AssertionError(f"no block of Anthropic's: {block}")
