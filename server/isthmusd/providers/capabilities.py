"""What each host can be asked for: what its format has a place for, as far as its profile leaves that. The page that
shows it is `page.py`; what is lost otherwise is the dialects' to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from isthmusd.core.profile import Flavour, Profile, Provider, StructuredOutput, Thinking


class Capability(StrEnum):
    """A column of the table, by its title."""

    CHAT = "chat"
    STREAM = "streams"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    TOOLS = "tools"
    IMAGES_BY_URL = "images by URL"
    IMAGES = "images as data"
    FILES = "files"
    AUDIO = "audio"
    SCHEMA = "JSON schema"
    THINKING = "thinking"
    CACHE_MARKS = "cache marks"
    LOGPROBS = "logprobs"
    N = "n > 1"


NO, YES = "–", "✓"
SENT = "sent"
"""As it came, and as the host's format has it; what the host makes of it is not known here."""
AS_DATA = "as data"
BY_CHAT = "by chat"
EITHER = "sent, or by chat"
NATIVE, BY_TOOL, APART = "native", "by tool", "native; by tool beside tools"
TOKENS, WORDS = "tokens", "words"

Cells = Mapping[Capability, str]

_EVERYWHERE = frozenset(
    {
        Capability.CHAT,
        Capability.STREAM,
        Capability.COMPLETIONS,
        Capability.TOOLS,
        Capability.IMAGES_BY_URL,
        Capability.IMAGES,
        Capability.SCHEMA,
        Capability.THINKING,
    }
)
_CARRIED: Mapping[str, frozenset[Capability]] = {
    "anthropic": _EVERYWHERE | {Capability.FILES, Capability.CACHE_MARKS},
    "bedrock": _EVERYWHERE | {Capability.EMBEDDINGS, Capability.FILES, Capability.AUDIO, Capability.CACHE_MARKS},
    "cohere": _EVERYWHERE | {Capability.EMBEDDINGS, Capability.LOGPROBS},
    "gemini": _EVERYWHERE
    | {Capability.EMBEDDINGS, Capability.FILES, Capability.AUDIO, Capability.LOGPROBS, Capability.N},
    "openai": frozenset(Capability),
}
"""Dialect to what it has a place for."""

_AS_IT_CAME = "openai"
_MEMBERS: Mapping[Capability, str] = {
    Capability.TOOLS: "tools",
    Capability.SCHEMA: "response_format",
    Capability.THINKING: "reasoning_effort",
    Capability.LOGPROBS: "logprobs",
    Capability.N: "n",
}
"""What a host of OpenAI's format refuses by name."""
_SCHEMAS: Mapping[StructuredOutput, str] = {
    StructuredOutput.NATIVE: NATIVE,
    StructuredOutput.SCHEMAS: NATIVE,
    StructuredOutput.OBJECTS: BY_TOOL,
    StructuredOutput.TOOL: BY_TOOL,
}
"""The others are native where the caller has no tools."""
_THINKING: Mapping[Thinking, str] = {Thinking.NONE: NO, Thinking.BUDGET: TOKENS, Thinking.LEVEL: WORDS}


def cells(host: Provider) -> Cells:
    """Tell what a host can be asked for, and how that is done."""
    carried = _CARRIED[host.dialect]
    return {capability: _cell(capability, host) if capability in carried else NO for capability in Capability}


def _cell(capability: Capability, host: Provider) -> str:
    profile, carried = host.profile, SENT if host.dialect == _AS_IT_CAME else YES
    if _MEMBERS.get(capability) in profile.refuses:
        return NO
    match capability:
        case Capability.COMPLETIONS:
            return _completions(host)
        case Capability.IMAGES_BY_URL:
            return carried if "image" in profile.fetches else AS_DATA
        case Capability.SCHEMA:
            return _SCHEMAS.get(profile.structured_output, APART)
        case Capability.THINKING:
            return _thinking(host.dialect, profile)
        case _:
            return carried


def _completions(host: Provider) -> str:
    """A host may have models that chat only, beside others or alone."""
    if host.flavour_of("") is Flavour.CHAT:
        return BY_CHAT
    if host.dialect != _AS_IT_CAME:
        return NO
    return EITHER if Flavour.CHAT in host.flavours.values() else SENT


def _thinking(dialect: str, profile: Profile) -> str:
    """OpenAI's format has words; the object with tokens is some hosts' own."""
    if dialect != _AS_IT_CAME:
        return _THINKING[profile.thinking]
    return f"{WORDS}, {TOKENS}" if profile.accepts_reasoning_object else WORDS
