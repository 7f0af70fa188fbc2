"""The chat request as a Messages request: its members at the top. Each of them has a module of its own.

Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

import msgspec

from isthmusd.core.chat import ChatRequest, Extra, JsonText
from isthmusd.core.profile import Profile
from isthmusd.dialects.anthropic.limits import LimitWriter
from isthmusd.dialects.anthropic.messages import Conversation
from isthmusd.dialects.anthropic.notes import NO_SUCH_FIELD, Notes
from isthmusd.dialects.anthropic.output import OutputWriter
from isthmusd.dialects.anthropic.thinking import ThinkingWriter, without_thinking
from isthmusd.dialects.anthropic.tool_choice import ChoiceWriter
from isthmusd.dialects.anthropic.tools import ToolWriter
from isthmusd.dialects.base import Encoded
from isthmusd.framing.fields import drop_none

PATH = "/messages"

VERSION = "2023-06-01"
"""The version with sampling parameters: https://platform.claude.com/docs/en/api/versioning"""

_PASSING = (
    "cache_control",
    "container",
    "context_management",
    "diagnostics",
    "inference_geo",
    "mcp_servers",
    "speed",
)
"""Members that Anthropic knows by the same name and nothing here changes."""

_READ = ("thinking", "output_config", "output_format", "stop_sequences", "betas", "anthropic_beta", "safety_identifier")
"""Members that are taken apart here."""

_BETAS = {
    "context_management": "context-management-2025-06-27",
    "mcp_servers": "mcp-client-2025-11-20",
    "speed": "fast-mode-2026-02-01",
}

_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
"""OpenAI's `default` and Anthropic's `standard_only` both say: no priority capacity."""


def encode_chat_request(request: ChatRequest, model: str, profile: Profile) -> Encoded:
    """Write a chat request for the upstream model name `model`."""
    notes = Notes()
    extra = notes.carried(request.extra, (*_PASSING, *_READ), "", NO_SUCH_FIELD)
    native = dict(extra)
    conversation = _conversation(request, profile, notes)
    thought = ThinkingWriter(profile=profile, notes=notes).write(request.reasoning, native.get("thinking"))
    if conversation.answers_unthinking:
        thought = without_thinking(thought, notes)
    tools = ToolWriter(profile=profile, notes=notes).write(request.tools)
    can_force = not thought.on and "tool_choice" not in profile.refuses
    choice = ChoiceWriter(notes=notes, can_force=can_force).write(
        tools, request.tool_choice, request.parallel_tool_calls
    )
    limits = LimitWriter(profile=profile, notes=notes, thought=thought).write(request.sampling)
    members = {
        "anthropic_version": profile.anthropic_version,
        "model": model if profile.model_in_body else None,
        "max_tokens": limits.pop("max_tokens"),
        "system": _system(conversation),
        "messages": [turn.written() for turn in conversation.turns],
        "tools": [tool.json for tool in choice.tools] or None,
        "tool_choice": choice.choice,
        "thinking": thought.config,
        "output_config": OutputWriter(profile=profile, notes=notes).write(
            request.response_format, thought.effort, dict(native)
        ),
        **limits,
        "metadata": _metadata(request, native, notes),
        "service_tier": _tier(request.service_tier, notes),
        "stream": True if request.stream else None,
    }
    _lacking(request, notes)
    body = drop_none(members, _passed(extra, members["stop_sequences"] is None, notes))
    return Encoded(
        path=PATH, body=msgspec.json.encode(body), headers=_headers(profile, native, notes), losses=tuple(notes.losses)
    )


def _conversation(request: ChatRequest, profile: Profile, notes: Notes) -> Conversation:
    conversation = Conversation(profile, notes)
    path = "messages"
    for place, message in enumerate(request.messages):
        path = f"messages[{place}]"
        conversation.take(message, path)
    conversation.close(path)
    return conversation


def _system(conversation: Conversation) -> object | None:
    match conversation.system:
        case []:
            return None
        case [{"type": "text", "text": text, **rest}] if not rest:
            return text
        case blocks:
            return blocks


def _passed(extra: Extra, takes_stop: bool, notes: Notes) -> Extra:
    for name, _ in extra:
        notes.need(_BETAS.get(name))
    names = (*_PASSING, "stop_sequences") if takes_stop else _PASSING
    return tuple((name, text) for name, text in extra if name in names)


def _metadata(request: ChatRequest, native: dict[str, JsonText], notes: Notes) -> dict[str, object] | None:
    """Anthropic's metadata is one opaque id of the user."""
    given = dict(request.metadata or ())
    user = given.pop("user_id", None)
    for name in given:
        notes.lose(f"metadata.{name}", "Anthropic's metadata holds a user_id only")
    identifier: object = native.get("safety_identifier")
    if identifier is not None:
        identifier = msgspec.Raw(native["safety_identifier"])
    chosen = user if user is not None else request.user if request.user is not None else identifier
    for path, value in (("user", request.user), ("safety_identifier", identifier)):
        if value is not None and value is not chosen and value != chosen:
            notes.lose(path, "Anthropic takes one id of the user")
    return None if chosen is None else {"user_id": chosen}


def _tier(tier: str | None, notes: Notes) -> str | None:
    if tier is None:
        return None
    known = _TIERS.get(tier)
    if known is None:
        notes.lose("service_tier", f"Anthropic has no tier {tier!r}")
    return known


def _lacking(request: ChatRequest, notes: Notes) -> None:
    """Note the members that Anthropic lacks, unless they ask for what it does anyway."""
    asked: tuple[tuple[str, bool], ...] = (
        ("verbosity", request.verbosity not in (None, "medium")),
        ("store", request.store is True),
        ("modalities", request.modalities not in (None, (), ("text",))),
        ("audio", request.audio is not None),
        ("prediction", request.prediction is not None),
    )
    for name, is_asked in asked:
        if is_asked:
            notes.lose(name, NO_SUCH_FIELD)


def _headers(profile: Profile, native: dict[str, JsonText], notes: Notes) -> tuple[tuple[str, str], ...]:
    for name in ("betas", "anthropic_beta"):
        text = native.get(name, "[]")
        try:
            for beta in msgspec.json.decode(text, type=list[str]):
                notes.need(beta)
        except msgspec.DecodeError:
            notes.lose(name, "it is not an array of strings")
    headers = [] if profile.anthropic_version is not None else [("anthropic-version", VERSION)]
    if notes.betas:
        headers.append(("anthropic-beta", ",".join(notes.betas)))
    return tuple(headers)
