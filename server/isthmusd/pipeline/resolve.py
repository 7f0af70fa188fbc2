"""From a model's name to a plan. It decides nothing about retries: `core/routing.py` and `attempts.py` do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from urllib.parse import unquote

from isthmusd.core.call import Call, Principal
from isthmusd.core.errors import InvalidRequest, NotFound, PermissionDenied, Unauthenticated, UnknownModel, shown
from isthmusd.core.model import Listed
from isthmusd.core.profile import Provider
from isthmusd.core.routing import Plan, Target
from isthmusd.core.tenants import Tenant

ENDPOINT_HEADER = "x-isthmus-endpoint"
NO_OWN_KEY = "provider_key_not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTarget:
    """A provider's model, with the provider's credentials in their order, or with the one of a name."""

    provider: str
    model: str
    endpoint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAlias:
    """A name of the configuration: for one provider's model, or for several `targets` in order of preference."""

    provider: str | None = None
    model: str | None = None
    endpoint: str | None = None
    targets: tuple[ModelTarget, ...] = ()

    @property
    def wanted(self) -> tuple[ModelTarget, ...]:
        """Give the targets, however they are written; empty for an alias that is written by halves."""
        if self.targets or self.provider is None or self.model is None:
            return self.targets
        return (ModelTarget(provider=self.provider, model=self.model, endpoint=self.endpoint),)


CACHED_COUNT = 1024
CACHED_LENGTH = 200
"""Longer names are no models: callers choose them, and must not choose how much is remembered."""
MODEL_LENGTH = 2048
"""Of the longest name: an ARN."""
MOVES = re.compile(r"[\x00-\x1f\x7f]|(?:^|[/\\])\.\.?(?:;[^/\\]*)?(?:[/\\]|$)")
"""Some hosts have the model in the path of a call: percent-encoding leaves a dot a dot there, and hides nothing from a
host that decodes twice."""


