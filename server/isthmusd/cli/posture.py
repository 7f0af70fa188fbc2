"""What a run opens, and to whom, in words: said once at its start. What is dangerous in it is warned of by
`settings/rules.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from isthmusd.edge.options import AdminAddress
from isthmusd.settings import Settings
from isthmusd.settings.cache import shown
from isthmusd.stores.provision import DATABASE
from isthmusd.stores.urls import sqlite_path


def posture(settings: Settings) -> str:
    """Tell every open surface of a run, before it is provisioned, and what each asks of callers."""
    return "; ".join(_parts(settings))


def _parts(settings: Settings) -> Iterator[str]:
    auth, tree = settings.tree.auth, settings.tree
    yield f"callers at {_reach(settings.edge.listen)}"
    yield f"operators at {_reach(settings.edge.admin)}: metrics to everybody, administration to keys of role admin"
    yield f"calls without a key {_served(auth.anonymous)}"
    yield f"providers' own keys {_taken(auth.provider_keys)}"
    yield f"identity tokens of {', '.join(each.rules.issuer for each in settings.issuers) or 'nobody'}"
    yield f"other tokens judged by {'nobody' if settings.hook is None else settings.hook.address}"
    yield f"web pages of {', '.join(tree.cors.origins) or 'nobody'}"
    yield f"gRPC reflection {'on' if settings.grpc.reflection else 'off'}"
    yield f"URLs of callers {'fetched' if settings.media is not None else 'not fetched'}"
    yield f"secret from {'the settings' if settings.secret else settings.data / 'secret'}"
    yield f"store {place_of_store(settings)}"
    yield f"answers kept {_kept(settings)}"


def _reach(address: AdminAddress) -> str:
    return f"{address} ({'this machine only' if address.is_loopback else 'other machines too'})"


def _served(yes: bool) -> str:
    return "served with the gateway's provider keys (not with auth.anonymous: false)" if yes else "refused"


def _taken(yes: bool) -> str:
    return "taken, for their own provider (not with auth.provider_keys: false)" if yes else "refused"


def place_of_store(settings: Settings) -> str:
    """Name the store of a run without the password that a URL may hold."""
    if not settings.store.url:
        return str(settings.data / DATABASE)
    return str(sqlite_path(settings.store.url) or "in Postgres")


def _kept(settings: Settings) -> str:
    if settings.cache is None:
        return "nowhere"
    return f"in {place_of_cache(settings)}, for callers of one {settings.tree.cache.scope}"


def place_of_cache(settings: Settings) -> str:
    """Name where answers are kept, without the password that a URL may hold."""
    if settings.cache is not None and settings.cache.path is not None:
        return str(settings.cache.path)
    return shown(settings.tree.cache.url) or "memory"
