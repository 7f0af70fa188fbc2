"""Takes out of what a target says that which a caller must not read: the secret that was used there, by its value, and
whose account and which host it is. Keys of known forms, whoever's they are, are `framing/failures.py`'s.

Answers that are passed on as they are keep every byte of their bodies: what a model, a file or a batch holds is the
provider's answer to the one who pays, and a body that streams in pieces cannot be changed without changing its meaning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from urllib.parse import quote, urlsplit

from isthmusd.core.errors import GatewayError, UpstreamError
from isthmusd.core.headers import Headers
from isthmusd.core.routing import Target
from isthmusd.core.signing import AwsSigning, EntraSigning, GoogleSigning, Signing

REDACTED = "[redacted]"
SHORTEST = 6
"""Shorter ones are no secrets: servers that want none are given `none` or `x`, which are words of messages too."""

_ACCOUNT = re.compile(r"\b(?:org-|proj_)[A-Za-z0-9]{8,}")
"""OpenAI names both in messages about limits."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """What must not be shown of one target. Without a target: nothing is hidden."""

    target: Target | None = field(default=None, repr=False)

    def error(self, error: GatewayError) -> None:
        """Clean an error where it is, before it is told to the caller, counted or recorded."""
        target = self.target
        if target is None or not isinstance(error, UpstreamError):
            return
        secrets = _secrets(target)
        error.message = _shown(target, error.message, secrets)
        error.args = (error.message,)
        error.type = _without(error.type, secrets)
        error.code = _perhaps(error.code, secrets)
        error.param = _perhaps(error.param, secrets)
        told = error.told
        error.told = replace(
            told,
            type=_perhaps(told.type, secrets),
            request_id=_perhaps(told.request_id, secrets),
            detail=_perhaps(told.detail, secrets),
        )

    def headers(self, headers: Headers) -> Headers:
        """Clean a target's headers; mostly that gives the same ones."""
        if self.target is None:
            return headers
        secrets = _secrets(self.target)
        # Every answer is looked at, and as good as none has one.
        values = "\n".join(chain.from_iterable(headers.values()))
        if not any(secret in values for secret in secrets):
            return headers
        return {name: [_without(value, secrets) for value in values] for name, values in headers.items()}


def _secrets(target: Target) -> tuple[str, ...]:
    signing = target.provider.signing
    if signing is None:
        return () if target.secret is None else _forms(target.secret)
    return tuple(form for secret in (target.secret, *_of_signing(signing)) if secret for form in _forms(secret))


@lru_cache(maxsize=1024)
def _forms(secret: str) -> tuple[str, ...]:
    """How a secret may be written; none for what is no secret."""
    return () if len(secret) < SHORTEST else tuple(dict.fromkeys((secret, quote(secret, safe=""))))


def _of_signing(signing: Signing) -> Iterator[str | None]:
    match signing:
        case AwsSigning():
            yield signing.secret_access_key
            yield signing.session_token
        case EntraSigning():
            yield signing.client_secret
        case GoogleSigning():
            pass  # the key file signs, and is never sent


def _shown(target: Target, message: str, secrets: tuple[str, ...]) -> str:
    """Clean what callers read: the operator's own log may name hosts and accounts."""
    message = _without(message, secrets)
    host = urlsplit(target.provider.base_url).netloc
    if host:
        # A bare name may be a word: it counts where a URL has it.
        before = r"(?<![\w.-])" if {".", ":"} & set(host) else "(?<=://)"
        message = re.sub(rf"{before}{re.escape(host)}(?![\w-])", REDACTED, message)
    return message if target.private else _ACCOUNT.sub(REDACTED, message)


def _perhaps(text: str | None, secrets: tuple[str, ...]) -> str | None:
    return None if text is None else _without(text, secrets)


def _without(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, REDACTED)
        # A text that was cut short may end within the secret.
        for size in range(min(len(secret) - 1, len(text)), SHORTEST - 1, -1):
            if text.endswith(secret[:size]):
                text = text[:-size] + REDACTED
                break
    return text
