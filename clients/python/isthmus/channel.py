"""Channels to a gateway: where, how, and with which key. Not for calls: those are the stubs'."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar, cast

import grpc
import grpc.aio

OPTIONS: tuple[tuple[str, int], ...] = (
    # The default of 4 MiB is less than one answer with a picture; the gateway sends up to this.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # A silent stream on a dead connection would wait for ever. Servers count pings: more often than once a minute is
    # refused by some, and without calls there is nothing to keep alive.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 0),
)

# Per scheme of a target: whether it is encrypted, and its port.
_SCHEMES = {"http": (False, 80), "https": (True, 443)}

AnyChannel = TypeVar("AnyChannel", grpc.Channel, grpc.aio.Channel)
_Metadata = Iterable[tuple[str, str | bytes]]


class Address(NamedTuple):
    """Where a gateway is."""

    target: str
    encrypted: bool


def address_of(target: str) -> Address:
    """Read `https://host[:port]`, `http://host[:port]`, or any gRPC target (`host:port`, `unix:...`: not encrypted)."""
    scheme, separator, rest = target.partition("://")
    if not separator or scheme not in _SCHEMES:
        return Address(target, encrypted=False)
    encrypted, port = _SCHEMES[scheme]
    host = rest.rstrip("/")
    if "/" in host:
        raise ValueError(f"{target!r} has a path; a gateway is a scheme, a host and a port")
    has_port = host.rpartition("]")[2].rpartition(":")[1] == ":"
    return Address(host if has_port else f"{host}:{port}", encrypted)


def open_channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    """Open a channel for blocking calls. Given credentials always mean TLS."""
    address = address_of(target)
    if address.encrypted or credentials:
        return grpc.secure_channel(address.target, credentials or grpc.ssl_channel_credentials(), OPTIONS)
    return grpc.insecure_channel(address.target, OPTIONS)


def open_async_channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    """Open a channel for asyncio. Given credentials always mean TLS."""
    address = address_of(target)
    if address.encrypted or credentials:
        return grpc.aio.secure_channel(address.target, credentials or grpc.ssl_channel_credentials(), OPTIONS)
    return grpc.aio.insecure_channel(address.target, OPTIONS)


def authorized(channel: AnyChannel, api_key: str | None) -> AnyChannel:
    """Make every call on the channel carry the key as a bearer token."""
    if api_key is None:
        return channel
    return cast(AnyChannel, _AuthorizedChannel(channel, ("authorization", f"Bearer {api_key}")))


class _AuthorizedChannel:
    """What a generated stub needs of a channel, with one header added to each call.

    Neither call credentials (refused on plaintext channels) nor interceptors (asyncio ones cannot be added to an open
    channel, and leak on bidirectional streams) do this for both kinds of channels.
    """

    def __init__(self, channel: grpc.Channel | grpc.aio.Channel, header: tuple[str, str]) -> None:
        self._channel: Any = channel
        self._header = header

    def unary_unary(self, *args: Any, **kwargs: Any) -> "_AuthorizedCallable":
        return _AuthorizedCallable(self._channel.unary_unary(*args, **kwargs), self._header)

    def unary_stream(self, *args: Any, **kwargs: Any) -> "_AuthorizedCallable":
        return _AuthorizedCallable(self._channel.unary_stream(*args, **kwargs), self._header)

    def stream_unary(self, *args: Any, **kwargs: Any) -> "_AuthorizedCallable":
        return _AuthorizedCallable(self._channel.stream_unary(*args, **kwargs), self._header)

    def stream_stream(self, *args: Any, **kwargs: Any) -> "_AuthorizedCallable":
        return _AuthorizedCallable(self._channel.stream_stream(*args, **kwargs), self._header)


class _AuthorizedCallable:
    """One method of a stub. A call that brings its own `authorization` keeps it."""

    def __init__(self, method: Any, header: tuple[str, str]) -> None:
        self._method = method
        self._header = header

    def __call__(self, *args: Any, metadata: _Metadata | None = None, **options: Any) -> Any:
        return self._call(self._method, args, metadata, options)

    def with_call(self, *args: Any, metadata: _Metadata | None = None, **options: Any) -> Any:
        return self._call(self._method.with_call, args, metadata, options)

    def future(self, *args: Any, metadata: _Metadata | None = None, **options: Any) -> Any:
        return self._call(self._method.future, args, metadata, options)

    def _call(
        self,
        method: Callable[..., Any],
        args: tuple[Any, ...],
        metadata: _Metadata | None,
        options: dict[str, Any],
    ) -> Any:
        given = tuple(metadata or ())
        own = any(name == self._header[0] for name, _ in given)
        return method(*args, metadata=given if own else (*given, self._header), **options)
