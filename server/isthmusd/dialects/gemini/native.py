"""Members of a request that only Google knows, written by callers who know they talk to it: which pass, and where to.
Fields of OpenAI's own request are not here.

They may stand at the top, or in `google` or `extra_body.google` as in Google's OpenAI-compatible API
(https://ai.google.dev/gemini-api/docs/openai#extra-body), in camelCase or snake_case.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from isthmusd.core.chat import Extra, JsonText
from isthmusd.core.request import Loss
from isthmusd.dialects.gemini.paths import camel
from isthmusd.framing.fields import json_text

UNKNOWN = "Gemini has no such field"

_THINKING = "thinkingConfig"
_TOP = frozenset({"safetySettings", "cachedContent", "labels", "modelArmorConfig"})
_GENERATION = frozenset(
    {
        _THINKING,
        "mediaResolution",
        "responseModalities",
        "responseMimeType",
        "responseSchema",
        "responseJsonSchema",
        "speechConfig",
        "imageConfig",
        "audioTimestamp",
        "enableEnhancedCivicAnswers",
        "modelSelectionConfig",
        "routingConfig",
    }
)
_WRAPPERS = frozenset({"google", "extra_body"})
_SEARCH = "web_search_options"

Members = dict[str, msgspec.Raw]


@dataclass(slots=True, kw_only=True)
class Native:
    """What passes, by the object it goes into; `generation` with the place where the caller wrote it."""

    top: Members = field(default_factory=dict[str, msgspec.Raw])
    generation: dict[str, tuple[msgspec.Raw, str]] = field(default_factory=dict[str, tuple[msgspec.Raw, str]])
    tool_config: Members = field(default_factory=dict[str, msgspec.Raw])
    searches: bool = False
    """`web_search_options` was given, which is a tool at Google's."""


def native_members(extra: Extra, losses: list[Loss]) -> Native:
    """Sort the unknown members of a request; each one that Google does not know is a loss."""
    native = Native()
    for name, text in extra:
        _take(native, name, text, name, losses)
    return native


def members_of(text: JsonText | msgspec.Raw) -> Members | None:
    """Open an object; None if it is something else."""
    try:
        return msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return None


def lose(extra: Extra, path: str, losses: list[Loss]) -> None:
    """Make a loss of each member that says something; null and empty arrays do not."""
    losses += [Loss(field=f"{path}.{name}", reason=UNKNOWN) for name, text in extra if text not in ("null", "[]")]


def _take(native: Native, name: str, text: JsonText, path: str, losses: list[Loss]) -> None:
    known, raw = camel(name), msgspec.Raw(text)
    members = members_of(text)
    if text == "null":
        return
    if known in _TOP:
        native.top[known] = raw
    elif known in _GENERATION and (known != _THINKING or members is not None):
        native.generation[known] = (raw, path)
    elif known == "generationConfig" and members is not None:
        native.generation |= {camel(key): (value, f"{path}.{key}") for key, value in members.items()}
    elif known == "toolConfig" and members is not None:
        native.tool_config |= {camel(key): value for key, value in members.items()}
    elif name == _SEARCH and members is not None:
        native.searches = True
        lose(tuple((key, json_text(value)) for key, value in members.items()), path, losses)
    elif name in _WRAPPERS and members is not None:
        for key, value in members.items():
            _take(native, key, json_text(value), f"{path}.{key}", losses)
    else:
        losses.append(Loss(field=path, reason=UNKNOWN))
