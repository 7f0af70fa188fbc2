"""What one attempt says to one target, and how the answer is read: pass bytes through, translate, or bridge chat and
completions. Pure decisions; sending is `attempts.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

from isthmusd.core import bridge as bridging
from isthmusd.core import fan_out
from isthmusd.core.call import Stamp
from isthmusd.core.chat import ChatRequest
from isthmusd.core.completion import CompletionRequest
from isthmusd.core.embedding import EmbeddingRequest
from isthmusd.core.errors import UpstreamError
from isthmusd.core.events import Event, StreamStart
from isthmusd.core.forced_tool import ForcedRequest, force, needs_tool
from isthmusd.core.media import Held, RemotePart, refuse_buckets, remote_parts, with_bytes
from isthmusd.core.profile import Flavour, StructuredOutput
from isthmusd.core.replay import replay
from isthmusd.core.request import Inbound, Loss, Operation
from isthmusd.core.routing import Target
from isthmusd.core.usage import Usage
from isthmusd.core.vectors import as_asked
from isthmusd.dialects import registry
from isthmusd.dialects.base import Called, Encoded, Identity, Relay, Request, Served, StreamDecoder
from isthmusd.dialects.translation import Translation


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A whole answer in the caller's format."""

    body: Any
    usage: Usage | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One attempt's requests and the reading of their answers."""

    encoded: tuple[Encoded, ...]
    """One per request to the target: several for a completion with several prompts on a chat model, and for more
    embeddings than the target takes at a time."""
    streams: bool
    """The target is asked to stream."""
    read: Callable[[Sequence[bytes]], Answered]
    """Whole answers of the target, in the order of `encoded`, to the caller's format. Raises Garbled."""
    relay: Callable[[], Relay]
    """A fresh relay for the streamed answer."""
    replay: Callable[[Sequence[bytes]], Any]
    """Whole answers to the one piece that a streaming caller gets: for targets that answered whole."""
    losses: tuple[Loss, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaNeeded:
    """What must be fetched before this target can be asked."""

    parts: tuple[RemotePart, ...]


NOTHING: Held = MappingProxyType({})

BRIDGES = {
    (Operation.COMPLETION, Flavour.CHAT): Operation.CHAT,
    (Operation.CHAT, Flavour.COMPLETION): Operation.COMPLETION,
}
"""What is called instead, where a model does not answer the operation natively."""


def exchange_for(inbound: Inbound, target: Target, stamp: Stamp, media: Held = NOTHING) -> Exchange | MediaNeeded:
    """Decide how to ask this target; `media` is what was fetched so far. Raises UnsupportedFeature, InvalidRequest."""
    operation = inbound.operation
    instead = BRIDGES.get((operation, target.provider.flavour_of(target.model)))
    identity = registry.identity(inbound.dialect, operation)
    passes = inbound.dialect == target.provider.dialect and not _must_be_read(inbound, target)
    if (
        instead is None
        and identity is not None
        and passes
        and identity.can_pass(inbound.body, inbound.peeked, target.provider.profile)
    ):
        return _passed(inbound, target, identity, stamp)
    served = registry.served(inbound.dialect, operation)
    called = registry.called(target.provider.dialect, instead or operation)
    request = served.decode_request(inbound.body)
    sides = _Sides(served, called, instead or operation, inbound, target, stamp)
    match instead:
        case None:
            return _straight(sides, request, media)
        case Operation.CHAT:
            return _completion_by_chat(sides, request)
        case _:
            return _chat_by_completion(sides, request)


def _must_be_read(inbound: Inbound, target: Target) -> bool:
    """Whether bytes cannot pass as they are: a response format may need a tool, embeddings several requests.

    Which of the two it is, is seen when the body is read.
    """
    profile = target.provider.profile
    match inbound.operation:
        case Operation.CHAT:
            return (
                profile.structured_output is not StructuredOutput.NATIVE and "response_format" in inbound.peeked.spans
            )
        case Operation.EMBEDDING:
            return profile.embeddings_per_request is not None
        case _:
            return False


Mapper = Callable[[Sequence[Event]], list[Event]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bridge:
    """How the target's canonical answers become one of the caller's kind."""

    join: Callable[[Sequence[Any]], Any]
    mapper: Callable[[], Mapper]
    """A fresh mapper of one stream's events."""
    losses: tuple[Loss, ...] = ()


class _Mapped:
    """A decoder whose events are mapped on their way. `model` is what was asked, for targets that do not say."""

    def __init__(self, decoder: StreamDecoder, mapper: Mapper, model: str) -> None:
        self._decoder = decoder
        self._mapper = mapper
        self._model = model

    @property
    def failure(self) -> UpstreamError | None:
        return self._decoder.failure

    @property
    def ended(self) -> bool:
        return self._decoder.ended

    def feed(self, data: bytes) -> list[Event]:
        return self._map(self._decoder.feed(data))

    def close(self) -> list[Event]:
        return self._map(self._decoder.close())

    def _map(self, events: list[Event]) -> list[Event]:
        match events[:1]:
            case [StreamStart(model="") as start]:
                events[0] = replace(start, model=self._model)
            case _:
                pass
        return self._mapper(events)


@dataclass(frozen=True, slots=True)
class _Sides:
    served: Served
    called: Called
    operation: Operation
    """What is called: another one than what was asked for, where a bridge stands between."""
    inbound: Inbound
    target: Target
    stamp: Stamp

    def encode(self, request: Request, streams: bool) -> Encoded:
        """Write the request. A stream's usage is always asked for, whether or not the caller wants to see it."""
        match request:
            case ChatRequest() | CompletionRequest():
                request = replace(request, stream=streams, include_usage=streams)
            case EmbeddingRequest():
                pass
        encoded = self.called.encode_request(request, self.target.model, self.target.provider.profile)
        path = self.target.provider.path_of(self.operation, streams, self.target.model)
        return encoded if path is None else replace(encoded, path=path)

    def decode(self, body: bytes) -> Any:
        response = self.called.decode_response(body, self.stamp)
        return response if response.model else replace(response, model=self.target.model)

    def decoder(self) -> StreamDecoder:
        return self.called.stream_decoder(self.stamp, self.target.provider.profile)

    def encoder(self) -> Any:
        return self.served.stream_encoder(self.stamp, self.inbound.peeked.include_usage)

    def exchange(self, bridge: _Bridge, encoded: tuple[Encoded, ...], streams: bool) -> Exchange:
        """Assemble an exchange out of what is asked and how its answers become the caller's kind."""

        def read(bodies: Sequence[bytes]) -> Answered:
            response = bridge.join([self.decode(body) for body in bodies])
            return Answered(body=self.served.encode_response(response), usage=response.usage)

        def relay() -> Relay:
            mapped = _Mapped(self.decoder(), bridge.mapper(), self.target.model)
            return Translation(mapped, self.encoder(), len(encoded[0].body))

        def replayed(bodies: Sequence[bytes]) -> Any:
            return self.encoder().feed(replay(bridge.join([self.decode(body) for body in bodies])))

        # Several requests mostly lose the same fields.
        losses = tuple(dict.fromkeys((*bridge.losses, *(loss for one in encoded for loss in one.losses))))
        return Exchange(encoded=encoded, streams=streams, read=read, relay=relay, replay=replayed, losses=losses)


def _straight(sides: _Sides, request: Request, media: Held) -> Exchange | MediaNeeded:
    """Ask for what was asked for."""
    streams, profile = sides.inbound.peeked.stream, sides.target.provider.profile
    match request:
        case ChatRequest():
            if sides.target.provider.signing is not None and not sides.target.callers_own_key:
                refuse_buckets(request)
            missing = tuple(part for part in remote_parts(request, profile) if part.url not in media)
            if missing:
                return MediaNeeded(parts=missing)
            return _translated(sides, with_bytes(request, profile, media), streams)
        case EmbeddingRequest():
            parts = fan_out.split(request, profile.embeddings_per_request)
            bridge = _Bridge(join=lambda answers: as_asked(fan_out.join(parts, answers), request), mapper=lambda: list)
            return sides.exchange(bridge, tuple(sides.encode(part, streams) for part in parts), streams)
        case _:
            return _translated(sides, request, streams)


def _translated(sides: _Sides, request: Request, streams: bool) -> Exchange:
    match request:
        case ChatRequest() if needs_tool(request, sides.target.provider.profile.structured_output):
            return _with_schema_tool(sides, force(request), streams)
        case _:
            straight = _Bridge(join=lambda responses: responses[0], mapper=lambda: list)
            return sides.exchange(straight, (sides.encode(request, streams),), streams)


def _with_schema_tool(sides: _Sides, forced: ForcedRequest, streams: bool) -> Exchange:
    encoded = sides.encode(forced.request, streams)
    encoded = replace(encoded, losses=forced.blamed(encoded.losses))
    bridge = _Bridge(join=lambda responses: forced.restore(responses[0]), mapper=forced.mapper)
    return sides.exchange(bridge, (encoded,), streams)


def _completion_by_chat(sides: _Sides, request: CompletionRequest) -> Exchange:
    chats = bridging.chats_of(request)
    # Several prompts are several chats: they are asked whole and replayed, since their streams cannot be one stream.
    streams = sides.inbound.peeked.stream and len(chats) == 1
    stamp = sides.stamp
    written = (sides.encode(chat, streams) for chat in chats)
    encoded = tuple(replace(one, losses=bridging.blamed_on_prompt(one.losses)) for one in written)
    return sides.exchange(
        _Bridge(
            join=lambda responses: bridging.completion_of(responses, stamp),
            mapper=lambda: partial(bridging.CompletionOfChats(1, request.sampling.n or 1, stamp).feed, 0),
            losses=bridging.losses_of_completion(request),
        ),
        encoded,
        streams,
    )


def _chat_by_completion(sides: _Sides, request: ChatRequest) -> Exchange:
    streams, stamp = sides.inbound.peeked.stream, sides.stamp
    return sides.exchange(
        _Bridge(
            join=lambda responses: bridging.chat_of_completion(responses[0], stamp),
            mapper=lambda: bridging.ChatOfCompletion(stamp).feed,
            losses=bridging.losses_of_chat(request),
        ),
        (sides.encode(bridging.completion_of_chat(request), streams),),
        streams,
    )


def _passed(inbound: Inbound, target: Target, identity: Identity, stamp: Stamp) -> Exchange:
    """Same dialect on both sides: the bytes pass."""
    peeked, profile = inbound.peeked, target.provider.profile
    called = registry.called(target.provider.dialect, inbound.operation)
    path = target.provider.path_of(inbound.operation, peeked.stream, target.model)
    if path is None:
        path = called.path(target.model, peeked.stream)
    body, losses = identity.splice(inbound.body, peeked, target.model, profile)

    def read(bodies: Sequence[bytes]) -> Answered:
        return Answered(body=bodies[0], usage=identity.usage_of(bodies[0]))

    def replayed(bodies: Sequence[bytes]) -> Any:
        # A server that ignores `stream` answers whole; a caller who reads events still gets them.
        served = registry.served(inbound.dialect, inbound.operation)
        encoder = served.stream_encoder(stamp, peeked.include_usage)
        return encoder.feed(replay(called.decode_response(bodies[0], stamp)))

    return Exchange(
        encoded=(Encoded(path=path, body=body),),
        streams=peeked.stream,
        read=read,
        relay=lambda: identity.tap(peeked, len(inbound.body), profile),
        replay=replayed,
        losses=losses,
    )
