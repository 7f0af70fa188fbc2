"""The legacy completion request, both ways. What chat-only models make of it is `core/bridge.py`.

Source: https://platform.openai.com/docs/api-reference/completions/create
"""

from __future__ import annotations

import msgspec

from isthmusd.core.completion import CompletionRequest
from isthmusd.core.profile import Profile
from isthmusd.core.request import Loss
from isthmusd.dialects.base import Encoded
from isthmusd.dialects.openai.errors import request_fault
from isthmusd.dialects.openai.fitting import fitted
from isthmusd.dialects.openai.sampling import decode_sampling, encode_sampling
from isthmusd.dialects.openai.stream_options import carried_extra, decode_stream_options, encode_stream
from isthmusd.dialects.openai.texts import decode_prompts
from isthmusd.framing.fields import Fields, drop_none

PATH = "/completions"


def decode_completion_request(body: bytes) -> CompletionRequest:
    """Read a completion request. Raises InvalidRequest naming the field."""
    fields = Fields.of(body, "", request_fault)
    include_usage, stream_extra = decode_stream_options(fields)
    return CompletionRequest(
        model=fields.required_text("model"),
        prompts=decode_prompts(fields, request_fault),
        sampling=decode_sampling(fields),
        logprobs=fields.integer("logprobs"),
        suffix=fields.text("suffix"),
        echo=fields.boolean("echo"),
        best_of=fields.integer("best_of"),
        user=fields.text("user"),
        stream=fields.boolean("stream") or False,
        include_usage=include_usage,
        extra=fields.rest() + stream_extra,
    )


def encode_completion_request(request: CompletionRequest, model: str, profile: Profile) -> Encoded:
    """Write a completion request for the upstream model name `model`."""
    losses: list[Loss] = []
    members = {
        "model": model,
        "prompt": request.prompts[0] if len(request.prompts) == 1 else request.prompts,
        **encode_sampling(request.sampling),
        "logprobs": request.logprobs,
        "suffix": request.suffix,
        "echo": request.echo,
        "best_of": request.best_of,
        "user": request.user,
        **encode_stream(request.stream, request.extra, profile),
    }
    extra = carried_extra(request.extra, profile, losses)
    body = fitted(drop_none(members, extra), profile, losses)
    return Encoded(path=PATH, body=msgspec.json.encode(body), losses=tuple(losses))
