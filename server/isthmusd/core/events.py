"""One step of a canonical stream, shared by chat and completions. A decoder makes events, an encoder writes them.

Order: one `StreamStart`; deltas in any order, tool calls opened by `ToolCallStart`; one `ChoiceEnd` per choice; at
most one `UsageReport`, last one wins; then `End` exactly once, only after a clean end. A failure is not an event: the
decoder keeps it in `failure`.
"""

from __future__ import annotations

from dataclasses import dataclass

from isthmusd.core.chat import Extra, JsonText
from isthmusd.core.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStart:
    id: str
    model: str
    created_at: int
    """Unix seconds."""
    system_fingerprint: str | None = None
    service_tier: str | None = None
    extra: Extra = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleDelta:
    """A choice's message begins."""

    choice: int
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    choice: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingDelta:
    choice: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingSignature:
    """Closes a thinking block: what must go back unchanged in the next turn."""

    choice: int
    signature: str | None = None
    redacted_data: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalDelta:
    choice: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioDelta:
    """Members of OpenAI's `delta.audio` object as JSON text (`id`, `data`, `transcript`, `expires_at`)."""

    choice: int
    json: JsonText


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallStart:
    choice: int
    index: int
    id: str
    name: str
    extra: Extra = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallDelta:
    """A piece of a tool call's arguments, as the model writes them."""

    choice: int
    index: int
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogprobsDelta:
    """Log probabilities of the tokens in the delta before it, in OpenAI's shape, as JSON text."""

    choice: int
    json: JsonText


@dataclass(frozen=True, slots=True, kw_only=True)
class RawDelta:
    """Members of a choice's delta (or of the whole chunk, if `choice` is None) that the hub does not know."""

    choice: int | None
    extra: Extra


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceEnd:
    choice: int
    finish_reason: str
    native_finish_reason: str | None = None
    extra: Extra = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The stream ended cleanly."""


Event = (
    StreamStart
    | RoleDelta
    | TextDelta
    | ThinkingDelta
    | ThinkingSignature
    | RefusalDelta
    | AudioDelta
    | ToolCallStart
    | ToolCallDelta
    | LogprobsDelta
    | RawDelta
    | ChoiceEnd
    | UsageReport
    | End
)
