"""The settings of one run, composed into what each layer asks for. Reading and checking them is `loading.py`'s."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec

from isthmusd.edge.options import Address, EdgeOptions, admin_address
from isthmusd.observe.log import Level
from isthmusd.pipeline.options import PipelineOptions
from isthmusd.pipeline.resolve import ModelAlias
from isthmusd.providers import catalog
from isthmusd.providers.catalog import CREDENTIALS, ProviderOptions
from isthmusd.settings import cache, identity
from isthmusd.settings.sources import SECRET_FIELDS
from isthmusd.settings.tree import CacheScope, Tree
from isthmusd.stores.caching import CacheOptions
from isthmusd.stores.options import RecordingOptions, RecordsOptions, StoreOptions
from isthmusd.upstream.options import HookOptions, IssuerOptions, MediaOptions

MASK = "***"


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcOptions:
    """The typed surface."""

    reflection: bool
    """Serve gRPC reflection."""
    message_bytes: int
    """Largest message in either direction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that was decided before the run, read once."""

    data: Path
    """Directory of everything that must survive a restart."""
    edge: EdgeOptions
    pipeline: PipelineOptions
    providers: Mapping[str, ProviderOptions]
    """What the operator says of providers; the rest is the catalogue's."""
    models: Mapping[str, ModelAlias]
    media: MediaOptions | None
    """How images and files are fetched; None: they are not."""
    secret: str = field(repr=False)
    """The master secrets; empty until the run is provisioned."""
    token_issuer: str
    """`iss` of the gateway's own tokens; empty until the run is provisioned."""
    store: StoreOptions
    records: RecordsOptions | None
    """None: records are in the log only."""
    cache: CacheOptions | None
    """None: no answer is kept."""
    issuers: tuple[IssuerOptions, ...]
    hook: HookOptions | None
    grpc: GrpcOptions
    log_level: Level
    tree: Tree = field(repr=False)
    """All of it as it could be written into a file, secrets included."""
    warnings: tuple[str, ...] = ()
    """What the operator should know, though the run can start."""

    @classmethod
    def compose(cls, tree: Tree, warnings: tuple[str, ...] = ()) -> Settings:
        """Give each layer its part of a complete tree. Raises InvalidAddress."""
        edge = _edge(tree)
        reflection = tree.grpc.reflection
        return cls(
            data=Path(tree.data or ""),
            edge=edge,
            pipeline=_pipeline(tree, edge.listen.is_loopback),
            providers=tree.providers,
            models=tree.models,
            media=_media(tree),
            secret=tree.secret or "",
            token_issuer=tree.auth.name or "",
            store=_store(tree),
            records=_records(tree),
            cache=cache.options(tree),
            issuers=identity.issuers(tree.auth),
            hook=identity.hook(tree.auth),
            grpc=GrpcOptions(
                reflection=edge.listen.is_loopback if reflection is None else reflection,
                message_bytes=tree.limits.grpc_message_bytes,
            ),
            log_level=tree.log.level,
            tree=tree,
            warnings=warnings,
        )

    @classmethod
    def read(cls, dumped: bytes) -> Settings:
        """Read what `dump` wrote."""
        return cls.compose(msgspec.json.decode(dumped, type=Tree))

    def provisioned(self, *, secret: str, instance: str, store_url: str) -> Settings:
        """Give the settings with what `stores/provision.py` found or made."""
        tree = msgspec.structs.replace(
            self.tree,
            secret=secret,
            auth=msgspec.structs.replace(self.tree.auth, name=self.tree.auth.name or f"isthmus:{instance}"),
            store=msgspec.structs.replace(self.tree.store, url=store_url),
        )
        return Settings.compose(tree, self.warnings)

    def dump(self) -> bytes:
        """Write everything, secrets included, for a worker: into a file that only its owner reads."""
        return msgspec.json.encode(self.tree)

    def masked(self) -> dict[str, Any]:
        """Give the tree as plain data to show, without secrets and without what a provider leaves unset."""
        shown: dict[str, Any] = _mask("", msgspec.to_builtins(self.tree))
        for name, options in shown["providers"].items():
            given = {key: _set(value) for key, value in options.items() if value not in (None, [])}
            shown["providers"][name] = {key: value for key, value in given.items() if value or key in CREDENTIALS}
        # What is left of it without its password says where answers are, and can be read again.
        shown["cache"]["url"] = cache.shown(self.tree.cache.url)
        shown["models"] = {name: _alias(alias) for name, alias in shown["models"].items()}
        return shown


