"""The chat request to Converse: what stands around the messages, and what of it has no place there.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import quote

import msgspec

from isthmusd.core.chat import (
    ChatRequest,
    Extra,
    JsonSchemaFormat,
    JsonText,
    Reasoning,
    TextFormat,
)
from isthmusd.core.profile import Profile, Thinking
from isthmusd.core.request import Loss
from isthmusd.dialects.base import Encoded
from isthmusd.dialects.bedrock.families import family_of
from isthmusd.dialects.bedrock.inference import Bounds, encode_inference, encode_knobs, limit_of
from isthmusd.dialects.bedrock.marks import Block, lose_members
from isthmusd.dialects.bedrock.messages import encode_conversation
from isthmusd.dialects.bedrock.thinking import Wish, encode_thinking
from isthmusd.dialects.bedrock.tools import Choice, Tooling, encode_tools

_AS_THEY_ARE = frozenset(
    {
        "guardrailConfig", "performanceConfig", "promptVariables", "additionalModelResponseFieldPaths", "serviceTier",
        "requestMetadata",
    }
)  # fmt: skip
"""Members of Converse that callers may write; they replace what was made of OpenAI's."""

_MERGED = frozenset({"inferenceConfig", "outputConfig", "additionalModelRequestFields"})
"""Members of Converse that callers may write, and that OpenAI's members share."""

_OF_THE_MODEL = frozenset({"thinking", "reasoning_config", "reasoningConfig", "output_config", "anthropic_beta"})
"""Members of models that Converse carries in `additionalModelRequestFields`."""

_KNOWN = _AS_THEY_ARE | _MERGED | _OF_THE_MODEL

_TIERS = frozenset({"default", "flex", "priority", "reserved"})
_METADATA_TEXT = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}\Z")
_MAX_METADATA = 16


def chat_path(model: str, stream: bool) -> str:
    """Give the path of a call; an ARN's colons and slashes are part of one segment."""
    return f"/model/{quote(model, safe='')}/{'converse-stream' if stream else 'converse'}"


def encode_chat_request(request: ChatRequest, model: str, profile: Profile) -> Encoded:
    """Write a chat request for the upstream model name `model`."""
    losses: list[Loss] = []
    family = family_of(model)
    if profile.thinking is Thinking.LEVEL:
        # Nor do Claude's models since 4.6: "The conversation must end with a user message."
        family = replace(family, continues=False)
    conversation = encode_conversation(request.messages, family, losses)
    tooling = encode_tools(request, conversation, family, profile, losses)
    limit = limit_of(request.sampling, profile)
    reasoning = request.reasoning or Reasoning()
    wish = Wish(reasoning, limit, conversation.resumes_unsigned, losses)
    thought = encode_thinking(wish, family, profile)
    if tooling.forced and (thought.constrains or "tool_choice" in profile.refuses):
        tooling = _unforced(tooling, thought.constrains, losses)
    bounds = Bounds(family=family, refuses=profile.refuses, constrained=thought.constrains)
    members: Block = {
        "messages": conversation.written(),
        "system": conversation.system,
        "inferenceConfig": encode_inference(request.sampling, limit, bounds, losses),
        "toolConfig": tooling.config(),
        "outputConfig": {**_text_format(request, profile, losses), **thought.output},
        "additionalModelRequestFields": {
            **encode_knobs(request.sampling, bounds, losses),
            **thought.fields,
            **tooling.fields(),
        },
        "requestMetadata": _metadata(request.metadata, losses),
        "serviceTier": _tier(request.service_tier, losses),
    }
    _lose_rest(request, losses)
    _add_natives(request.extra, members, losses)
    body = msgspec.json.encode({name: value for name, value in members.items() if value or name == "messages"})
    return Encoded(path=chat_path(model, request.stream), body=body, losses=tuple(losses))


def _unforced(tooling: Tooling, thinks: bool, losses: list[Loss]) -> Tooling:
    reason = f"the model cannot be made to call a tool{' while it thinks' if thinks else ''}"
    losses.append(Loss(field="tool_choice", reason=reason))
    return replace(tooling, choice=Choice(kind="auto"))


def _text_format(request: ChatRequest, profile: Profile, losses: list[Loss]) -> Block:
    """Source: https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html"""
    match request.response_format:
        case None | TextFormat():
            return {}
        case JsonSchemaFormat(schema=str() as schema) as form if profile.takes_schemas:
            described = {} if form.description is None else {"description": form.description}
            inner = {"schema": schema, "name": form.name, **described}
            return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": inner}}}
        case _:
            losses.append(Loss(field="response_format", reason="the model cannot be held to this format"))
            return {}


def _metadata(metadata: tuple[tuple[str, str], ...] | None, losses: list[Loss]) -> Block:
    written: Block = {}
    for name, value in metadata or ():
        if name and len(written) < _MAX_METADATA and _METADATA_TEXT.match(name) and _METADATA_TEXT.match(value):
            written[name] = value
        else:
            reason = "Bedrock takes 16 pairs of at most 256 plain characters"
            losses.append(Loss(field=f"metadata.{name}", reason=reason))
    return written


def _tier(tier: str | None, losses: list[Loss]) -> Block:
    if tier in (None, "auto"):
        return {}
    if tier in _TIERS:
        return {"type": tier}
    losses.append(Loss(field="service_tier", reason="Bedrock has no such tier"))
    return {}


def _lose_rest(request: ChatRequest, losses: list[Loss]) -> None:
    """Tell of what Converse has no field for, unless it asks for what happens anyway."""
    asked = {
        "verbosity": request.verbosity not in (None, "medium"),
        "user": request.user is not None,
        "store": bool(request.store),
        "modalities": request.modalities not in (None, (), ("text",)),
        "audio": request.audio is not None,
        "prediction": request.prediction is not None,
    }
    losses += [Loss(field=name, reason="Bedrock has no such field") for name, is_asked in asked.items() if is_asked]


def _add_natives(extra: Extra, members: Block, losses: list[Loss]) -> None:
    lose_members(extra, "", losses, _KNOWN)
    for name, text in extra:
        if text == "null":
            continue
        if name in _AS_THEY_ARE:
            members[name] = msgspec.Raw(text)
        elif name in _OF_THE_MODEL:
            _merge(members, "additionalModelRequestFields", {name: msgspec.Raw(text)})
        elif name in _MERGED:
            _merge_text(members, name, text, losses)


def _merge_text(members: Block, name: str, text: JsonText, losses: list[Loss]) -> None:
    try:
        _merge(members, name, msgspec.json.decode(text, type=dict[str, msgspec.Raw]))
    except (msgspec.DecodeError, RecursionError):
        losses.append(Loss(field=name, reason="Bedrock takes an object there"))


def _merge(members: Block, name: str, native: dict[str, msgspec.Raw]) -> None:
    """The caller's own words count where both speak."""
    made = members[name]
    members[name] = {**made, **native} if isinstance(made, dict) else native
