"""What a host can do, as capabilities, and where it is. Names of hosts are data of `providers/`, never compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar
from urllib.parse import quote

from isthmusd.core.signing import Signing


class StructuredOutput(StrEnum):
    """How a model is held to a JSON schema."""

    NATIVE = "native"
    """The wire format has a field for it."""
    TOOL = "tool"
    """By a tool that it must call: `core/forced_tool.py`."""
    OBJECTS = "objects"
    """To JSON objects natively, to schemas by a tool."""
    SCHEMAS = "schemas"
    """To schemas natively, to JSON objects by a tool."""
    APART = "apart"
    """Natively, but by a tool where the caller has tools too."""


class Thinking(StrEnum):
    """How a model is told to think."""

    NONE = "none"
    BUDGET = "budget"
    """In tokens."""
    LEVEL = "level"
    """In words."""


class EarlierThinking(StrEnum):
    """In what form a target of OpenAI's format takes back what a model thought in earlier turns."""

    NONE = "none"
    """Not at all."""
    REASONING_CONTENT = "reasoning_content"
    """As text beside the content."""
    REASONING = "reasoning"
    """The same under this name."""
    BLOCKS = "thinking_blocks"
    """As text, and as blocks with their signatures."""
    PARTS = "parts"
    """As the first parts of the content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Capabilities that the dialects ask for. A missing one becomes a loss or a rewrite, never a guess."""

    accepts_stream_options: bool = True
    """False: the server refuses `stream_options`, so usage of streams is estimated unless it comes by itself."""
    stream_ends_with_done: bool = True
    """False: `[DONE]` may be missing; a finish reason for every choice ends the stream."""
    accepts_unknown_fields: bool = True
    """Same dialect: vendor fields pass as they are."""
    renames: Mapping[str, str] = field(default_factory=dict[str, str])
    """OpenAI's top-level request member to the name that this host has for it."""
    refuses: frozenset[str] = frozenset()
    """OpenAI's top-level request members that this host answers with an error: left out, with a loss."""
    accepts_developer_role: bool = True
    """False: `developer` messages become `system` ones."""
    accepts_message_names: bool = True
    """False: `name` of a message is left out, with a loss."""
    structured_output: StructuredOutput = StructuredOutput.NATIVE
    fetches: frozenset[str] = frozenset({"image", "file"})
    """Kinds of parts whose URL the target fetches itself; others are sent as bytes."""
    fetches_plain_http: bool = True
    """False: it fetches by HTTPS only."""
    reads: tuple[str, ...] = ()
    """Beginnings of URLs that the target reads itself all the same: its own files, its vendor's sites."""
    thinking: Thinking = Thinking.BUDGET
    lacks_efforts: frozenset[str] = frozenset()
    """Words for how much to think that the model refuses, of those that its format has."""
    thinking_off: str = "disabled"
    """The word of Anthropic's `thinking` for none at all; empty: the model always thinks."""
    earlier_thinking: EarlierThinking = EarlierThinking.REASONING_CONTENT
    accepts_reasoning_object: bool = False
    """True: takes `reasoning` with effort, max_tokens and exclude, not only `reasoning_effort`."""
    embeddings_per_request: int | None = None
    """Most inputs that one embedding request may hold; more are asked for in several requests. None: any number."""
    default_max_tokens: int | None = None
    """Sent where the wire format demands a limit and the caller gave none."""
    accepts_system_prompt: bool = True
    """False: instructions become the beginning of the first user's turn."""
    accepts_tool_call_ids: bool = True
    """False: the server refuses ids of tool calls; names and order tell their results apart."""
    embeds_by_predict: bool = False
    """Embeddings by Vertex's `predict` method instead of the Gemini API's own."""
    tier_header: str | None = None
    """Header that asks for a tier of service, where the body has no member for it."""
    model_in_body: bool = True
    """False: the host takes the model's name in the path only."""
    anthropic_version: str | None = None
    """Sent in the body, in place of Anthropic's version header, by hosts that want it there."""

    @property
    def takes_schemas(self) -> bool:
        """Whether the wire format has a field for a schema, and the model heeds it."""
        return self.structured_output in {StructuredOutput.NATIVE, StructuredOutput.SCHEMAS, StructuredOutput.APART}


