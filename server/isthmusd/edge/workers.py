"""The worker processes: what each is told and where its socket is. Not what a worker does: `isthmusd.worker`.

The contract with a worker: `ISTHMUS_WORKER` holds a `Post` as JSON, `ISTHMUS_SETTINGS` the path of the settings file;
its socket exists as soon as it accepts calls; SIGTERM lets its calls finish and then ends it with exit code 0.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from prometheus_client.multiprocess import (
    mark_process_dead,  # pyright: ignore[reportUnknownVariableType] - untyped upstream
)

from isthmusd.edge.options import Address
from isthmusd.edge.process import Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """What one worker is told about itself."""

    bind: str
    """`unix:/path`, or `host:port` without Envoy."""
    index: int
    edge: bool
    """Whether an Envoy with our configuration is the only one to call: then its headers are believed."""
    admin: str
    """`unix:/path` where it serves AdminService."""
    pulse: str
    """The file to touch for as long as the loop turns."""
    peers: tuple[str, ...]
    """`unix:/path` where each worker of this run serves the others, by index; empty for one that is alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """The run's private directory: short, so that socket paths fit into 107 characters."""

    root: Path

    def socket(self, index: int) -> Path:
        """Where worker `index` listens, before and after a restart."""
        return self.root / f"w{index}.sock"

    def admin(self, index: int) -> Path:
        """Where worker `index` serves AdminService."""
        return self.root / f"a{index}.sock"

    def peers(self, index: int) -> Path:
        """Where worker `index` serves the other workers."""
        return self.root / f"p{index}.sock"

    @property
    def admin_http(self) -> Path:
        """Where the supervisor serves what of the admin listener is HTTP."""
        return self.root / "admin.sock"

    def pulse(self, index: int) -> Path:
        """What worker `index` touches while it lives."""
        return self.root / f"w{index}.pulse"

    @property
    def admin_socket(self) -> Path:
        """Envoy's admin interface."""
        return self.root / "envoy.sock"

    @property
    def envoy_config(self) -> Path:
        """This run's Envoy configuration."""
        return self.root / "envoy.json"

    @property
    def settings(self) -> Path:
        """The resolved settings for the workers, secrets included."""
        return self.root / "settings.json"

    @property
    def metrics(self) -> Path:
        """Where the workers leave their metrics."""
        return self.root / "metrics"

    def create(self, settings: bytes) -> None:
        """Write what the workers read; only this user may."""
        self.metrics.mkdir(mode=0o700)
        self.settings.touch(mode=0o600)
        self.settings.write_bytes(settings)


def behind_envoy(folder: Folder, count: int) -> list[Post]:
    """Place each worker on a unix socket of its own: over a shared port Envoy would not balance."""
    peers = tuple(f"unix:{folder.peers(index)}" for index in range(count)) if count > 1 else ()
    return [
        Post(
            bind=f"unix:{folder.socket(index)}",
            index=index,
            edge=True,
            admin=_admin(folder, index),
            pulse=str(folder.pulse(index)),
            peers=peers,
        )
        for index in range(count)
    ]


def alone(folder: Folder, listen: Address, behind_envoy: bool) -> list[Post]:
    """Place the only worker on the public address; `behind_envoy` says whose address that is."""
    bind = str(listen)
    return [
        Post(
            bind=bind,
            index=0,
            edge=behind_envoy,
            admin=_admin(folder, 0),
            pulse=str(folder.pulse(0)),
            peers=(),
        )
    ]


def _admin(folder: Folder, index: int) -> str:
    return f"unix:{folder.admin(index)}"


def command(post: Post, folder: Folder, argv: Sequence[str], environ: Mapping[str, str]) -> Command:
    """Return how the worker of this post is started."""
    told = {
        "ISTHMUS_WORKER": msgspec.json.encode(post).decode(),
        "ISTHMUS_SETTINGS": str(folder.settings),
        "PROMETHEUS_MULTIPROC_DIR": str(folder.metrics),
    }

    def remove_traces() -> None:
        Path(post.pulse).unlink(missing_ok=True)
        folder.admin(post.index).unlink(missing_ok=True)
        folder.peers(post.index).unlink(missing_ok=True)
        if post.edge:
            folder.socket(post.index).unlink(missing_ok=True)

    def forget_gauges(pid: int) -> None:
        mark_process_dead(pid, str(folder.metrics))

    return Command(
        name=f"worker {post.index}",
        argv=argv,
        environ={**environ, **told},
        before_start=remove_traces,
        after_death=forget_gauges,
    )


async def accepts(post: Post) -> bool:
    """Whether somebody listens at the post."""
    kind, _, path = post.bind.partition("unix:")
    with contextlib.suppress(OSError):
        if path and not kind:
            _, writer = await asyncio.open_unix_connection(path)
        else:
            address = Address.parse(post.bind)
            _, writer = await asyncio.open_connection(reachable(address.host), address.port)
        writer.close()
        return True
    return False


def reachable(host: str) -> str:
    """Return a host to connect to for one to listen on."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
