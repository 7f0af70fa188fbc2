"""What the built-in provider says, as OpenAI's wire format. Deterministic: the same request gives the same bytes, but
for `created`, which is fixed. It knows nothing of delays or of how its pieces travel.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, NoReturn, TypeVar, cast

import msgspec

CREATED_AT = 1_700_000_000
DIMENSIONS = 64
MAX_DIMENSIONS = 4096
MAX_NUMBERS = 2**20
"""Of all vectors of one answer. Answers are made at once, on the worker's loop: nobody's may hold up all others'."""
MAX_WORDS = 100_000
"""Of all choices of one answer."""
MODELS = {"echo": "demo/echo", "embed": "demo/embed"}
"""The name without its provider, to the name that answers carry."""
ADVICE = (
    "This is the demo provider built into Isthmus: set OPENAI_API_KEY, or another provider's key, and restart "
    "the gateway to reach a real model."
)

Choices = Annotated[int, msgspec.Meta(ge=1, le=16)]
Tokens = Annotated[int, msgspec.Meta(ge=1)]
TokenIds = list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    id: str
    pieces: tuple[bytes, ...]
    """The body; of a stream, one event each."""
    status: int = 200
    streams: bool = False


class Refusal(Exception):
    """A request that a provider would refuse; it becomes an answer, it never leaves this package."""

    def __init__(self, message: str, *, status: int = 400, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self._body = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
        self._status = status

    def answer(self) -> Answer:
        """Write the refusal as OpenAI does."""
        body = _json({"error": self._body})
        return Answer(id=_id("req", body), status=self._status, pieces=(body,))


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[dict[str, Any]] | None = None


class _Answerable(msgspec.Struct):
    model: str
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: Choices | None = None
    max_tokens: Tokens | None = None

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage is True


class _ChatRequest(_Answerable):
    messages: list[_Message] = msgspec.field(default_factory=list[_Message])
    max_completion_tokens: Tokens | None = None


class _CompletionRequest(_Answerable):
    prompt: Any = None


class _EmbeddingRequest(msgspec.Struct):
    model: str
    input: Any = None
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=MAX_DIMENSIONS)] | None = None
    encoding_format: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """One choice: words with the spaces after them, and why they end."""

    words: tuple[str, ...]
    finish_reason: str

    @property
    def text(self) -> str:
        return "".join(self.words)


def chat(body: bytes) -> Answer:
    """Answer `POST /chat/completions`."""
    request = _decode(body, _ChatRequest)
    model = _known(request.model, "echo")
    if not request.messages:
        _refuse("'messages' must hold at least one message", "messages")
    asked = next((_text(m) for m in reversed(request.messages) if m.role == "user"), "")
    said = _say(asked, request.max_completion_tokens or request.max_tokens, request.n or 1)
    head = {"id": _id("chatcmpl", body), "object": "chat.completion", "created": CREATED_AT, "model": model}
    count = request.n or 1
    usage = _usage(sum(len(_text(m).split()) for m in request.messages), len(said.words) * count)
    if request.stream:
        chunk = head | {"object": "chat.completion.chunk"}
        return _stream(chunk, usage if request.wants_usage else None, _chat_choices(said, count))
    message = {"role": "assistant", "content": said.text}
    ends = {"finish_reason": said.finish_reason}
    choices = [{"index": index, "message": message, "logprobs": None} | ends for index in range(count)]
    return Answer(id=str(head["id"]), pieces=(_json(head | {"choices": choices, "usage": usage}),))


def completion(body: bytes) -> Answer:
    """Answer `POST /completions`."""
    request = _decode(body, _CompletionRequest)
    model = _known(request.model, "echo")
    prompts = _prompts(request.prompt, "prompt")
    count = len(prompts) * (request.n or 1)
    if count > MAX_NUMBERS // 1024:
        _refuse("the demo provider takes fewer prompts at once", "prompt")
    said = [_say(prompt, request.max_tokens, count) for prompt in prompts for _ in range(request.n or 1)]
    head = {"id": _id("cmpl", body), "object": "text_completion", "created": CREATED_AT, "model": model}
    usage = _usage(sum(len(prompt.split()) for prompt in prompts), sum(len(one.words) for one in said))
    if request.stream:
        return _stream(head, usage if request.wants_usage else None, _completion_choices(said))
    choices = [
        {"index": index, "text": one.text, "logprobs": None, "finish_reason": one.finish_reason}
        for index, one in enumerate(said)
    ]
    return Answer(id=str(head["id"]), pieces=(_json(head | {"choices": choices, "usage": usage}),))


