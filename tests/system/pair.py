"""A whole gateway and the fake provider behind it, for tests of everything at once. It asserts nothing."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from tests.edge.gateway import Gateway, running_gateway
from tests.fakes.provider import FakeProvider
from tests.system.background import in_background

OUR_KEY = "sk-the-gateways-own"
GRPC_OPTIONS = (("grpc.max_receive_message_length", 64 * 1024 * 1024), ("grpc.max_send_message_length", -1))
WAIT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The provider lives in a thread of this process, so that tests can look at what it received and when."""

    gateway: Gateway
    provider: FakeProvider

    @property
    def url(self) -> str:
        return self.gateway.url

    def channel(self) -> grpc.Channel:
        """A channel of native gRPC to Envoy; the caller closes it."""
        return grpc.insecure_channel(self.gateway.grpc_target, options=GRPC_OPTIONS)


@contextmanager
def running_pair(workers: int = 1, **settings: Any) -> Iterator[Pair]:
    """Run both; `settings` join the gateway's configuration, `providers` in them join its providers."""
    with in_background(FakeProvider()) as provider:
        openai = {"base_url": provider.url, "api_key": OUR_KEY, "endpoint": "main"}
        providers: Mapping[str, Any] = settings.pop("providers", {})
        located = {name: {"base_url": provider.url, **given} for name, given in providers.items()}
        config = {"providers": {"openai": openai, **located}, **settings}
        with running_gateway(config, workers) as gateway:
            yield Pair(gateway=gateway, provider=provider)


def eventually(happened: Callable[[], bool], within_s: float = WAIT_S) -> bool:
    """Poll until it happened; False if it did not in time."""
    limit = time.monotonic() + within_s
    while not happened():
        if time.monotonic() > limit:
            return False
        time.sleep(0.002)
    return True


def closed_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
