"""What settings must be to each other: what is refused, what is warned of, what variables say of providers."""

from __future__ import annotations

import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import ip_network
from itertools import chain
from pathlib import Path
from typing import cast

import msgspec

from isthmusd.core.profile import Provider
from isthmusd.edge.errors import InvalidAddress
from isthmusd.edge.options import Address, admin_address
from isthmusd.pipeline.resolve import ModelTarget
from isthmusd.providers import catalog
from isthmusd.providers.setup import VARIABLES, Setup
from isthmusd.settings import cache, identity_rules
from isthmusd.settings.errors import SettingsError, nearest
from isthmusd.settings.schema import Raw
from isthmusd.settings.sources import SECRET_FIELDS
from isthmusd.settings.tree import Tree

PROVIDER_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
ENDPOINT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/\s]+")


def provider_variables(environ: Mapping[str, str], written: Mapping[str, Raw | None]) -> Raw:
    """Give what variables say of catalogued and configured providers. A credential that is written keeps theirs out."""
    setups = dict(catalog.setups())
    setups |= {name: Setup(base_url="", env=re.sub(r"\W", "_", name).upper()) for name in written if name not in setups}
    providers: Raw = {}
    for name, setup in setups.items():
        found = _address(environ, setup)
        if not any(credential in (written.get(name) or {}) for credential in (*catalog.CREDENTIALS, "endpoints")):
            found |= _credential(environ, setup)
        if found:
            providers[name] = found
    return {"providers": providers} if providers else {}


def _address(environ: Mapping[str, str], setup: Setup) -> Raw:
    url = environ.get(f"{setup.env}_BASE_URL")
    params = {name: _first_set(environ, param.env) for name, param in setup.params.items()}
    params = {name: value for name, value in params.items() if value}
    return ({"base_url": url} if url else {}) | ({"params": params} if params else {})


def _credential(environ: Mapping[str, str], setup: Setup) -> Raw:
    """Give a key, else what its cloud's own variables offer."""
    key = _first_set(environ, (f"{setup.env}_API_KEY", *setup.key_env))
    if key or setup.signing is None:
        return {"api_key": key} if key else {}
    variables = VARIABLES[setup.signing]
    fields = {field: environ.get(variable) for field, variable in variables.fields.items()}
    enough = _first_set(environ, variables.enough) or (fields and all(fields.values()))
    return {str(setup.signing): fields} if enough else {}


def _first_set(environ: Mapping[str, str], names: Iterable[str]) -> str | None:
    return next((environ[name] for name in names if environ.get(name)), None)


def spell_out_models(raw: Raw) -> Raw:
    """Turn `fast: openai/gpt-4o-mini` into a map, also in a list of targets."""
    models = raw.get("models")
    if not isinstance(models, dict):
        return raw
    return raw | {"models": {name: _alias(f"models.{name}", value) for name, value in cast("Raw", models).items()}}


def refuse(tree: Tree) -> None:
    """Raise SettingsError for the first thing that must not be so."""
    # One after the other: later rules rely on what earlier ones demand.
    for fault in chain.from_iterable(rule(tree) for rule in _RULES):
        if fault is not None:
            raise SettingsError(fault)


def warn(tree: Tree, config: Path | None) -> Iterator[str]:
    """Give what the operator should know, though the run can start."""
    listen, admin = Address.parse(tree.listen), admin_address(tree.admin)
    if not admin.is_loopback:
        yield f"admin: {tree.admin} shows metrics to everyone who reaches it"
    if not listen.is_loopback and tree.auth.anonymous:
        yield f"listen: everyone who reaches {tree.listen} can spend your provider keys (allow_public_anonymous)"
    if "*" in tree.cors.origins and tree.auth.anonymous:
        yield "cors.origins: every web page that a user of this machine opens can spend your provider keys"
    yield from identity_rules.warnings(tree)
    known = catalog.build(tree.providers)
    if not any(known[name].usable for name in tree.providers):
        yield "no provider has a key: only demo/echo and callers with their own keys will get answers"
    for name in tree.providers:
        if known[name].missing and (known[name].api_key or known[name].signing):
            yield f"providers.{name}: has a credential but cannot be called: set {' and '.join(known[name].missing)}"
    if config is not None and _holds_secret(tree, config) and stat.S_IMODE(config.stat().st_mode) & 0o044:
        yield f"{config} holds secrets and others may read it: chmod 600, or write ${{NAME}} or file:PATH instead"


