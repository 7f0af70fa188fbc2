"""Requests of the hub as our request messages: the way back of what the dialect does, for tests of both together."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import msgspec
from isthmus.v1 import chat_pb2, completion_pb2, embedding_pb2
from isthmusd.core.chat import (
    ChatRequest,
    Extra,
    FunctionTool,
    JsonObjectFormat,
    JsonSchemaFormat,
    JsonText,
    RawFormat,
    RawTool,
    RawToolChoice,
    ResponseFormat,
    TextFormat,
    Tool,
    ToolChoice,
    ToolChoiceFunction,
    ToolChoiceMode,
)
from isthmusd.core.completion import CompletionRequest
from isthmusd.core.embedding import EmbeddingRequest, RawInput
from isthmusd.dialects.isthmus.fields import join
from isthmusd.dialects.isthmus.messages import write_message

MODES = {
    "auto": chat_pb2.TOOL_CHOICE_MODE_AUTO,
    "none": chat_pb2.TOOL_CHOICE_MODE_NONE,
    "required": chat_pb2.TOOL_CHOICE_MODE_REQUIRED,
}
HINTS = ("safety_identifier", "prompt_cache_key", "prompt_cache_retention")
ENCODINGS = {
    None: embedding_pb2.EMBEDDING_ENCODING_UNSPECIFIED,
    "float": embedding_pb2.EMBEDDING_ENCODING_FLOATS,
    "base64": embedding_pb2.EMBEDDING_ENCODING_FLOAT32_LE,
}


def ask_chat(request: ChatRequest) -> chat_pb2.ChatRequest:
    wire = chat_pb2.ChatRequest()
    extra = _knobs(wire, request)
    for message in request.messages:
        write_message(message, wire.messages.add())
    wire.tools.extend(map(_tool, request.tools))
    if request.tool_choice is not None:
        wire.tool_choice.CopyFrom(_tool_choice(request.tool_choice))
    if request.response_format is not None:
        wire.response_format.CopyFrom(_format(request.response_format))
    if request.reasoning is not None:
        reasoning = request.reasoning
        told = {"effort": reasoning.effort, "max_tokens": reasoning.max_tokens, "include": reasoning.include}
        wire.reasoning.CopyFrom(chat_pb2.Reasoning(**told))
    wire.metadata.update(dict(request.metadata or ()))
    wire.modalities.extend(request.modalities or ())
    if request.audio is not None:
        audio = msgspec.json.decode(request.audio)
        voice = audio["voice"]
        named = {"voice": voice} if isinstance(voice, str) else {"voice_json": msgspec.json.encode(voice).decode()}
        wire.audio.CopyFrom(chat_pb2.AudioOutput(format=audio["format"], **named))
    wire.prediction_json = request.prediction or ""
    for name, text in extra:
        if name in HINTS:
            setattr(wire, name, msgspec.json.decode(text))
    wire.extra_json = join(tuple(member for member in extra if member[0] not in HINTS))
    return wire


def ask_completion(request: CompletionRequest) -> completion_pb2.CompletionRequest:
    wire = completion_pb2.CompletionRequest()
    wire.extra_json = join(_knobs(wire, request))
    for prompt in request.prompts:
        if isinstance(prompt, str):
            wire.prompt.add(text=prompt)
        else:
            wire.prompt.add(tokens={"values": prompt})
    return wire


def ask_embedding(request: EmbeddingRequest) -> embedding_pb2.EmbeddingRequest:
    wire = embedding_pb2.EmbeddingRequest(model=request.model, dimensions=request.dimensions, user=request.user)
    extra = request.extra
    if request.encoding_format in ENCODINGS:
        wire.encoding = ENCODINGS[request.encoding_format]
    else:
        extra = (("encoding_format", JsonText(f'"{request.encoding_format}"')), *extra)
    wire.extra_json = join(extra)
    for one in request.inputs:
        match one:
            case str():
                wire.input.add(text=one)
            case tuple():
                wire.input.add(tokens={"values": one})
            case RawInput(json=json):
                wire.input.add(raw_json=json)
    return wire


def _knobs(wire: Any, request: ChatRequest | CompletionRequest) -> Extra:
    """Set what has the same name here and there; give the members that are left for `extra_json`."""
    names = {field.name for field in wire.DESCRIPTOR.fields if field.message_type is None}
    sampling, extra = request.sampling, request.extra
    values = {field.name: getattr(sampling, field.name) for field in fields(sampling)} | {
        field.name: getattr(request, field.name)
        for field in fields(request)
        if isinstance(getattr(request, field.name), str | int | float)
    }
    if sampling.seed is not None and not -(2**63) <= sampling.seed < 2**63:
        extra = (("seed", JsonText(str(values.pop("seed")))), *extra)
    for name, value in values.items():
        match value:
            case str() | int() | float() if name in names:
                setattr(wire, name, value)
            case _:
                pass
    wire.stop.extend(sampling.stop or ())
    wire.logit_bias.update(dict(sampling.logit_bias or ()))
    return extra


def _tool(tool: Tool) -> chat_pb2.Tool:
    match tool:
        case FunctionTool():
            told = {"name": tool.name, "description": tool.description, "strict": tool.strict}
            return chat_pb2.Tool(function={**told, "parameters_json": tool.parameters}, extra_json=join(tool.extra))
        case RawTool(json=json):
            return chat_pb2.Tool(raw_json=json)


def _tool_choice(choice: ToolChoice) -> chat_pb2.ToolChoice:
    match choice:
        case ToolChoiceMode(mode=mode):
            return chat_pb2.ToolChoice(mode=MODES[mode])
        case ToolChoiceFunction(name=name):
            return chat_pb2.ToolChoice(function_name=name)
        case RawToolChoice(json=json):
            return _raw_choice(json)


def _raw_choice(json: JsonText) -> chat_pb2.ToolChoice:
    match msgspec.json.decode(json):
        case {"allowed_tools": {"mode": mode, "tools": tools}}:
            names = [tool["function"]["name"] for tool in tools]
            return chat_pb2.ToolChoice(allowed_tools={"mode": MODES[mode], "function_names": names})
        case _:
            return chat_pb2.ToolChoice(raw_json=json)


def _format(form: ResponseFormat) -> chat_pb2.ResponseFormat:
    match form:
        case TextFormat():
            return chat_pb2.ResponseFormat(text={})
        case JsonObjectFormat():
            return chat_pb2.ResponseFormat(json_object={})
        case JsonSchemaFormat():
            told = {"name": form.name, "description": form.description, "strict": form.strict}
            return chat_pb2.ResponseFormat(json_schema={**told, "schema_json": form.schema})
        case RawFormat(json=json):
            return chat_pb2.ResponseFormat(raw_json=json)