class Flavour(StrEnum):
    """Which call a model answers natively."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"
    UNKNOWN = "unknown"


class AuthScheme(StrEnum):
    """Which header carries the provider's secret; `providers/auth.py` has the table."""

    BEARER = "bearer"
    X_API_KEY = "x-api-key"
    API_KEY = "api-key"
    X_GOOG_API_KEY = "x-goog-api-key"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One host."""

    name: str
    base_url: str
    """Up to and including the version segment, without a trailing slash: `https://api.openai.com/v1`, `demo:/v1`."""
    dialect: str = "openai"
    auth: AuthScheme = AuthScheme.BEARER
    profile: Profile = field(default_factory=Profile)
    endpoint: str | None = None
    """Name of the configured credential, shown in `x-isthmus-endpoint`."""
    api_key: str | None = field(default=None, repr=False)
    """The gateway's own secret there; None: callers bring theirs, or the host needs none."""
    key_variable: str | None = None
    """Environment variable that gives the gateway its key, for messages."""
    needs_key: bool = True
    key_prefixes: tuple[str, ...] = ()
    """Prefixes by which a key of this provider is told from others' (`sk-ant-`)."""
    models: tuple[str, ...] = ()
    """Models that the host is known to serve, for `/v1/models` and bare names; empty: any."""
    prefixed_only: bool = False
    """Its models answer to `provider/model` only: their bare names could be anybody's."""
    flavours: Mapping[str, Flavour] = field(default_factory=dict[str, Flavour])
    """Model name, or pattern (`best_match`), to flavour."""
    paths: Mapping[str, str] = field(default_factory=dict[str, str])
    """Operation (`chat`, `embedding`; `chat.stream` where the streamed call has another) to the path below `base_url`,
    with `{model}` in it, where the host differs from its dialect's paths."""
    signing: Signing | None = None
    """How the gateway's own calls are signed, where `api_key` is not enough."""
    missing: tuple[str, ...] = ()
    """What the operator must still set before a call can be sent: `providers.x.params.region (or AWS_REGION)`."""
    alternates: tuple[Provider, ...] = ()
    """The same host with its other credentials, in order of preference."""
    variants: Mapping[str, Provider] = field(default_factory=dict[str, "Provider"])
    """Model name, or pattern (`best_match`), to this host as it is for those models."""

    @property
    def usable(self) -> bool:
        """Whether a call can be sent without the caller's own key."""
        return not self.missing and (self.api_key is not None or self.signing is not None or not self.needs_key)

    def flavour_of(self, model: str) -> Flavour:
        """Tell what a model answers natively."""
        return best_match(self.flavours, model) or Flavour.UNKNOWN

    def serving(self, model: str) -> Provider:
        """Give the host as it is for a model."""
        return best_match(self.variants, model) or self

    def path_of(self, operation: str, stream: bool, model: str) -> str | None:
        """Give the path of a call where it is not the dialect's; `model` is percent-encoded into it."""
        template = self.paths.get(f"{operation}.stream") if stream else None
        template = template or self.paths.get(operation)
        return None if template is None else template.replace("{model}", quote(model, safe="@"))


_T = TypeVar("_T")


def best_match(by_pattern: Mapping[str, _T], model: str) -> _T | None:
    """Look a model up by its name, or by the longest pattern that fits: `gpt-*` fits what begins so, `*claude*` what
    holds it anywhere."""
    exact = by_pattern.get(model)
    if exact is not None:
        return exact
    longest = ""
    for pattern in by_pattern:
        if len(pattern) > len(longest) and _fits(pattern, model):
            longest = pattern
    return by_pattern.get(longest)


def _fits(pattern: str, model: str) -> bool:
    if pattern[-1:] != "*":
        return False
    return pattern[1:-1] in model if pattern[:1] == "*" else model.startswith(pattern[:-1])
