"""Turns an OpenAI request, as the corpus has it, into the typed request that says the same. Pure; it is written against
the contract alone and shares no code with the gateway, so that it can disagree with it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import msgspec
from isthmus.v1 import chat_pb2, completion_pb2, embedding_pb2

Json = dict[str, Any]
MODES = {
    "auto": chat_pb2.TOOL_CHOICE_MODE_AUTO,
    "none": chat_pb2.TOOL_CHOICE_MODE_NONE,
    "required": chat_pb2.TOOL_CHOICE_MODE_REQUIRED,
}
# fmt: off
SCALARS = (
    "model", "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "n", "parallel_tool_calls",
    "top_k", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty", "logprobs", "top_logprobs",
    "user", "store", "service_tier", "verbosity", "safety_identifier", "prompt_cache_key",
    "prompt_cache_retention", "suffix", "echo", "best_of", "dimensions",
)
# fmt: on
STREAMING = ("stream", "stream_options")


def text_of(value: Any) -> str:
    """JSON text of a value, in the order of its members."""
    return msgspec.json.encode(value).decode()


def chat_request(body: Json) -> chat_pb2.ChatRequest:
    """Build the typed form of a chat request."""
    request = chat_pb2.ChatRequest()
    rest = _set_scalars(request, body)
    request.messages.extend(_message(one) for one in rest.pop("messages", ()))
    request.tools.extend(_tool(one) for one in rest.pop("tools", ()))
    for name, put in CHAT_MEMBERS.items():
        if name in rest:
            put(request, rest.pop(name))
    _set_extra(request, rest)
    return request


def completion_request(body: Json) -> completion_pb2.CompletionRequest:
    """Build the typed form of a legacy completion request."""
    request = completion_pb2.CompletionRequest()
    rest = _set_scalars(request, body)
    if "prompt" in rest:
        request.prompt.extend(_prompt(one) for one in _each(rest.pop("prompt")))
    for name in ("stop", "logit_bias"):
        if name in rest:
            CHAT_MEMBERS[name](request, rest.pop(name))
    _set_extra(request, rest)
    return request


def embedding_request(body: Json) -> embedding_pb2.EmbeddingRequest:
    """Build the typed form of an embedding request."""
    request = embedding_pb2.EmbeddingRequest()
    rest = _set_scalars(request, body)
    if "input" in rest:
        request.input.extend(_embedding_input(one) for one in _each(rest.pop("input")))
    rest.pop("encoding_format", None)
    _set_extra(request, rest)
    return request


def _set_scalars(request: Any, body: Json) -> Json:
    """Set what has the same name and form on both sides; give back the rest."""
    known = {field.name for field in request.DESCRIPTOR.fields}
    rest = {name: value for name, value in body.items() if name not in STREAMING}
    for name in SCALARS:
        if name in known and rest.get(name) is not None:
            setattr(request, name, rest.pop(name))
    return rest


def _set_extra(holder: Any, rest: Json) -> None:
    if rest:
        holder.extra_json = text_of(rest)


def _each(value: Any) -> list[Any]:
    """One text, several, one list of tokens, or several: as a list of single inputs."""
    if isinstance(value, list) and not (value and isinstance(value[0], int)):
        return value
    return [value]


def _prompt(value: Any) -> completion_pb2.Prompt:
    if isinstance(value, str):
        return completion_pb2.Prompt(text=value)
    return completion_pb2.Prompt(tokens=completion_pb2.PromptTokens(values=value))


def _embedding_input(value: Any) -> embedding_pb2.EmbeddingInput:
    if isinstance(value, str):
        return embedding_pb2.EmbeddingInput(text=value)
    return embedding_pb2.EmbeddingInput(tokens=embedding_pb2.EmbeddingTokens(values=value))


def _message(raw: Json) -> chat_pb2.Message:
    rest = dict(raw)
    message = chat_pb2.Message(role=rest.pop("role"))
    content = rest.pop("content", None)
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    message.parts.extend(_part(one) for one in parts)
    message.tool_calls.extend(_tool_call(one) for one in rest.pop("tool_calls", ()))
    if rest.get("refusal") is not None:
        message.parts.append(chat_pb2.Part(refusal=rest.pop("refusal")))
    for name in ("name", "tool_call_id"):
        if name in rest:
            setattr(message, name, rest.pop(name))
    _set_extra(message, rest)
    return message


def _part(raw: Json) -> chat_pb2.Part:
    kind = raw["type"]
    if kind not in PARTS:
        return chat_pb2.Part(raw_json=text_of(raw))
    part = PARTS[kind](raw[kind])
    _set_extra(part, {name: value for name, value in raw.items() if name not in ("type", kind)})
    return part


def _image(raw: Json) -> chat_pb2.Part:
    image = chat_pb2.Image(detail=raw.get("detail"))
    if raw["url"].startswith("data:"):
        image.inline.CopyFrom(_blob(raw["url"]))
    else:
        image.url = raw["url"]
    return chat_pb2.Part(image=image)


def _audio(raw: Json) -> chat_pb2.Part:
    return chat_pb2.Part(audio=chat_pb2.Audio(format=raw["format"], data=base64.b64decode(raw["data"])))


def _file(raw: Json) -> chat_pb2.Part:
    file = chat_pb2.File(filename=raw.get("filename"))
    if "file_id" in raw:
        file.file_id = raw["file_id"]
    else:
        file.inline.CopyFrom(_blob(raw["file_data"]))
    return chat_pb2.Part(file=file)


PARTS: dict[str, Callable[[Any], chat_pb2.Part]] = {
    "text": lambda text: chat_pb2.Part(text=text),
    "refusal": lambda text: chat_pb2.Part(refusal=text),
    "image_url": _image,
    "input_audio": _audio,
    "file": _file,
}


def _blob(uri: str) -> chat_pb2.Blob:
    head, _, data = uri.partition(",")
    kind = head.removeprefix("data:").removesuffix(";base64")
    return chat_pb2.Blob(mime_type=kind, data=base64.b64decode(data))


def _tool_call(raw: Json) -> chat_pb2.ToolCall:
    kind = raw.get("type", "function")
    called = raw[kind]
    arguments = called["arguments" if kind == "function" else "input"]
    call = chat_pb2.ToolCall(id=raw["id"], name=called["name"], arguments=arguments)
    if kind != "function":
        call.type = kind
    return call


def _tool(raw: Json) -> chat_pb2.Tool:
    if raw["type"] != "function":
        return chat_pb2.Tool(raw_json=text_of(raw))
    rest = dict(raw["function"])
    function = chat_pb2.Function(name=rest.pop("name"))
    if "parameters" in rest:
        function.parameters_json = text_of(rest.pop("parameters"))
    for name in ("description", "strict"):
        if name in rest:
            setattr(function, name, rest.pop(name))
    _set_extra(function, rest)
    tool = chat_pb2.Tool(function=function)
    _set_extra(tool, {name: value for name, value in raw.items() if name not in ("type", "function")})
    return tool


def _put_tool_choice(request: chat_pb2.ChatRequest, raw: Any) -> None:
    match raw:
        case str() if raw in MODES:
            request.tool_choice.mode = MODES[raw]
        case {"type": "function", "function": {"name": name}}:
            request.tool_choice.function_name = name
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}:
            allowed = request.tool_choice.allowed_tools
            allowed.mode = MODES[mode]
            allowed.function_names.extend(tool["function"]["name"] for tool in tools)
        case _:
            request.tool_choice.raw_json = text_of(raw)


def _put_response_format(request: chat_pb2.ChatRequest, raw: Json) -> None:
    match raw["type"]:
        case "text":
            request.response_format.text.SetInParent()
        case "json_object":
            request.response_format.json_object.SetInParent()
        case "json_schema":
            given = raw["json_schema"]
            form = request.response_format.json_schema
            form.name = given["name"]
            form.schema_json = text_of(given["schema"])
            for name in ("description", "strict"):
                if name in given:
                    setattr(form, name, given[name])
        case _:
            request.response_format.raw_json = text_of(raw)


def _put_stop(request: Any, raw: Any) -> None:
    request.stop.extend([raw] if isinstance(raw, str) else raw)


CHAT_MEMBERS: dict[str, Callable[[Any, Any], None]] = {
    "tool_choice": _put_tool_choice,
    "response_format": _put_response_format,
    "stop": _put_stop,
    "logit_bias": lambda request, raw: request.logit_bias.update(raw),
    "metadata": lambda request, raw: request.metadata.update(raw),
    "modalities": lambda request, raw: request.modalities.extend(raw),
    "audio": lambda request, raw: request.audio.CopyFrom(chat_pb2.AudioOutput(**raw)),
    "prediction": lambda request, raw: setattr(request, "prediction_json", text_of(raw)),
    "reasoning_effort": lambda request, raw: setattr(request.reasoning, "effort", raw),
}
"""Members of a chat request that need more than setting a field of the same name."""
