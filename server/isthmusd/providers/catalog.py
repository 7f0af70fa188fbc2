"""The hosts that the gateway knows, and how an operator's options change them. How their file is written is
`catalog_file.py`; it reads no configuration and no environment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from urllib.parse import urlsplit

from isthmusd.core.profile import AuthScheme, Flavour, Profile, Provider
from isthmusd.providers import catalog_file

DIALECTS = ("anthropic", "bedrock", "cohere", "gemini", "openai")
"""Wire formats that can be called, as the registry of dialects has them: it loads too much for a supervisor."""
SCHEMES = ("http", "https", "demo")
CAPABILITIES = {
    each.name.removeprefix("accepts_"): each.name for each in fields(Profile) if isinstance(each.default, bool)
}
"""What `accepts` may name, and the profile's field that it sets."""


class ConfigurationError(Exception):
    """What an operator wrote about a provider cannot be. The message names the key and holds no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderOptions:
    """What an operator says of a provider; None or empty: as the catalogue has it."""

    base_url: str | None = None
    """Up to and including the version segment."""
    api_key: str | None = field(default=None, repr=False)
    """The gateway's own secret there."""
    endpoint: str | None = None
    """Name of this credential, for `x-isthmus-endpoint`."""
    dialect: str | None = None
    auth: AuthScheme | None = None
    """Which header carries the secret."""
    models: tuple[str, ...] | None = None
    """Models that it serves, for `/v1/models` and bare names."""
    accepts: Mapping[str, bool] = field(default_factory=dict[str, bool])
    """Capability to whether the host has it: `stream_options`, `unknown_fields`, `stream_ends_with_done`."""
    profiles: tuple[str, ...] = ()
    """Named lists of differences from OpenAI's own host (`litellm`, `max-tokens`), laid over what is known of it."""
    flavours: Mapping[str, Flavour] = field(default_factory=dict[str, Flavour])
    """Model name, or prefix ending in `*`, to what it answers natively."""


def configured(providers: Mapping[str, Provider], overrides: Mapping[str, ProviderOptions]) -> dict[str, Provider]:
    """Merge an operator's options over the catalogue; an unknown name defines a host. Raises ConfigurationError."""
    merged = dict(providers)
    for name, options in overrides.items():
        known = providers.get(name)
        merged[name] = _apply(known or _custom(name, options, providers), options)
    return merged


def build(overrides: Mapping[str, ProviderOptions]) -> dict[str, Provider]:
    """Merge options over the built-in catalogue. Raises ConfigurationError."""
    return configured(CATALOG, overrides)


def fault(overrides: Mapping[str, ProviderOptions]) -> str | None:
    """Tell what is wrong with an operator's options; None if nothing is."""
    try:
        build(overrides)
    except ConfigurationError as error:
        return str(error)
    return None


def env_prefixes() -> Mapping[str, str]:
    """Give, for each built-in provider, the beginning of its environment variables (`OPENAI`)."""
    return _PACKAGED.env_prefixes


def _custom(name: str, options: ProviderOptions, known: Iterable[str]) -> Provider:
    """Define a host that the catalogue does not have. Without a key of ours it is taken to need none."""
    if options.base_url is None:
        hint = _nearest(name, known)
        raise ConfigurationError(f"providers.{name}: no such provider; {hint} A provider of your own needs a base_url.")
    return Provider(name=name, base_url=options.base_url, needs_key=bool(options.api_key))


def _apply(provider: Provider, options: ProviderOptions) -> Provider:
    path = f"providers.{provider.name}"
    dialect = options.dialect or provider.dialect
    if dialect not in DIALECTS:
        raise ConfigurationError(f"{path}.dialect: unknown dialect {dialect!r}; {_nearest(dialect, DIALECTS)}")
    auth = options.auth or provider.auth
    return replace(
        provider,
        base_url=_base_url(path, options.base_url or provider.base_url),
        api_key=_secret(path, options.api_key) or provider.api_key,
        endpoint=options.endpoint or provider.endpoint,
        dialect=dialect,
        auth=auth,
        needs_key=provider.needs_key and auth is not AuthScheme.NONE,
        models=provider.models if options.models is None else options.models,
        profile=_profile(path, provider.profile, options),
        flavours={**provider.flavours, **options.flavours},
        # Another dialect is another host: what was known of its models no longer holds.
        variants={}
        if options.dialect not in {None, provider.dialect}
        else {pattern: _apply(variant, options) for pattern, variant in provider.variants.items()},
    )


def _profile(path: str, profile: Profile, options: ProviderOptions) -> Profile:
    for name in options.profiles:
        if name not in PROFILES:
            raise ConfigurationError(f"{path}.profiles: unknown profile {name!r}; {_nearest(name, PROFILES)}")
    for capability in options.accepts:
        if capability not in CAPABILITIES:
            hint = _nearest(capability, CAPABILITIES)
            raise ConfigurationError(f"{path}.accepts: unknown capability {capability!r}; {hint}")
    profile = catalog_file.laid_over(profile, options.profiles, PROFILES)
    return replace(profile, **{CAPABILITIES[name]: value for name, value in options.accepts.items()})


def _base_url(path: str, text: str) -> str:
    """Check a base URL; its path is sent as it is written, so it must be written as it is sent."""
    url = text.rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in SCHEMES and bool(parts.hostname or parts.scheme == "demo") and parts.port != 0
    except ValueError:
        raise ConfigurationError(f"{path}.base_url: not a URL; write it like https://api.example.com/v1") from None
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigurationError(f"{path}.base_url: not a URL; write it like https://api.example.com/v1")
    if parts.query or parts.fragment or parts.username is not None:
        raise ConfigurationError(f"{path}.base_url: must hold no query, fragment or password; a secret is api_key")
    return url


def _secret(path: str, text: str | None) -> str | None:
    """Strip what files and shells leave around a secret; refuse what no header can carry."""
    secret = (text or "").strip()
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ConfigurationError(f"{path}.api_key: holds a space, a line break or a character that keys do not have")
    return secret or None


def _nearest(word: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = get_close_matches(word, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}."


_PACKAGED = catalog_file.packaged()

CATALOG: Mapping[str, Provider] = _PACKAGED.providers
"""Every built-in provider by name, none with a key."""
KEY_PREFIXES: Mapping[str, str] = _PACKAGED.foreign_key_prefixes
"""Beginning of a key, to the host outside the catalogue whose it is."""

PROFILES = _PACKAGED.profiles
"""Named differences, for `profiles`."""

TRIAL_MODEL = "demo/echo"
"""Answers without any key; for messages to newcomers."""
