"""What may be answered from the cache, and for how long: the decisions, as pure functions. Looking up and sharing is
`pipeline/flights.py`'s; how entries look is `core/entry.py`'s, how they are named and sealed `core/vault.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from isthmusd.core.call import AuthMethod, CacheMode, CacheWish, Principal
from isthmusd.core.remembered import fingerprint
from isthmusd.core.request import Operation, Peeked
from isthmusd.core.routing import Plan, Target

CACHED = frozenset(
    {Operation.CHAT, Operation.COMPLETION, Operation.EMBEDDING, Operation.MODERATION, Operation.RESPONSES}
)
"""Operations whose answers may be kept. Auto has become one of them before anybody asks; Forward never does."""
ALWAYS_ALIKE = frozenset({Operation.EMBEDDING, Operation.MODERATION})
"""Operations that answer the same request the same way."""
REMEMBERED = "conversation"
"""Member of a request to the Responses API with which each call adds a turn to what the provider remembers: an answer
that was given before would add none. https://platform.openai.com/docs/guides/conversation-state"""
BROKEN_OFF = frozenset({"error", "abort", "insufficient_system_resource", "cancelled", "USER_CANCEL"})
"""Words that end a choice whose generation broke off: what there is of it is no answer to give again. They are those of
OpenRouter and vLLM (https://openrouter.ai/docs/api-reference/errors, `FINISH_REASON_STRINGS` in vllm/v1/engine), vLLM
and SGLang (`FINISH_ABORT`), DeepSeek (https://api-docs.deepseek.com/api/create-chat-completion), our own API, and
Cohere's first version."""
MAX_AGE = re.compile(r'([0-9]+)|"([0-9]+)"')
AGE_DIGITS = 10
ENDLESS_S = 2**31
"""What an age with more digits means: https://www.rfc-editor.org/rfc/rfc9111#section-1.2.2
"""
EDGE_COOKIES = re.compile(
    r"(?i:__cf[a-z_]*|_cfuvid|cf_(?:clearance|ob_info|use_ob)|awsalb[a-z]*|awselb[a-z]*|gaesa|gclb|arraffinity(?:samesite)?"
    r"|_abck|ak_bmsc|bm_(?:mi|s|so|ss|sv|sz)|(?:incap_ses|visid_incap|nlbi)_[0-9_]+)"
)
"""Names of cookies that load balancers and bot filters in front of nearly every provider set with any answer: they say
nothing of the answer. https://developers.cloudflare.com/fundamentals/reference/policies-compliances/cloudflare-cookies/
"""


class CacheStatus(StrEnum):
    """What the cache did for a call."""

    HIT = "HIT"
    """Answered from the cache, or by an answer that another call was waiting for."""
    MISS = "MISS"
    """A provider was asked."""
    BYPASS = "BYPASS"
    """The cache was not asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """What the cache may do for one call."""

    reads: bool
    """An answer that is kept, or on its way, may serve it."""
    writes: bool
    """Its answer may be kept."""
    ttl_s: int
    max_age_s: int | None
    """Older answers do not serve it."""

    def accepts(self, age_s: float) -> bool:
        """Whether an answer of this age may serve the call."""
        return self.reads and (self.max_age_s is None or age_s <= self.max_age_s)


def policy_for(operation: Operation, peeked: Peeked, wish: CacheWish) -> CachePolicy | None:
    """Decide what the cache may do for a call; None: nothing."""
    if operation not in CACHED or not _wanted(operation, peeked, wish.mode):
        return None
    if operation is Operation.RESPONSES and REMEMBERED in peeked.spans:
        return None
    if not (wish.reads or wish.writes):
        return None
    return CachePolicy(reads=wish.reads, writes=wish.writes, ttl_s=wish.ttl_s, max_age_s=wish.max_age_s)


def _wanted(operation: Operation, peeked: Peeked, mode: CacheMode) -> bool:
    match mode:
        case CacheMode.NEVER:
            return False
        case CacheMode.ALWAYS:
            return True
        case CacheMode.AUTO:
            return operation in ALWAYS_ALIKE or peeked.temperature == 0 or peeked.seed is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheControl:
    """What a request's `Cache-Control` says, as far as it matters here: RFC 9111, section 5.2.1."""

    no_cache: bool = False
    no_store: bool = False
    max_age_s: int | None = None


