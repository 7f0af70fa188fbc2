"""What settings must be to each other: what is refused, what is warned of, what variables say of providers."""

from __future__ import annotations

import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import cast

from isthmusd.edge.errors import InvalidAddress
from isthmusd.edge.options import Address
from isthmusd.providers import catalog
from isthmusd.settings.errors import SettingsError, nearest
from isthmusd.settings.schema import Raw
from isthmusd.settings.tree import Tree

VARIABLES = {"_API_KEY": "api_key", "_BASE_URL": "base_url"}
"""Ending of a provider's variable, and the option that it sets."""
PROVIDER_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/\s]+")


def provider_variables(environ: Mapping[str, str], named: Iterable[str]) -> Raw:
    """Give what `<PROVIDER>_API_KEY` and `<PROVIDER>_BASE_URL` say of catalogued and configured providers."""
    prefixes = dict(catalog.env_prefixes())
    prefixes |= {name: re.sub(r"\W", "_", name).upper() for name in named if name not in prefixes}
    providers: Raw = {}
    for name, prefix in prefixes.items():
        found = {
            option: environ[prefix + ending] for ending, option in VARIABLES.items() if environ.get(prefix + ending)
        }
        if found:
            providers[name] = found
    return {"providers": providers} if providers else {}


def spell_out_models(raw: Raw) -> Raw:
    """Turn `fast: openai/gpt-4o-mini` into a map."""
    models = raw.get("models")
    if not isinstance(models, dict):
        return raw
    return raw | {"models": {name: _alias(name, value) for name, value in cast("Raw", models).items()}}


def refuse(tree: Tree) -> None:
    """Raise SettingsError for the first thing that must not be so."""
    # One after the other: later rules rely on what earlier ones demand.
    for fault in chain(_address_faults(tree), _provider_faults(tree), _model_faults(tree), _origin_faults(tree)):
        if fault is not None:
            raise SettingsError(fault)


def warn(tree: Tree, config: Path | None) -> Iterator[str]:
    """Give what the operator should know, though the run can start."""
    listen, admin = Address.parse(tree.listen), Address.parse(tree.admin)
    if not admin.is_loopback:
        yield f"admin: {tree.admin} shows metrics to everyone who reaches it"
    if not listen.is_loopback and tree.auth.anonymous:
        yield f"listen: everyone who reaches {tree.listen} can spend your provider keys (allow_public_anonymous)"
    if "*" in tree.cors.origins and tree.auth.anonymous:
        yield "cors.origins: every web page that a user of this machine opens can spend your provider keys"
    known = catalog.build(tree.providers)
    if not any(known[name].usable for name in tree.providers):
        yield "no provider has a key: only demo/echo and callers with their own keys will get answers"
    if config is not None and _holds_secret(tree, config) and stat.S_IMODE(config.stat().st_mode) & 0o044:
        yield f"{config} holds secrets and others may read it: chmod 600, or write ${{NAME}} or file:PATH instead"


def _alias(name: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    provider, slash, model = value.partition("/")
    if not (provider and slash and model):
        raise SettingsError(f"models.{name}: expected PROVIDER/MODEL, got {value!r}")
    return {"provider": provider, "model": model}


def _address_faults(tree: Tree) -> Iterator[str | None]:
    addresses: dict[str, Address] = {}
    for key, text in (("listen", tree.listen), ("admin", tree.admin)):
        try:
            addresses[key] = Address.parse(text)
        except InvalidAddress as error:
            yield f"{key}: {error}"
    listen = addresses["listen"]
    if listen.port and listen == addresses["admin"]:
        yield f"admin: {tree.admin} is the listen address too; choose another port"
    if tree.auth.anonymous and not listen.is_loopback and not tree.allow_public_anonymous:
        yield (
            f"listen: {tree.listen} can be reached from other machines, and anonymous access is on: anyone could spend "
            "your provider keys. Set auth.anonymous to false (ISTHMUS_AUTH_ANONYMOUS=false), or listen on 127.0.0.1, "
            "or accept it with --allow-public-anonymous"
        )


def _provider_faults(tree: Tree) -> Iterator[str | None]:
    for name, options in tree.providers.items():
        if not PROVIDER_NAME.fullmatch(name):
            yield f"providers.{name}: a name is made of a-z, 0-9, dot, dash and underscore"
        yield _twice(f"providers.{name}.models", options.models or ())
    yield catalog.fault(tree.providers)
    yield _twice("providers: endpoint", (p.endpoint for p in tree.providers.values() if p.endpoint))
    known = catalog.build(tree.providers)
    if tree.default_provider is not None and tree.default_provider not in known:
        yield f"default_provider: {tree.default_provider} is no provider; {nearest(tree.default_provider, known)}"


def _model_faults(tree: Tree) -> Iterator[str | None]:
    known = catalog.build(tree.providers)
    for name, alias in tree.models.items():
        if alias.provider not in known:
            yield f"models.{name}.provider: {alias.provider} is no provider; {nearest(alias.provider, known)}"


def _origin_faults(tree: Tree) -> Iterator[str | None]:
    for index, origin in enumerate(tree.cors.origins):
        if not ORIGIN.fullmatch(origin):
            yield f"cors.origins[{index}]: expected an origin such as https://app.example.com, got {origin!r}"
    yield _twice("cors.origins", tree.cors.origins)


def _twice(path: str, words: Iterable[str]) -> str | None:
    doubled = [word for word, count in Counter(words).items() if count > 1]
    return f"{path}: {doubled[0]} is there twice" if doubled else None


def _holds_secret(tree: Tree, config: Path) -> bool:
    """Whether a key stands in the file itself, not as a reference."""
    text = config.read_text(encoding="utf-8")
    return any(options.api_key and options.api_key in text for options in tree.providers.values())
