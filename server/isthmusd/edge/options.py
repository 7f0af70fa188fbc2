"""What the supervisor and Envoy need to know. Not the settings tree: `isthmusd.settings` composes this into it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from isthmusd.edge.errors import InvalidAddress
from isthmusd.stores.options import RecordingOptions

LOOPBACK_NAMES = frozenset({"localhost", "localhost."})
UNIX = "unix:"
LONGEST_PATH = 107
"""Bytes; what the kernel takes as the path of a socket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A TCP address to listen on; port 0 asks for any free port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `HOST:PORT` or `[V6]:PORT`."""
        host, separator, port = text.rpartition(":")
        bare = host.removeprefix("[").removesuffix("]")
        bracketed = host.startswith("[") and host.endswith("]")
        if not separator or not bare or (":" in bare) != bracketed:
            raise InvalidAddress(f"{text!r} is not HOST:PORT (an IPv6 host goes in brackets)")
        if not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise InvalidAddress(f"{text!r} has no port between 0 and 65535")
        return cls(host=bare, port=int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host in LOOPBACK_NAMES:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixAddress:
    """A unix socket to listen on."""

    path: Path

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return True

    def __str__(self) -> str:
        return f"{UNIX}{self.path}"


AdminAddress: TypeAlias = Address | UnixAddress


def admin_address(text: str) -> AdminAddress:
    """Read `HOST:PORT` or `unix:/path`. Raises InvalidAddress."""
    if not text.startswith(UNIX):
        return Address.parse(text)
    path = text.removeprefix(UNIX)
    if not path.startswith("/") or path.endswith("/") or "\0" in path or len(path.encode()) > LONGEST_PATH:
        raise InvalidAddress(f"{text!r} is not unix:/PATH of at most {LONGEST_PATH} bytes")
    return UnixAddress(path=Path(path))


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeOptions:
    """The processes of one run: what listens where, and how they end."""

    listen: Address = Address(host="127.0.0.1", port=8080)
    """Public address: Envoy, or the worker itself without Envoy."""

    admin: AdminAddress = Address(host="127.0.0.1", port=9090)
    """Operators' listener: AdminService, /metrics and /healthz."""

    workers: int = 1
    """Server processes behind Envoy; without Envoy there is always one."""

    with_envoy: bool = True
    """Off: the worker serves gRPC on `listen`, and there is no HTTP surface."""

    behind_envoy: bool = False
    """Without Envoy of our own: another one with our envoy.yaml is all that reaches `listen`, so its headers count."""

    cors_origins: tuple[str, ...] = ()
    """Browser origins that may call us; `*` stands for any."""

    request_bytes: int = 50 * 1024 * 1024
    """Largest body of a JSON route; Envoy answers 413 above it."""

    drain_s: float = 600.0
    """How long a stop waits for calls in flight."""

    recording: RecordingOptions | None = None
    """How what workers leave in journals gets into the store; None: they leave nothing, and no process stores it."""
