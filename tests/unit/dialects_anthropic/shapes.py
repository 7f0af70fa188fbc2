"""The Messages request as Anthropic's reference gives it: what is not in these shapes is answered with status 400.

Source: https://platform.claude.com/docs/en/api/messages, version 2023-06-01.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

Text = Annotated[str, msgspec.Meta(min_length=1)]
CallId = Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z0-9_-]+$")]
Object = dict[str, Any]


class Strict(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    pass


class Block(Strict, tag_field="type", kw_only=True):
    cache_control: Object | None = None


class Base64(Strict, tag_field="type", tag="base64"):
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp", "application/pdf"]
    data: str


class Url(Strict, tag_field="type", tag="url"):
    url: str


class File(Strict, tag_field="type", tag="file"):
    file_id: str


class PlainText(Strict, tag_field="type", tag="text"):
    media_type: Literal["text/plain"]
    data: str


class TextBlock(Block, tag="text", kw_only=True):
    text: Text
    citations: list[Object] | None = None


class Image(Block, tag="image", kw_only=True):
    source: Base64 | Url | File


class Document(Block, tag="document", kw_only=True):
    source: Base64 | Url | File | PlainText
    title: str | None = None
    context: str | None = None
    citations: Object | None = None


class ToolUse(Block, tag="tool_use", kw_only=True):
    id: CallId
    name: str
    input: Object
    caller: Object | None = None


class ToolResult(Block, tag="tool_result", kw_only=True):
    tool_use_id: CallId
    content: Text | list[TextBlock | Image | Document] | None = None
    is_error: bool | None = None


class ThinkingBlock(Strict, tag_field="type", tag="thinking"):
    thinking: str
    signature: str


class RedactedThinking(Strict, tag_field="type", tag="redacted_thinking"):
    data: str


AnyBlock = TextBlock | Image | Document | ToolUse | ToolResult | ThinkingBlock | RedactedThinking


class Turn(Strict, kw_only=True):
    role: Literal["user", "assistant"]
    content: Text | Annotated[list[AnyBlock], msgspec.Meta(min_length=1)]


class Tool(Strict, kw_only=True):
    name: str
    input_schema: Object
    description: str | None = None
    strict: bool | None = None
    cache_control: Object | None = None


class Auto(Strict, tag_field="type", tag="auto"):
    disable_parallel_tool_use: bool = False


class Any_(Strict, tag_field="type", tag="any"):
    disable_parallel_tool_use: bool = False


class Named(Strict, tag_field="type", tag="tool"):
    name: str
    disable_parallel_tool_use: bool = False


class Nothing(Strict, tag_field="type", tag="none"):
    pass


class Enabled(Strict, tag_field="type", tag="enabled"):
    budget_tokens: Annotated[int, msgspec.Meta(ge=1024)]
    display: Literal["summarized", "omitted"] | None = None


class Adaptive(Strict, tag_field="type", tag="adaptive"):
    display: Literal["summarized", "omitted"] | None = None


class Disabled(Strict, tag_field="type", tag="disabled"):
    pass


class OutputFormat(Strict, kw_only=True):
    type: Literal["json_schema"]
    schema: Any


class OutputConfig(Strict, kw_only=True):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class Metadata(Strict, kw_only=True):
    user_id: str | None = None


class Request(Strict, kw_only=True):
    model: str
    max_tokens: int
    messages: list[Turn]
    system: Text | list[TextBlock] | None = None
    temperature: Annotated[float, msgspec.Meta(le=1)] | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    tools: list[Tool] | None = None
    tool_choice: Auto | Any_ | Named | Nothing | None = None
    thinking: Enabled | Adaptive | Disabled | None = None
    output_config: OutputConfig | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