def embedding(body: bytes) -> Answer:
    """Answer `POST /embeddings`: the same text has the same unit vector."""
    request = _decode(body, _EmbeddingRequest)
    model = _known(request.model, "embed")
    if request.encoding_format not in {None, "float", "base64"}:
        _refuse("'encoding_format' must be 'float' or 'base64'", "encoding_format")
    texts = _prompts(request.input, "input")
    if len(texts) * (request.dimensions or DIMENSIONS) > MAX_NUMBERS:
        _refuse("the demo provider takes fewer texts, or fewer dimensions, at once", "input")
    vectors = [_vector(text, request.dimensions or DIMENSIONS) for text in texts]
    written = [_packed(vector) for vector in vectors] if request.encoding_format == "base64" else vectors
    data = [{"object": "embedding", "index": index, "embedding": value} for index, value in enumerate(written)]
    words = sum(len(text.split()) for text in texts)
    usage = {"prompt_tokens": words, "total_tokens": words}
    answer = {"object": "list", "data": data, "model": model, "usage": usage}
    return Answer(id=_id("embd", body), pieces=(_json(answer),))


def models(_body: bytes) -> Answer:
    """Answer `GET /models`."""
    data = [{"id": name, "object": "model", "created": CREATED_AT, "owned_by": "isthmus"} for name in MODELS.values()]
    return Answer(id=_id("models", b""), pieces=(_json({"object": "list", "data": data}),))


_Request = TypeVar("_Request", bound=msgspec.Struct)


def _decode(body: bytes, kind: type[_Request]) -> _Request:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$.")
        raise Refusal(f"the request is not valid: {reason}", param=place.rstrip("`") or None) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refusal("the request's body is not valid JSON") from None


def _refuse(message: str, param: str) -> NoReturn:
    raise Refusal(message, param=param)


def _known(model: str, wanted: str) -> str:
    name = model.removeprefix("demo/")
    if name not in MODELS:
        raise Refusal(
            f"the model '{model[:100]}' does not exist; the demo provider has {' and '.join(MODELS.values())}",
            status=404,
            code="model_not_found",
            param="model",
        )
    if name != wanted:
        _refuse(f"the model {MODELS[name]} cannot answer this call; use {MODELS[wanted]}", "model")
    return MODELS[name]


def _text(message: _Message) -> str:
    if not isinstance(message.content, list):
        return message.content or ""
    return " ".join(str(part["text"]) for part in message.content if isinstance(part.get("text"), str))


def _prompts(given: object, param: str) -> list[str]:
    """Take the four forms: a text, texts, token ids, lists of token ids."""
    try:
        match msgspec.convert(given, str | list[str | int | TokenIds]):
            case str(text):
                return [text]
            case [int(), *_] as ids:
                return [" ".join(str(one) for one in ids)]
            case [_, *_] as many:
                return [one if isinstance(one, str) else " ".join(map(str, cast(TokenIds, one))) for one in many]
            case _:
                pass
    except msgspec.ValidationError:
        pass
    return _refuse(f"'{param}' must be a text, texts, or lists of token ids", param)


def _say(asked: str, max_tokens: int | None, count: int) -> _Said:
    """Cut an answer, one of `count`, into words; each is a token and keeps the space that follows it."""
    limit = min(max_tokens or MAX_WORDS, MAX_WORDS // count)
    found = re.finditer(r"\S+\s*", f"You said: {asked}\n\n{ADVICE}")
    words = tuple(word.group() for word in islice(found, limit))
    if next(found, None) is not None:
        return _Said(words=words, finish_reason="length")
    return _Said(words=words, finish_reason="stop")


def _usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _chat_choices(said: _Said, count: int) -> Iterator[dict[str, Any]]:
    opening, closing = {"role": "assistant", "content": ""}, said.finish_reason
    deltas = [opening, *({"content": word} for word in said.words)]
    for delta in deltas:
        for index in range(count):
            yield {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
    for index in range(count):
        yield {"index": index, "delta": {}, "logprobs": None, "finish_reason": closing}


def _completion_choices(said: list[_Said]) -> Iterator[dict[str, Any]]:
    for index, one in enumerate(said):
        for word in one.words:
            yield {"index": index, "text": word, "logprobs": None, "finish_reason": None}
        yield {"index": index, "text": "", "logprobs": None, "finish_reason": one.finish_reason}


def _stream(head: dict[str, Any], usage: dict[str, int] | None, choices: Iterable[dict[str, Any]]) -> Answer:
    """Write one event per choice; `usage` only if it was asked for, then null in every event but its own."""
    empty = {} if usage is None else {"usage": None}
    events = [head | {"choices": [choice]} | empty for choice in choices]
    events += [] if usage is None else [head | {"choices": [], "usage": usage}]
    pieces = (*(_json(event) for event in events), b"[DONE]")
    return Answer(id=head["id"], streams=True, pieces=tuple(b"data: " + piece + b"\n\n" for piece in pieces))


def _vector(text: str, size: int) -> list[float]:
    digest = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(4 * size)
    raw = [number / 2**31 - 1 for number in struct.unpack(f"<{size}I", digest)]
    length = math.sqrt(sum(number * number for number in raw))
    return [number / length for number in raw]


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _id(kind: str, body: bytes) -> str:
    return f"{kind}-{hashlib.sha256(body).hexdigest()[:24]}"


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value)