class Resolver:
    """Knows which model is where. Built once; read-only afterwards.

    Where a tenant has keys of a provider, they are all that its calls use there: the gateway's own credential of that
    provider never stands in for one of them.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        aliases: Mapping[str, ModelAlias],
        default_provider: str | None,
        *,
        anonymous: bool,
        foreign_prefixes: Mapping[str, str] | None = None,
        trial_model: str | None = None,
    ) -> None:
        self._providers = providers
        self._aliases = aliases
        self._default = default_provider
        self._anonymous = anonymous
        self._hint = f"; to try the gateway without any key, use the model {trial_model}" if trial_model else ""
        self._prefixes = sorted(
            (
                *((prefix, p.name) for p in providers.values() for prefix in p.key_prefixes),
                *(foreign_prefixes or {}).items(),
            ),
            key=lambda pair: -len(pair[0]),
        )
        # Finding out how a host is for a model costs as much as the rest of a resolution; few models are asked for.
        self._remembered = lru_cache(maxsize=CACHED_COUNT)(self._made)
        self._places: dict[str, tuple[Provider, ...]] = {}
        """Model to the hosts that answer to its bare name, in their order."""
        for provider in providers.values():
            for model in () if provider.prefixed_only else provider.models:
                self._places[model] = (*self._places.get(model, ()), provider)
        self._by_model = {
            model: next(host.name for host in hosts if host.usable)
            for model, hosts in self._places.items()
            if any(host.usable for host in hosts)
        }

    def resolve(self, call: Call, model: str) -> Plan:
        """Find the targets for a model. Raises PermissionDenied, UnknownModel, Unauthenticated, InvalidRequest."""
        call.principal.grants.refuse_model(model)
        return self._plan(call, self._find(call.principal, model))

    def resolve_default(self, call: Call) -> Plan:
        """Give the target of a forwarded call that names no model."""
        if call.principal.grants.models is not None:
            raise PermissionDenied("your key is bound to models, and this path names none", code="model_not_allowed")
        if self._default is None or self._default not in self._providers:
            raise UnknownModel("no default provider is configured; name a model in the body")
        return self._plan(call, (ModelTarget(provider=self._default, model=""),))

    def resolve_own(self, call: Call, provider: str) -> Target:
        """Give one provider with the tenant's own key, for paths that are for that alone. Raises NotFound,
        InvalidRequest."""
        owner, host = call.principal.owner, self._providers.get(provider)
        if host is None or owner is None or not owner.provider_keys.get(provider):
            raise NotFound(f"your tenant has no key of {provider}: its operator must add one", code=NO_OWN_KEY)
        return _named(tuple(_owned(host, "", owner)), call.endpoint)[0]

    def models(self, principal: Principal) -> Iterator[Listed]:
        """List what this caller may use, sorted by id."""
        granted = principal.grants.models
        names = [Listed(id=name, provider=alias.wanted[0].provider) for name, alias in self._aliases.items()]
        for provider in self._providers.values():
            if provider.usable or principal.provider_key is not None or _is_opened(provider, principal.owner):
                prefix = "" if provider.name == self._default else f"{provider.name}/"
                # Models that already carry their provider's name are not prefixed twice.
                names += [Listed(id=f"{prefix}{model}", provider=provider.name) for model in provider.models]
        seen: set[str] = set()
        for listed in sorted(names, key=lambda listed: listed.id):
            if listed.id not in seen and (granted is None or listed.id in granted):
                seen.add(listed.id)
                yield listed

    def _find(self, principal: Principal, model: str) -> tuple[ModelTarget, ...]:
        alias = self._aliases.get(model)
        if alias is not None:
            return alias.wanted
        known = self._known(principal.owner, model)
        if known is not None:
            return (ModelTarget(provider=known, model=model),)
        if len(model) > MODEL_LENGTH or MOVES.search(model) or MOVES.search(unquote(unquote(model))):
            raise self._unknown(model, "no model has such a name")
        prefix, slash, rest = model.partition("/")
        if slash:
            if prefix not in self._providers or not rest:
                raise self._unknown(model, f"no provider is called '{shown(prefix)}'")
            return (ModelTarget(provider=prefix, model=rest),)
        provider = self._providers.get(self._default or "")
        if provider is None or not (
            provider.usable or principal.provider_key is not None or _is_opened(provider, principal.owner)
        ):
            raise self._unknown(model, "no provider with a credential serves it")
        return (ModelTarget(provider=provider.name, model=model),)

    def _known(self, owner: Tenant | None, model: str) -> str | None:
        """Give the host of a bare name: before all others one that the tenant has a key of."""
        if owner is not None and owner.provider_keys:
            for host in self._places.get(model, ()):
                if _is_opened(host, owner):
                    return host.name
        return self._by_model.get(model)

    def _unknown(self, model: str, why: str) -> UnknownModel:
        return UnknownModel(
            f"the model '{shown(model)}' is not available: {why}; write provider/model, or configure it{self._hint}",
            param="model",
        )

    def _plan(self, call: Call, wanted: tuple[ModelTarget, ...]) -> Plan:
        """Choose whose secrets pay, and put the targets that they open in order."""
        principal, key = call.principal, call.principal.provider_key
        targets = self._targets(wanted, principal.owner)
        preferred = targets[0].provider
        # Not by the kind of credential: a temporary one may stand for a provider's key, which opens nothing of ours.
        ours = self._anonymous or principal.owner is not None
        usable = [target for target in targets if ours and target.provider.usable]
        if key is not None and preferred.needs_key and not _serves(usable, preferred):
            return self._own_plan(call, targets, key)
        if not usable:
            raise _no_credential(preferred)
        return Plan(targets=_named(usable, call.endpoint))

    def _targets(self, wanted: tuple[ModelTarget, ...], owner: Tenant | None) -> tuple[Target, ...]:
        if owner is not None and not owner.provider_keys:
            owner = None
        long = len(wanted) == 1 and len(wanted[0].model) > CACHED_LENGTH
        return self._made(wanted, owner) if long else self._remembered(wanted, owner)

    def _made(self, wanted: tuple[ModelTarget, ...], owner: Tenant | None) -> tuple[Target, ...]:
        """Give a target for each credential that may be used, with its secret."""
        targets: list[Target] = []
        for each in wanted:
            known = self._providers[each.provider]
            if owner is not None and owner.provider_keys.get(each.provider):
                # That a credential of the gateway was named does not matter: the tenant's have names of their own.
                targets += (own for own in _owned(known, each.model, owner) if own not in targets)
                continue
            for credential in (known, *known.alternates):
                if each.endpoint in {None, credential.endpoint}:
                    host = credential.serving(each.model)
                    targets.append(Target(provider=host, model=each.model, secret=host.api_key))
        return tuple(targets)

    def _own_plan(self, call: Call, targets: Sequence[Target], key: str) -> Plan:
        """Bind a caller's key to the first target's host; other models there may follow, other hosts never."""
        preferred = targets[0].provider
        self._refuse_foreign(preferred, key)
        if preferred.missing:
            raise _no_credential(preferred)
        if call.endpoint is not None:
            raise InvalidRequest(
                "x-isthmus-endpoint picks a credential of the gateway, and your own key pays for this call: leave it "
                "out",
                param=ENDPOINT_HEADER,
            )
        place = (preferred.name, preferred.base_url)
        there = [target for target in targets if (target.provider.name, target.provider.base_url) == place]
        # Several credentials of ours for one model are one target with the caller's.
        by_model = {target.model: target for target in reversed(there)}
        models = dict.fromkeys(target.model for target in there)
        return Plan(targets=tuple(replace(by_model[model], secret=key, callers_own_key=True) for model in models))

    def _refuse_foreign(self, provider: Provider, key: str) -> None:
        owner = next((name for prefix, name in self._prefixes if key.startswith(prefix)), provider.name)
        if owner != provider.name:
            raise Unauthenticated(f"this key is one of {owner}'s, but the model is served by {provider.name}")


def _is_opened(provider: Provider, owner: Tenant | None) -> bool:
    """Tell whether a tenant has a key of its own that opens a host."""
    return owner is not None and bool(owner.provider_keys.get(provider.name)) and not provider.missing


def _owned(provider: Provider, model: str, owner: Tenant) -> Iterator[Target]:
    """Give a host with each of a tenant's keys in their order, and with nothing of the gateway's own."""
    host = provider.serving(model)
    for key in owner.provider_keys[provider.name]:
        paid = replace(host, api_key=key.secret, endpoint=key.name, signing=None, alternates=(), variants={})
        yield Target(provider=paid, model=model, secret=key.secret, owner=owner.id)


def _serves(targets: Sequence[Target], provider: Provider) -> bool:
    return any(target.provider.name == provider.name for target in targets)


def _named(targets: Sequence[Target], endpoint: str | None) -> tuple[Target, ...]:
    """Keep the targets of the credential that the caller picked. Raises InvalidRequest."""
    if endpoint is None:
        return tuple(targets)
    chosen = tuple(target for target in targets if target.endpoint == endpoint)
    if not chosen:
        known = ", ".join(dict.fromkeys(target.endpoint for target in targets if target.endpoint is not None))
        raise InvalidRequest(
            f"x-isthmus-endpoint: no credential of this model is called '{shown(endpoint)}'; "
            + (f"known: {known}" if known else "none has a name: leave it out"),
            param=ENDPOINT_HEADER,
        )
    return chosen


def _no_credential(provider: Provider) -> Unauthenticated:
    if provider.missing:
        return Unauthenticated(
            f"the provider {provider.name} is not ready: the gateway's operator must set {', '.join(provider.missing)}",
            code="no_provider_credential",
        )
    variable = provider.key_variable or f"{provider.name.upper()}_API_KEY"
    return Unauthenticated(
        f"no credential for the provider {provider.name}: configure {variable} on the gateway, or send your own key of "
        "that provider",
        code="no_provider_credential",
    )