def read_cache_control(values: Iterable[str]) -> CacheControl:
    """Read the directives of all lines of the header. What is unknown is left out, as HTTP has it; of an age that
    cannot be read the safe meaning counts, which is 0."""
    no_cache = no_store = False
    ages: list[int] = []
    for name, value in _directives(values):
        match name:
            case "no-cache":
                no_cache = True
            case "no-store":
                no_store = True
            case "max-age":
                ages.append(_age(value))
            case _:
                pass
    age = min(ages) if ages else None
    return CacheControl(no_cache=no_cache or age == 0, no_store=no_store, max_age_s=age or None)


def _directives(values: Iterable[str]) -> Iterator[tuple[str, str]]:
    for directive in ",".join(values).split(","):
        name, _, value = directive.partition("=")
        yield name.strip().lower(), value.strip()


def _age(value: str) -> int:
    number = MAX_AGE.fullmatch(value)
    if number is None:
        return 0
    digits = (number[1] or number[2]).lstrip("0")
    return int(digits or "0") if len(digits) <= AGE_DIGITS else ENDLESS_S


def scope_of(principal: Principal, *, per_tenant: bool) -> str:
    """Name who shares answers: the callers with one credential or, where that is wanted, of one tenant.

    Callers whom no tenant stands for share with nobody: that somebody has a key of a provider makes him nobody's
    colleague. Such a key is named by its digest, which no store sees: its `key_id` is another one after a rotation.
    """
    if per_tenant and principal.owner is not None:
        parts = ("tenant", principal.tenant)
    else:
        key, own = principal.key_id, principal.provider_key
        if principal.method is AuthMethod.PROVIDER_KEY and own is not None:
            key = fingerprint(own).hex()
        parts = ("credential", principal.tenant, principal.method.value, key)
    return msgspec.json.encode(parts).decode()


LASTING_TOKENS = frozenset({AuthMethod.GATEWAY_KEY, AuthMethod.PROVIDER_KEY, AuthMethod.TEMPORARY_CREDENTIAL})
"""Credentials that are the same text in every call. An identity has another token every hour."""


def locked_by(principal: Principal, token: str | None, *, per_tenant: bool) -> str | None:
    """Give the token without which an answer must not be readable; None: the gateway's secret alone protects it."""
    shared = per_tenant and principal.owner is not None
    return None if shared or principal.method not in LASTING_TOKENS else token


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """All that makes two calls the same one, beside their scope."""

    operation: Operation
    dialect: str
    canonical: bytes
    """The request without its form: whether it streams."""
    endpoint: str | None
    headers: tuple[tuple[str, str], ...]
    """The caller's, as far as they go to the provider."""
    plan: Plan


def key_of(scope: str, asked: Asked) -> bytes:
    """Write what names an answer. Equal for equal calls of one scope, and for no others."""
    return msgspec.msgpack.encode(
        (
            scope,
            asked.operation.value,
            asked.dialect,
            asked.endpoint,
            sorted(asked.headers),
            sorted({_named(target) for target in asked.plan.targets}),
            asked.canonical,
        )
    )


def _named(target: Target) -> tuple[object, ...]:
    """Give what is known of a target that changes what it is asked, or who answers. No secret is in it."""
    host = target.provider
    place = (host.name, host.base_url, target.model, target.endpoint or "", target.owner or "")
    # Paths of all operations, since some go by another's; in a microsecond, which remembering would not save.
    spoken = (host.dialect, host.paths, host.flavours, host.profile)
    return (*place, msgspec.msgpack.encode(spoken, order="deterministic"))


def sets_cookie(values: Iterable[str]) -> bool:
    """Tell whether one of these `set-cookie` values makes an answer somebody's own: it is not kept then."""
    return any(EDGE_COOKIES.fullmatch(value.partition("=")[0].strip()) is None for value in values)
