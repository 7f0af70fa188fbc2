"""Reads what Bedrock's Converse, ConverseStream and InvokeModel (of Cohere's embeddings) are asked. It answers none.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from __future__ import annotations

import base64
import re
from typing import Any
from urllib.parse import unquote

import msgspec

from tests.fakes.received import Received
from tests.fakes.wire_turn import Asked, Json, renamed

PATH = re.compile(r".*/model/(?P<model>[^/?]+)/(?P<method>converse|converse-stream|invoke)")
KNOBS = {"temperature": "temperature", "topP": "top_p", "maxTokens": "max_tokens", "stopSequences": "stop"}
KINDS = {"jpeg": "image/jpeg", "png": "image/png", "gif": "image/gif", "webp": "image/webp", "pdf": "application/pdf"}


def asked_of(received: Received) -> Asked:
    """Read one request."""
    found = PATH.fullmatch(received.path)
    assert found is not None, received.path
    given: Json = received.json()
    asked = Asked(model=unquote(found["model"]), stream=found["method"] == "converse-stream")
    if found["method"] == "invoke":
        asked.inputs = given["texts"]
        asked.knobs = {"dimensions": given["output_dimension"]} if "output_dimension" in given else {}
        return asked
    asked.system = [block["text"] for block in given.get("system", ()) if "text" in block]
    for message in given["messages"]:
        assert message["role"] in ("user", "assistant"), message
        assert message["content"], "Bedrock refuses a turn that says nothing"
        asked.add(message["role"], *(piece(block) for block in message["content"] if "cachePoint" not in block))
    config: Json = given.get("toolConfig", {})
    for tool in config.get("tools", ()):
        if "toolSpec" in tool:
            spec: Json = tool["toolSpec"]
            known = renamed(spec, {"description": "description", "strict": "strict"})
            asked.tools[spec["name"]] = known | {"parameters": spec["inputSchema"]["json"]}
    match config.get("toolChoice"):
        case {"tool": {"name": name}}:
            asked.choice = f"={name}"
        case {"any": {}}:
            asked.choice = "required"
        case {"auto": {}}:
            asked.choice = "auto"
        case _:
            pass
    asked.knobs = renamed(given.get("inferenceConfig", {}), KNOBS)
    if "serviceTier" in given:
        asked.knobs["service_tier"] = given["serviceTier"]["type"]
    if "top_k" in given.get("additionalModelRequestFields", {}):
        asked.knobs["top_k"] = given["additionalModelRequestFields"]["top_k"]
    return asked


def piece(block: Json) -> tuple[Any, ...]:
    """Read one block of a message."""
    match block:
        case {"text": str(text)}:
            assert text.strip(), "Bedrock refuses empty texts"
            return ("text", text)
        case {"image": {"format": form, "source": {"bytes": data}}}:
            return ("image", KINDS[form], data)
        case {"audio": {"format": form, "source": {"bytes": data}}}:
            return ("audio", f"audio/{form}", data)
        case {"document": {"format": form, "name": str(), "source": {"bytes": data}}}:
            return ("file", KINDS[form], data)
        case {"toolUse": {"toolUseId": id_, "name": name, "input": dict(given)}}:
            return ("call", id_, name, given)
        case {"toolResult": {"toolUseId": id_, "content": content}}:
            return ("result", id_, "".join(map(_result, content)))
        case {"reasoningContent": {"reasoningText": {"text": text, **rest}}}:
            return ("thinking", text, rest.get("signature"))
        case {"reasoningContent": {"redactedContent": data}}:
            return ("thinking", base64.b64decode(data).decode(), None)
        case _:
            raise AssertionError(f"no block of Bedrock's: {block}")


def _result(content: Json) -> str:
    return content["text"] if "text" in content else msgspec.json.encode(content["json"]).decode()
