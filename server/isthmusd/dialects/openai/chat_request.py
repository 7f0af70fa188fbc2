"""The chat completion request, both ways. Messages are `message.py`, tools `tools.py`.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from isthmusd.core.chat import ChatRequest
from isthmusd.core.profile import Profile
from isthmusd.core.request import Loss
from isthmusd.dialects.base import Encoded
from isthmusd.dialects.openai.errors import request_fault
from isthmusd.dialects.openai.fitting import fitted
from isthmusd.dialects.openai.message import decode_message, encode_message
from isthmusd.dialects.openai.reasoning import decode_reasoning, encode_reasoning
from isthmusd.dialects.openai.sampling import decode_sampling, encode_sampling
from isthmusd.dialects.openai.stream_options import carried_extra, decode_stream_options, encode_stream
from isthmusd.dialects.openai.tools import (
    decode_response_format,
    decode_tool_choice,
    decode_tools,
    encode_response_format,
    encode_tool_choice,
    encode_tools,
)
from isthmusd.framing.fields import Fields, drop_none, raw_or_none

PATH = "/chat/completions"


def decode_chat_request(body: bytes) -> ChatRequest:
    """Read a chat request. Raises InvalidRequest naming the field."""
    fields = Fields.of(body, "", request_fault)
    messages = fields.objects("messages")
    if not messages:
        raise fields.fault("'messages' must hold at least one message.", "messages")
    include_usage, stream_extra = decode_stream_options(fields)
    reasoning, reasoning_extra = decode_reasoning(fields)
    metadata = fields.object("metadata")
    return ChatRequest(
        model=fields.required_text("model"),
        messages=tuple(decode_message(message, request_fault) for message in messages),
        sampling=replace(
            decode_sampling(fields),
            logprobs=fields.boolean("logprobs"),
            top_logprobs=fields.integer("top_logprobs"),
        ),
        tools=decode_tools(fields, request_fault),
        tool_choice=decode_tool_choice(fields, request_fault),
        parallel_tool_calls=fields.boolean("parallel_tool_calls"),
        response_format=decode_response_format(fields, request_fault),
        reasoning=reasoning,
        verbosity=fields.text("verbosity"),
        user=fields.text("user"),
        metadata=None if metadata is None else tuple(_pairs(metadata)),
        store=fields.boolean("store"),
        service_tier=fields.text("service_tier"),
        modalities=fields.texts("modalities"),
        audio=fields.json("audio"),
        prediction=fields.json("prediction"),
        stream=fields.boolean("stream") or False,
        include_usage=include_usage,
        extra=fields.rest() + reasoning_extra + stream_extra,
    )


def encode_chat_request(request: ChatRequest, model: str, profile: Profile) -> Encoded:
    """Write a chat request for the upstream model name `model`."""
    losses: list[Loss] = []
    messages = [
        encode_message(message, f"messages[{place}]", profile, losses) for place, message in enumerate(request.messages)
    ]
    members = {
        "model": model,
        "messages": messages,
        **encode_sampling(request.sampling),
        "logprobs": request.sampling.logprobs,
        "top_logprobs": request.sampling.top_logprobs,
        "tools": encode_tools(request.tools),
        "tool_choice": encode_tool_choice(request.tool_choice),
        "parallel_tool_calls": request.parallel_tool_calls,
        "response_format": encode_response_format(request.response_format),
        **encode_reasoning(request.reasoning, profile, losses),
        "verbosity": request.verbosity,
        "user": request.user,
        "metadata": None if request.metadata is None else dict(request.metadata),
        "store": request.store,
        "service_tier": request.service_tier,
        "modalities": request.modalities,
        "audio": raw_or_none(request.audio),
        "prediction": raw_or_none(request.prediction),
        **encode_stream(request.stream, request.extra, profile),
    }
    extra = carried_extra(request.extra, profile, losses)
    body = fitted(drop_none(members, extra), profile, losses)
    return Encoded(path=PATH, body=msgspec.json.encode(body), losses=tuple(losses))


def _pairs(metadata: Fields) -> list[tuple[str, str]]:
    return [(name, metadata.required_text(name)) for name in metadata.names()]
