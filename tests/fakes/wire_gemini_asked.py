"""Reads what Google's generateContent and embedContent are asked. It answers nothing.

Source: https://ai.google.dev/api/generate-content and https://ai.google.dev/api/embeddings
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import msgspec

from tests.fakes.received import Received
from tests.fakes.wire_turn import Asked, Json, renamed

PATH = re.compile(r".*/models/(?P<model>[^/:?]+(?:/[^:?]+)?):(?P<method>\w+)(?P<query>\?alt=sse)?")
MODES = {"AUTO": "auto", "ANY": "required", "NONE": "none", "VALIDATED": "auto"}
STRICT = ("ANY", "VALIDATED", "NONE")
"""Modes that hold arguments to their schemas, or have none."""
TIERS = {"standard": "default"}
KNOBS = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "maxOutputTokens": "max_tokens",
    "stopSequences": "stop",
    "seed": "seed",
    "frequencyPenalty": "frequency_penalty",
    "presencePenalty": "presence_penalty",
    "candidateCount": "n",
    "responseLogprobs": "logprobs",
    "logprobs": "top_logprobs",
}
WRAPPERS = ("result", "output", "content", "error")


def asked_of(received: Received) -> Asked:
    """Read one request."""
    found = PATH.fullmatch(received.path)
    assert found is not None, received.path
    given: Json = received.json()
    asked = Asked(model=unquote(found["model"]), stream=found["method"] == "streamGenerateContent")
    assert bool(found["query"]) is asked.stream
    if "mbed" in found["method"]:
        _read_embedding(asked, given)
        return asked
    asked.system = [part["text"] for part in given.get("systemInstruction", {}).get("parts", ())]
    for content in given["contents"]:
        assert content["role"] in ("user", "model"), content
        assert content["parts"], "Google refuses a turn that says nothing"
        asked.add("user" if content["role"] == "user" else "assistant", *map(piece, content["parts"]))
    for tool in given.get("tools", ()):
        for function in tool.get("functionDeclarations", ()):
            names = {"description": "description", "parametersJsonSchema": "parameters", "parameters": "parameters"}
            asked.tools[function["name"]] = renamed(function, names)
    _read_choice(asked, given.get("toolConfig", {}).get("functionCallingConfig", {}))
    config: Json = given.get("generationConfig", {})
    asked.knobs = renamed(config, KNOBS)
    if "serviceTier" in given:
        asked.knobs["service_tier"] = TIERS.get(given["serviceTier"], given["serviceTier"])
    if config.get("responseMimeType") == "application/json":
        asked.schema = config.get("responseJsonSchema") or config.get("responseSchema") or {}
    return asked


def _read_choice(asked: Asked, config: Json) -> None:
    asked.choice = MODES.get(config.get("mode", ""))
    for tool in asked.tools.values():
        tool["strict"] = config.get("mode") in STRICT
    match config.get("allowedFunctionNames"):
        case [name] if asked.choice == "required":
            asked.choice = f"={name}"
        case None:
            pass
        case names:
            asked.allow(names)


def _read_embedding(asked: Asked, given: Json) -> None:
    requests: list[Json] = given.get("requests") or [given]
    asked.inputs = ["".join(part["text"] for part in one["content"]["parts"]) for one in requests]
    sizes = [one["outputDimensionality"] for one in requests if "outputDimensionality" in one]
    asked.knobs = {"dimensions": sizes[0]} if sizes else {}


def piece(part: Json) -> tuple[Any, ...]:
    """Read one part of a turn."""
    match part:
        case {"functionCall": {"name": name, **rest}}:
            signed = (part["thoughtSignature"],) if "thoughtSignature" in part else ()
            return ("call", rest.get("id", ""), name, rest.get("args", {}), *signed)
        case {"functionResponse": {"name": str(), "response": dict(response), **rest}}:
            return ("result", rest.get("id", ""), _result(response))
        case {"text": str(text), "thought": True}:
            return ("thinking", text, part.get("thoughtSignature"))
        case {"text": str(text)}:
            return ("text", text)
        case {"inlineData": {"mimeType": kind, "data": data}}:
            return (_kind(kind), kind, data)
        case {"fileData": {"fileUri": url}}:
            return (_kind(part["fileData"].get("mimeType", "image/")), "url", url)
        case _:
            raise AssertionError(f"no part of Google's: {part}")


def _kind(mime_type: str) -> str:
    family = mime_type.partition("/")[0]
    return family if family in ("image", "audio") else "file"


def _result(response: Json) -> str:
    match list(response.items()):
        case [(name, str(text))] if name in WRAPPERS:
            return text
        case [(name, value)] if name in WRAPPERS:
            return msgspec.json.encode(value).decode()
        case _:
            return msgspec.json.encode(response).decode()
