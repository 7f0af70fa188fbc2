"""The hosts that the gateway knows, and how an operator's options change them. How their file is written is
`catalog_file.py`; it reads no configuration and no environment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from urllib.parse import urlsplit

from isthmusd.core.profile import AuthScheme, Flavour, Profile, Provider
from isthmusd.providers import catalog_file
from isthmusd.providers.errors import ConfigurationError, nearest
from isthmusd.providers.setup import AwsOptions, EntraOptions, GoogleOptions, Setup, SigningKind, SigningOptions, settle

DIALECTS = ("anthropic", "bedrock", "cohere", "gemini", "openai")
"""Wire formats that can be called, as the registry of dialects has them: it loads too much for a supervisor."""
SCHEMES = ("http", "https", "demo")
CAPABILITIES = {
    each.name.removeprefix("accepts_"): each.name for each in fields(Profile) if isinstance(each.default, bool)
}
"""What `accepts` may name, and the profile's field that it sets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOptions:
    """One more credential of a provider; what is None is the provider's own."""

    api_key: str | None = field(default=None, repr=False)
    """The gateway's secret."""
    base_url: str | None = None
    """Up to and including the version segment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderOptions:
    """What an operator says of a provider; None or empty: as the catalogue has it."""

    base_url: str | None = None
    """Up to and including the version segment."""
    api_key: str | None = field(default=None, repr=False)
    """The gateway's own secret there."""
    endpoint: str | None = None
    """Name of this credential, for `x-isthmus-endpoint`."""
    endpoints: Mapping[str, EndpointOptions] = field(default_factory=dict[str, EndpointOptions])
    """More credentials by name, tried in this order after `api_key`."""
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
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    """Placeholder of the address (`region`) to its value."""
    aws: AwsOptions | None = None
    """Sign calls as AWS wants it, instead of an `api_key`."""
    google: GoogleOptions | None = None
    """Send OAuth tokens of Google, instead of an `api_key`."""
    entra: EntraOptions | None = None
    """Send OAuth tokens of Microsoft Entra, instead of an `api_key`."""

    @property
    def signing(self) -> SigningOptions | None:
        """Give the one that is set."""
        return self.aws or self.google or self.entra


CREDENTIALS = ("api_key", *SigningKind)
"""Options by which calls authenticate. A provider has one of them."""


def configured(providers: Mapping[str, Provider], overrides: Mapping[str, ProviderOptions]) -> dict[str, Provider]:
    """Merge an operator's options over the catalogue; an unknown name defines a host. Raises ConfigurationError."""
    merged = dict(providers)
    for name, options in overrides.items():
        known = providers.get(name)
        if len(given := [credential for credential in CREDENTIALS if getattr(options, credential)]) > 1:
            raise ConfigurationError(f"providers.{name}: {' and '.join(given)} are two credentials; keep one of them")
        merged[name] = _with_endpoints(known or _custom(name, options, providers), options)
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


def setups() -> Mapping[str, Setup]:
    """Give, for each built-in provider, what its operator says, and which variables say it."""
    return _PACKAGED.setups


def _custom(name: str, options: ProviderOptions, known: Iterable[str]) -> Provider:
    """Define a host that the catalogue does not have. Without a key of ours it is taken to need none."""
    if options.base_url is None:
        hint = nearest(name, known)
        raise ConfigurationError(f"providers.{name}: no such provider; {hint} A provider of your own needs a base_url.")
    has_key = bool(options.api_key) or any(endpoint.api_key for endpoint in options.endpoints.values())
    return Provider(name=name, base_url=options.base_url, needs_key=has_key)


def _with_endpoints(provider: Provider, options: ProviderOptions) -> Provider:
    """Give the host with all its credentials: the first one that pays is its own, the others are alternates."""
    own = _apply(provider, options)
    named = [_at_endpoint(provider, options, name) for name in options.endpoints]
    first, *others = [host for host in (own, *named) if host.usable] or [own]
    return replace(first, alternates=tuple(others))


def _at_endpoint(provider: Provider, options: ProviderOptions, name: str) -> Provider:
    endpoint, path = options.endpoints[name], f"providers.{provider.name}.endpoints.{name}"
    key, url = _secret(path, endpoint.api_key) or options.api_key, endpoint.base_url or options.base_url
    if endpoint.base_url is not None:
        _base_url(path, endpoint.base_url)
    host = _apply(provider, replace(options, api_key=key, base_url=url, endpoint=name))
    if not host.usable and not host.missing:
        raise ConfigurationError(f"{path}: api_key must be set")
    return host


def _apply(provider: Provider, options: ProviderOptions) -> Provider:
    path = f"providers.{provider.name}"
    dialect = options.dialect or provider.dialect
    if dialect not in DIALECTS:
        raise ConfigurationError(f"{path}.dialect: unknown dialect {dialect!r}; {nearest(dialect, DIALECTS)}")
    auth = options.auth or provider.auth
    key = _secret(path, options.api_key) or provider.api_key
    settled = settle(
        provider,
        setups().get(provider.name) or Setup(base_url=provider.base_url, env=""),
        options.params,
        base_url=None if options.base_url is None else _base_url(path, options.base_url),
        signing=None if key else options.signing,
    )
    return replace(
        settled,
        api_key=key,
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
            raise ConfigurationError(f"{path}.profiles: unknown profile {name!r}; {nearest(name, PROFILES)}")
    for capability in options.accepts:
        if capability not in CAPABILITIES:
            hint = nearest(capability, CAPABILITIES)
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


_PACKAGED = catalog_file.packaged()

CATALOG: Mapping[str, Provider] = _PACKAGED.providers
"""Every built-in provider by name, none with a key."""
KEY_PREFIXES: Mapping[str, str] = _PACKAGED.foreign_key_prefixes
"""Beginning of a key, to the host outside the catalogue whose it is."""

PROFILES = _PACKAGED.profiles
"""Named differences, for `profiles`."""

TRIAL_MODEL = "demo/echo"
"""Answers without any key; for messages to newcomers."""
