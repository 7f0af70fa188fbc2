"""The canonical chat request and answer: what every dialect decodes into and encodes from. No wire format lives here.

`None` always means "the caller did not set it". Opaque JSON stays JSON text (`JsonText`), so that key order, big
integers and floats survive. `extra` holds members that the hub has no field for, in the order they came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

from isthmusd.core.usage import Usage

JsonText = NewType("JsonText", str)
"""One JSON value as text, exactly as it was written by whoever made it."""

Extra = tuple[tuple[str, JsonText], ...]
"""Members without a field of their own, as (name, JSON text)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPart:
    text: str
    extra: Extra = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePart:
    """An image: exactly one of `url`, `data_base64` (with `mime_type`) and `file_id` is set."""

    url: str | None = None
    data_base64: str | None = None
    mime_type: str | None = None
    file_id: str | None = None
    detail: str | None = None
    extra: Extra = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioPart:
    data_base64: str
    format: str
    """`wav`, `mp3`, ..."""
    extra: Extra = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePart:
    """A document: `data_base64` (with `mime_type`), a `url` or the provider's `file_id`."""

    data_base64: str | None = None
    mime_type: str | None = None
    url: str | None = None
    file_id: str | None = None
    filename: str | None = None
    extra: Extra = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalPart:
    text: str
    extra: Extra = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingPart:
    """Reasoning that a model showed. `signature` (or `redacted_data`) goes back unchanged in the next turn."""

    text: str = ""
    signature: str | None = None
    redacted_data: str | None = None
    extra: Extra = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RawPart:
    """A part of a kind that the hub does not know, as JSON text."""

    json: JsonText


Part = TextPart | ImagePart | AudioPart | FilePart | RefusalPart | ThinkingPart | RawPart


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    id: str
    name: str
    arguments: str
    """As the model wrote it: usually a JSON object, but not always valid JSON."""
    extra: Extra = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RawToolCall:
    """A tool call that is not a function call, as JSON text."""

    json: JsonText


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn. One text part without `extra` is the canonical form of a plain string content."""

    role: str
    """`system`, `developer`, `user`, `assistant`, `tool`, `function`, or whatever the caller wrote."""
    content: tuple[Part, ...] | None = None
    """`None` if the content was absent or null."""
    name: str | None = None
    tool_calls: tuple[ToolCall | RawToolCall, ...] = ()
    tool_call_id: str | None = None
    refusal: str | None = None
    audio: JsonText | None = None
    """Audio answer (`id`, `data`, `transcript`, `expires_at`), or the reference to one in a request."""
    extra: Extra = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionTool:
    name: str
    description: str | None = None
    parameters: JsonText | None = None
    strict: bool | None = None
    extra: Extra = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTool:
    """A vendor's built-in tool, as JSON text."""

    json: JsonText


Tool = FunctionTool | RawTool


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolChoiceMode:
    mode: str
    """`auto`, `none` or `required`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolChoiceFunction:
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RawToolChoice:
    """`allowed_tools`, custom tools and what else the hub does not know, as JSON text."""

    json: JsonText


ToolChoice = ToolChoiceMode | ToolChoiceFunction | RawToolChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFormat:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonObjectFormat:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonSchemaFormat:
    name: str
    schema: JsonText | None = None
    description: str | None = None
    strict: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFormat:
    json: JsonText


ResponseFormat = TextFormat | JsonObjectFormat | JsonSchemaFormat | RawFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """The knobs that shape an answer. Source: OpenAI's chat completion reference; `top_k`, `min_p` and
    `repetition_penalty` are common extensions of compatible servers."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    n: int | None = None
    stop: tuple[str, ...] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    logit_bias: tuple[tuple[str, float], ...] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    seed: int | None = None
    """Any size: 23-digit seeds exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasoning:
    effort: str | None = None
    max_tokens: int | None = None
    """Thinking budget in tokens, for targets that take one."""
    include: bool | None = None
    """Whether the caller wants to see the reasoning."""
    source: Extra = ()
    """The members that say so in the caller's dialect, where it has several forms: for targets that speak it too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    model: str
    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning: Reasoning | None = None
    verbosity: str | None = None
    user: str | None = None
    metadata: tuple[tuple[str, str], ...] | None = None
    store: bool | None = None
    service_tier: str | None = None
    modalities: tuple[str, ...] | None = None
    audio: JsonText | None = None
    """Voice and format of an audio answer."""
    prediction: JsonText | None = None
    stream: bool = False
    include_usage: bool = False
    """Whether the caller of a stream wants the usage event on the wire."""
    extra: Extra = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    index: int
    message: Message
    finish_reason: str | None
    """`stop`, `length`, `tool_calls`, `content_filter`, `function_call`; others as the provider wrote them."""
    native_finish_reason: str | None = None
    """The provider's own word, where it differs."""
    logprobs: JsonText | None = None
    extra: Extra = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatResponse:
    id: str
    model: str
    created_at: int
    """Unix seconds."""
    choices: tuple[Choice, ...]
    usage: Usage | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    extra: Extra = ()


def plain_text(text: str) -> tuple[Part, ...]:
    """Give the canonical content of a plain string."""
    return (TextPart(text=text),)


def text_of(message: Message) -> str:
    """Join the text parts of a message; other parts are skipped."""
    return "".join(part.text for part in message.content or () if isinstance(part, TextPart))
