"""Reads the catalogue's files: `catalog.toml` (hosts) and `profiles.toml` (what kinds of models or hosts have in
common). The files are package data, read once. What an operator says of a host is `catalog.py`'s.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, get_type_hints

import msgspec

from isthmusd.core.profile import AuthScheme, Flavour, Profile, Provider
from isthmusd.providers.setup import Case, Param, Setup, SigningKind, settle


class Quirk(msgspec.Struct, forbid_unknown_fields=True):
    """One field of a profile that differs, and where that is documented or shown."""

    field: str
    value: Any
    link: str


class Variant(msgspec.Struct, forbid_unknown_fields=True):
    """A host as it is for some models, as the file says it."""

    models: tuple[str, ...]
    dialect: str | None = None
    profiles: tuple[str, ...] = ()
    quirks: tuple[Quirk, ...] = ()
    paths: dict[str, str] = {}


class Host(msgspec.Struct, forbid_unknown_fields=True):
    """A host, as the file says it."""

    base_url: str
    docs: str
    dialect: str = "openai"
    auth: AuthScheme = AuthScheme.BEARER
    env: str | None = None
    key_env: tuple[str, ...] = ()
    needs_key: bool = True
    key_prefixes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    prefixed_only: bool = False
    profiles: tuple[str, ...] = ()
    quirks: tuple[Quirk, ...] = ()
    flavours: dict[Flavour, tuple[str, ...]] = {}
    paths: dict[str, str] = {}
    variants: tuple[Variant, ...] = ()
    params: dict[str, Param] = {}
    cases: tuple[Case, ...] = ()
    signing: SigningKind | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    providers: dict[str, Host]
    foreign_key_prefixes: dict[str, tuple[str, ...]] = {}


Profiles = Mapping[str, tuple[Quirk, ...]]
"""Name of a profile to how it differs from an OpenAI-compatible host that can do everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """What the files say."""

    hosts: Mapping[str, Host]
    providers: Mapping[str, Provider]
    profiles: Profiles
    foreign_key_prefixes: Mapping[str, str]
    """Beginning of a key, to the host outside this catalogue whose it is."""
    setups: Mapping[str, Setup]
    """Provider to what its operator must say."""


def parse(text: str, profiles: str = "") -> Catalog:
    """Read a catalogue; one that is not well formed raises what tomllib or msgspec raise, or KeyError."""
    read = msgspec.convert(tomllib.loads(text), _File)
    known = msgspec.convert(tomllib.loads(profiles), dict[str, tuple[Quirk, ...]])
    setups = {name: _setup(name, host) for name, host in read.providers.items()}
    return Catalog(
        hosts=read.providers,
        profiles=known,
        providers={name: _provider(name, host, known, setups[name]) for name, host in read.providers.items()},
        foreign_key_prefixes={
            prefix: owner for owner, prefixes in read.foreign_key_prefixes.items() for prefix in prefixes
        },
        setups=setups,
    )


@cache
def packaged() -> Catalog:
    """Give the catalogue that comes with the gateway."""
    folder = files("isthmusd.providers")
    return parse(*((folder / name).read_text(encoding="utf-8") for name in ("catalog.toml", "profiles.toml")))


def _setup(name: str, host: Host) -> Setup:
    return Setup(
        base_url=host.base_url,
        env=host.env or name.upper(),
        key_env=host.key_env,
        params=host.params,
        cases=host.cases,
        signing=host.signing,
    )


def _provider(name: str, host: Host, known: Profiles, setup: Setup) -> Provider:
    base = Provider(
        name=name,
        base_url=host.base_url,
        dialect=host.dialect,
        auth=host.auth,
        key_variable=f"{setup.env}_API_KEY",
        needs_key=host.needs_key,
        key_prefixes=host.key_prefixes,
        models=host.models,
        prefixed_only=host.prefixed_only,
        profile=laid_over(Profile(), host.profiles, known, host.quirks),
        flavours={model: flavour for flavour, models in host.flavours.items() for model in models},
        paths=host.paths,
    )
    base = settle(base, setup, {})
    variants = {model: _variant(base, variant, known) for variant in host.variants for model in variant.models}
    return replace(base, variants=variants)


def _variant(base: Provider, variant: Variant, known: Profiles) -> Provider:
    return replace(
        base,
        dialect=variant.dialect or base.dialect,
        profile=laid_over(base.profile, variant.profiles, known, variant.quirks),
        paths={**base.paths, **variant.paths},
    )


def laid_over(profile: Profile, names: Iterable[str], known: Profiles, quirks: Iterable[Quirk] = ()) -> Profile:
    """Lay named profiles and then a host's own quirks over a profile. Sets and maps grow, other values are replaced."""
    for quirk in (*(quirk for name in names for quirk in known[name]), *quirks):
        value = msgspec.convert(quirk.value, _KINDS[quirk.field])
        grow = _GROW.get(quirk.field, _replace)
        profile = replace(profile, **{quirk.field: grow(getattr(profile, quirk.field), value)})
    return profile


_KINDS: Mapping[str, Any] = get_type_hints(Profile)


def _replace(_before: Any, value: Any) -> Any:
    return value


def _add(before: Any, value: Any) -> Any:
    return before | value


_GROW: Mapping[str, Callable[[Any, Any], Any]] = {"refuses": _add, "renames": _add}
