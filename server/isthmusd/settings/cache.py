"""What the operator says of the cache, as the layers want it, and what of it is refused. Opening a store is not done
here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlsplit

from isthmusd.settings.tree import Cache, Tree
from isthmusd.stores.caching import CacheOptions
from isthmusd.stores.provision import DATABASE
from isthmusd.stores.urls import sqlite_path

MEMORY = "memory"
"""In place of a URL: no store beside the workers' own memory."""
FILE = "cache.db"
SCHEMES = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss"}
"""How servers' URLs begin, and what the driver calls that."""
TLS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
"""What may follow the `?`: paths of files in PEM."""
NUMBER = re.compile(r"/?|/[0-9]{1,5}")
"""A server's URL ends with the number of a database, or with nothing."""
MASK = "***"
FORMS = "redis://USER:PASSWORD@HOST:PORT/0, rediss:// (TLS), valkey://, sqlite:////PATH/cache.db or memory"


def options(tree: Tree) -> CacheOptions | None:
    """Say where answers are kept; None: nowhere."""
    cache = tree.cache
    if not cache.enabled:
        return None
    return CacheOptions(
        memory_bytes=cache.memory_bytes,
        path=_file(cache, Path(tree.data or "")),
        url=_server(cache),
        store_bytes=cache.store_bytes,
        timeout_s=cache.timeout_s,
    )


def faults(tree: Tree) -> Iterator[str | None]:
    """Give what must not be so. No message holds a part of the URL: it may be one of a password."""
    cache = tree.cache
    if not cache.enabled or cache.url == MEMORY:
        return
    path = _file(cache, Path(tree.data or ""))
    if path is not None:
        yield _file_fault(path, tree)
    elif _server(cache) is None:
        yield f"cache.url: expected {FORMS}; in a password write %40 for @, %2F for /, %3A for :, %23 for #, %25 for %"
    elif find_spec("redis") is None:
        yield "cache.url: a cache in Valkey or Redis needs a driver: pip install 'isthmus-gateway[redis]'"


def shown(url: str | None) -> str | None:
    """Give a URL of the settings without its password."""
    found = None if url is None else _server_url(url)
    if found is None or found.password is None:
        return url
    return found._replace(netloc=f"{found.username or ''}:{MASK}@{found.netloc.rpartition('@')[2]}").geturl()


def _file(cache: Cache, data: Path) -> Path | None:
    if cache.url is None:
        return data / FILE
    path = sqlite_path(cache.url)
    return None if path is None else path.resolve()


def _server(cache: Cache) -> str | None:
    found = None if cache.url is None else _server_url(cache.url)
    return None if found is None else found._replace(scheme=SCHEMES[found.scheme]).geturl()


def _file_fault(path: Path, tree: Tree) -> str | None:
    if path.name.startswith(":"):
        return "cache.url: a file has a name; for the workers' memory alone write memory"
    store = Path(tree.data or "") / DATABASE if tree.store.url is None else sqlite_path(tree.store.url)
    if store is not None and store.resolve() == path.resolve():
        return "cache.url: tenants and keys are in that file; give the cache one of its own"
    return None


def _server_url(text: str) -> SplitResult | None:
    """Read the URL of a server; None if it is none."""
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
        extras = parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query))
    except ValueError:
        return None
    is_good = url.scheme in SCHEMES and host and text.isprintable() and " " not in text and url.netloc.count("@") < 2
    is_whole = NUMBER.fullmatch(url.path) and not url.fragment and all(name in TLS for name, _ in extras)
    return url if is_good and is_whole else None
