"""From a model's name to a plan. It decides nothing about retries: `core/routing.py` and `attempts.py` do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from isthmusd.core.call import AuthMethod, Call, Principal
from isthmusd.core.errors import InvalidRequest, PermissionDenied, Unauthenticated, UnknownModel
from isthmusd.core.model import Listed
from isthmusd.core.profile import Provider
from isthmusd.core.routing import Plan, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAlias:
    """A name of the configuration for a provider's model."""

    provider: str
    model: str


class Resolver:
    """Knows which model is where. Built once; read-only afterwards."""

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
        self._by_model = {
            model: provider.name
            for provider in reversed(tuple(providers.values()))
            if provider.usable and not provider.prefixed_only
            for model in provider.models
        }

    def resolve(self, call: Call, model: str) -> Plan:
        """Find the target for a model. Raises PermissionDenied, UnknownModel, Unauthenticated, InvalidRequest."""
        granted = call.principal.grants.models
        if granted is not None and model not in granted:
            raise PermissionDenied(f"your key does not allow the model '{_shown(model)}'", code="model_not_allowed")
        provider, upstream_model = self._find(call.principal, model)
        return self._plan(call, provider, upstream_model)

    def resolve_default(self, call: Call) -> Plan:
        """Give the target of a forwarded call that names no model."""
        if call.principal.grants.models is not None:
            raise PermissionDenied("your key is bound to models, and this path names none", code="model_not_allowed")
        provider = self._providers.get(self._default or "")
        if provider is None:
            raise UnknownModel("no default provider is configured; name a model in the body")
        return self._plan(call, provider, "")

    def models(self, principal: Principal) -> Iterator[Listed]:
        """List what this caller may use, sorted by id."""
        granted = principal.grants.models
        names = [Listed(id=name, provider=alias.provider) for name, alias in self._aliases.items()]
        for provider in self._providers.values():
            if provider.usable or principal.provider_key is not None:
                prefix = "" if provider.name == self._default else f"{provider.name}/"
                # Models that already carry their provider's name are not prefixed twice.
                names += [Listed(id=f"{prefix}{model}", provider=provider.name) for model in provider.models]
        seen: set[str] = set()
        for listed in sorted(names, key=lambda listed: listed.id):
            if listed.id not in seen and (granted is None or listed.id in granted):
                seen.add(listed.id)
                yield listed

    def _find(self, principal: Principal, model: str) -> tuple[Provider, str]:
        alias = self._aliases.get(model)
        if alias is not None:
            return self._providers[alias.provider], alias.model
        known = self._by_model.get(model)
        if known is not None:
            return self._providers[known], model
        prefix, slash, rest = model.partition("/")
        if slash:
            provider = self._providers.get(prefix)
            if provider is None or not rest:
                raise self._unknown(model, f"no provider is called '{_shown(prefix)}'")
            return provider, rest
        provider = self._providers.get(self._default or "")
        if provider is None or not (provider.usable or principal.provider_key is not None):
            raise self._unknown(model, "no provider with a credential serves it")
        return provider, model

    def _unknown(self, model: str, why: str) -> UnknownModel:
        return UnknownModel(
            f"the model '{_shown(model)}' is not available: {why}; write provider/model, or configure it{self._hint}",
            param="model",
        )

    def _plan(self, call: Call, provider: Provider, upstream_model: str) -> Plan:
        if call.endpoint is not None and call.endpoint != provider.endpoint:
            raise InvalidRequest(f"no credential of {provider.name} is called that way", param="x-isthmus-endpoint")
        provider = provider.serving(upstream_model)
        principal = call.principal
        ours = self._anonymous or principal.method not in {AuthMethod.ANONYMOUS, AuthMethod.PROVIDER_KEY}
        if ours and provider.usable:
            return Plan(targets=(Target(provider=provider, model=upstream_model, secret=provider.api_key),))
        if principal.provider_key is None or not provider.needs_key:
            raise Unauthenticated(
                f"no credential for the provider {provider.name}: configure {provider.name.upper()}_API_KEY on the "
                "gateway, or send your own key of that provider",
                code="no_provider_credential",
            )
        self._refuse_foreign(provider, principal.provider_key)
        return Plan(
            targets=(
                Target(provider=provider, model=upstream_model, secret=principal.provider_key, callers_own_key=True),
            )
        )

    def _refuse_foreign(self, provider: Provider, key: str) -> None:
        owner = next((name for prefix, name in self._prefixes if key.startswith(prefix)), provider.name)
        if owner != provider.name:
            raise Unauthenticated(f"this key is one of {owner}'s, but the model is served by {provider.name}")


def _shown(name: str) -> str:
    """Cut a caller's text to what belongs into a message."""
    return name[:100]
