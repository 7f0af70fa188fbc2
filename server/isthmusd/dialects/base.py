"""The contract of a dialect: one wire format, in two halves. It holds no wire format itself.

`Served`: someone speaks the format to us. `Called`: we speak it to a provider. Guarantees of every implementation:
pure (ids and time come in a `Stamp`); one encoder, decoder or relay serves one stream and one task; requests are never
mutated, so a retry may encode again; members that the hub does not know are kept in `extra`, and each one that a
target cannot carry is a `Loss`; `close()` is called exactly once, also after a failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from isthmusd.core.call import Stamp
from isthmusd.core.chat import ChatRequest, ChatResponse
from isthmusd.core.completion import CompletionRequest, CompletionResponse
from isthmusd.core.embedding import EmbeddingRequest, EmbeddingResponse
from isthmusd.core.entry import Form
from isthmusd.core.errors import GatewayError, UpstreamError
from isthmusd.core.events import Event
from isthmusd.core.headers import Headers
from isthmusd.core.profile import Profile
from isthmusd.core.request import Loss, Peeked
from isthmusd.core.usage import Usage

Request = ChatRequest | CompletionRequest | EmbeddingRequest
Response = ChatResponse | CompletionResponse | EmbeddingResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A request in a target's wire format."""

    path: str
    """Appended to the provider's base URL; starts with a slash."""
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    losses: tuple[Loss, ...] = ()


class StreamEncoder(Protocol):
    """Events to pieces of the served format."""

    def feed(self, events: Sequence[Event]) -> Any | None:
        """Write events as one piece; None if they have no form on this wire."""
        ...

    def fail(self, error: GatewayError) -> Any | None:
        """Write an in-band error, the last piece; None where the protocol reports failure by other means."""
        ...


class StreamDecoder(Protocol):
    """A target's bytes to events, however the bytes are cut."""

    @property
    def failure(self) -> UpstreamError | None:
        """Set once the stream is known to be broken; events before it were returned. Nothing is fed afterwards."""
        ...

    @property
    def ended(self) -> bool:
        """The terminator was seen."""
        ...

    def feed(self, data: bytes) -> list[Event]: ...

    def close(self) -> list[Event]:
        """The upstream ended its body: give what was held back; without a terminator set `failure`."""
        ...


class Relay(Protocol):
    """A running stream from a target to a caller: `Tap` where the bytes pass untouched, `Translation` otherwise."""

    failure: UpstreamError | None
    ended: bool
    usage: Usage | None

    def feed(self, data: bytes) -> Any | None:
        """Take bytes of the target, give one piece for the caller (whole events), or None."""
        ...

    def close(self) -> Any | None: ...

    def fail(self, error: GatewayError) -> Any | None: ...


class Served(Protocol):
    """The half that callers speak, for one operation."""

    keep_alive: Any | None
    """A piece that says nothing, for silent streams; None where the protocol has its own."""

    def peek(self, body: Any) -> Peeked:
        """Read the few fields that decisions need, in one parse. Raises InvalidRequest."""
        ...

    def decode_request(self, body: Any) -> Any:
        """Give the canonical request. Raises InvalidRequest naming the field."""
        ...

    def encode_response(self, response: Any) -> Any:
        """Write a canonical answer."""
        ...

    def stream_encoder(self, stamp: Stamp, include_usage: bool) -> StreamEncoder: ...


class Kept(Protocol):
    """How one served operation is kept and carried between processes, and how an answer takes another form.

    Bytes on the OpenAI surface are their own written form; messages of the typed one are protobuf's.
    """

    def canonical(self, body: Any, peeked: Peeked) -> bytes | None:
        """Write a request so that equal ones are equal bytes, whether or not they stream. None: what it means is not
        certain (names that repeat, text that is not Unicode)."""
        ...

    def freeze_request(self, body: Any) -> bytes: ...

    def thaw_request(self, written: bytes) -> Any:
        """Read what `freeze_request` wrote."""
        ...

    def freeze(self, piece: Any) -> bytes:
        """Write a whole answer, or a piece of a streamed one."""
        ...

    def thaw_whole(self, written: bytes) -> Any: ...

    def thaw_piece(self, written: bytes) -> Any: ...

    def compact(self, pieces: Sequence[bytes]) -> tuple[bytes, ...]:
        """Give the frozen pieces of a stream as they are kept: fewer, where that moves no event's end."""
        ...

    def is_final(self, pieces: Sequence[bytes], streamed: bool) -> bool:
        """Tell of a complete answer, frozen, whether it is one to give again: it may say itself that it failed."""
        ...

    def write_failure(self, error: GatewayError) -> Any | None:
        """Write the in-band error that ends a broken stream; None where the protocol reports failure by other means."""
        ...

    def recast(self, pieces: Sequence[Any], was: Form, wanted: Form, stamp: Stamp, *, usage: Usage | None) -> list[Any]:
        """Give a complete answer in another form; a whole one is a single piece.

        What is said stays the same, ids and times too. `usage` is what is known of it beside the pieces, which need not
        tell it. Raises Garbled or UnsupportedFeature where that cannot be done.
        """
        ...


class Called(Protocol):
    """The half that we speak to providers, for one operation."""

    def path(self, model: str, stream: bool) -> str:
        """Path below the provider's base URL."""
        ...

    def encode_request(self, request: Any, model: str, profile: Profile) -> Encoded:
        """Write a canonical request for the upstream model name `model`."""
        ...

    def decode_response(self, body: bytes, stamp: Stamp) -> Any:
        """Read a whole answer. Raises Garbled."""
        ...

    def stream_decoder(self, stamp: Stamp, profile: Profile) -> StreamDecoder: ...

    def decode_error(self, status: int, headers: Headers, body: bytes) -> UpstreamError:
        """Read an error answer; `KeyRejected` for 401/403: the pipeline makes it Misconfigured for our own key."""
        ...


class Identity(Protocol):
    """Same dialect on both sides, for one operation: bytes pass untouched but for a splice of top-level members."""

    def can_pass(self, body: bytes, peeked: Peeked, profile: Profile) -> bool:
        """Tell whether a splice is enough for this target; if not, the body goes over the hub."""
        ...

    def splice(self, body: bytes, peeked: Peeked, model: str, profile: Profile) -> tuple[bytes, tuple[Loss, ...]]:
        """Replace the model's value if it differs, ask for usage on streams where the profile allows it, and rename or
        leave out members as the profile says."""
        ...

    def tap(self, peeked: Peeked, body_size: int, profile: Profile) -> Relay:
        """Watch a streamed answer; drop the usage events that only `splice` caused."""
        ...

    def usage_of(self, body: bytes) -> Usage | None:
        """Read the usage of a whole answer. Raises Garbled if it is not a JSON object."""
        ...