def _alias(alias: dict[str, Any]) -> dict[str, Any]:
    """Show an alias in the form in which it is written."""
    given = {key: value for key, value in alias.items() if value}
    return given | ({"targets": [_set(target) for target in given["targets"]]} if "targets" in given else {})


def _set(value: Any) -> Any:
    """Leave out what is None. An empty credential is shown: it says that there is one."""
    match value:
        case dict():
            return {name: _set(item) for name, item in cast("dict[str, Any]", value).items() if item is not None}
        case _:
            return value


def _edge(tree: Tree) -> EdgeOptions:
    return EdgeOptions(
        listen=Address.parse(tree.listen),
        admin=admin_address(tree.admin),
        workers=tree.workers or 1,
        with_envoy=tree.envoy,
        cors_origins=tree.cors.origins,
        request_bytes=tree.limits.request_bytes,
        drain_s=tree.limits.drain_s,
        recording=_recording(tree),
    )


def _pipeline(tree: Tree, loopback: bool) -> PipelineOptions:
    limits = tree.limits
    return PipelineOptions(
        anonymous=tree.auth.anonymous,
        provider_keys=tree.auth.provider_keys,
        # A public address is dialled by names that we do not know; the operator said that this is meant.
        loopback_hosts_only=loopback,
        cors_origins=tree.cors.origins,
        default_provider=tree.default_provider,
        request_bytes=limits.request_bytes,
        upload_bytes=limits.upload_bytes,
        reply_bytes=limits.reply_bytes,
        request_s=limits.request_s,
        first_event_s=limits.first_event_s,
        idle_s=limits.idle_s,
        keep_alive_s=limits.keep_alive_s,
        calls=limits.calls,
        tenant_forward_url=_tenant_forward_url(tree),
        body_bytes=tree.records.body_bytes,
        cache_entry_bytes=tree.cache.entry_bytes,
        cache_per_tenant=tree.cache.scope is CacheScope.TENANT,
        media_bytes=tree.media.max_bytes,
        media_per_request=tree.media.max_per_request,
    )


def _store(tree: Tree) -> StoreOptions:
    store = tree.store
    return StoreOptions(url=store.url or "", poll_s=store.poll_s, timeout_s=store.timeout_s, stale_s=store.stale_s)


def _recording(tree: Tree) -> RecordingOptions | None:
    records = _records(tree)
    if records is None:
        return None
    return RecordingOptions(store=_store(tree), records=records, log_level=tree.log.level)


def _records(tree: Tree) -> RecordsOptions | None:
    records = tree.records
    if not records.keep:
        return None
    return RecordsOptions(
        journal=Path(tree.data or "") / "journal",
        journal_bytes=records.journal_bytes,
        body_bytes=records.body_bytes,
        retention_s=records.retention_days * 86_400,
        max_count=records.max_count,
    )


def _tenant_forward_url(tree: Tree) -> str:
    written = tree.tenant_forward.base_url
    if written is not None:
        return written.rstrip("/")
    host = urlsplit(catalog.build(tree.providers)["openai"].base_url)
    return f"{host.scheme}://{host.netloc}"


def _media(tree: Tree) -> MediaOptions | None:
    media = tree.media
    if not media.fetch:
        return None
    return MediaOptions(
        timeout_s=media.timeout_s,
        ports=frozenset(media.ports),
        allow_private=tuple(ip_network(network) for network in media.allow_private),
    )


def _mask(key: str, value: Any) -> Any:
    match value:
        case dict():
            items = cast("dict[str, Any]", value)
            return {name: _mask(name, item) for name, item in items.items()}
        case list() | tuple():
            entries = cast("Iterable[Any]", value)
            return [_mask(key, item) for item in entries]
        case str() if key in SECRET_FIELDS and value:
            return MASK
        case _:
            return value