def _alias(path: str, value: object) -> object:
    match value:
        case str():
            return _target(path, value)
        case {"targets": list()}:
            entries = enumerate(cast("list[object]", cast("Raw", value)["targets"]))
            written = cast("Raw", value)
            return written | {"targets": [_target(f"{path}.targets[{index}]", entry) for index, entry in entries]}
        case _:
            return value


def _target(path: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    provider, slash, model = value.partition("/")
    if not (provider and slash and model):
        raise SettingsError(f"{path}: expected PROVIDER/MODEL, got {value!r}")
    return {"provider": provider, "model": model}


def _address_faults(tree: Tree) -> Iterator[str | None]:
    try:
        listen = Address.parse(tree.listen)
    except InvalidAddress as error:
        yield f"listen: {error}"
        return
    try:
        admin = admin_address(tree.admin)
    except InvalidAddress as error:
        yield f"admin: {error}"
        return
    if listen.port and listen == admin:
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
        yield from _endpoint_faults(f"providers.{name}", options)
    yield catalog.fault(tree.providers)
    known = catalog.build(tree.providers)
    if tree.default_provider is not None and tree.default_provider not in known:
        yield f"default_provider: {tree.default_provider} is no provider; {nearest(tree.default_provider, known)}"


def _endpoint_faults(path: str, options: catalog.ProviderOptions) -> Iterator[str | None]:
    names = [*options.endpoints] if options.endpoint is None else [options.endpoint, *options.endpoints]
    yield _twice(f"{path}.endpoints", names)
    for name in names:
        if not ENDPOINT_NAME.fullmatch(name):
            yield f"{path}: {name!r} is no name of a credential; take letters, digits, dot, dash and underscore"


def _model_faults(tree: Tree) -> Iterator[str | None]:
    known = catalog.build(tree.providers)
    for name, alias in tree.models.items():
        path = f"models.{name}"
        missing = [key for key in ("provider", "model") if getattr(alias, key) is None]
        if alias.targets and (len(missing) < 2 or alias.endpoint is not None):
            yield f"{path}: write either provider and model, or targets"
        if not alias.targets and missing:
            yield f"{path}: {' and '.join(missing)} must be set"
        for index, target in enumerate(alias.wanted):
            yield _target_fault(f"{path}.targets[{index}]" if alias.targets else path, target, known)


def _target_fault(path: str, target: ModelTarget, known: Mapping[str, Provider]) -> str | None:
    provider = known.get(target.provider)
    if provider is None:
        return f"{path}.provider: {target.provider} is no provider; {nearest(target.provider, known)}"
    names = [host.endpoint for host in (provider, *provider.alternates) if host.endpoint is not None]
    if target.endpoint is None or target.endpoint in names:
        return None
    hint = nearest(target.endpoint, names) if names else "none of its credentials has a name"
    return f"{path}.endpoint: {target.provider} has no credential called {target.endpoint}; {hint}"


def _media_faults(tree: Tree) -> Iterator[str | None]:
    for index, network in enumerate(tree.media.allow_private):
        try:
            ip_network(network)
        except ValueError:
            yield f"media.allow_private[{index}]: expected a network such as 10.1.0.0/16, got {network!r}"


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
    return any(secret in text for secret in _secrets(msgspec.to_builtins(tree.providers)))


def _secrets(value: object, key: str = "") -> Iterator[str]:
    match value:
        case dict():
            for name, item in cast("dict[str, object]", value).items():
                yield from _secrets(item, name)
        case str() if key in SECRET_FIELDS and value:
            yield value
        case _:
            return


_RULES: tuple[Callable[[Tree], Iterator[str | None]], ...] = (
    _address_faults,
    _provider_faults,
    _model_faults,
    _media_faults,
    _origin_faults,
    cache.faults,
    identity_rules.faults,
)
