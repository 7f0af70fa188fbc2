"""Embeddings: embedContent and batchEmbedContents of the Gemini API, and Vertex's predict. They do not stream.

Source: https://ai.google.dev/api/embeddings and
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api
"""

from __future__ import annotations

import msgspec

from isthmusd.core.chat import Extra, JsonText
from isthmusd.core.embedding import Embedding, EmbeddingInput, EmbeddingRequest, EmbeddingResponse, RawInput
from isthmusd.core.errors import UnsupportedFeature
from isthmusd.core.profile import Profile
from isthmusd.core.request import Loss
from isthmusd.core.usage import Usage
from isthmusd.dialects.base import Encoded
from isthmusd.dialects.gemini.errors import decode_stream_error, garbled
from isthmusd.dialects.gemini.native import UNKNOWN, Members, members_of
from isthmusd.dialects.gemini.paths import camel, method_path, resource_name
from isthmusd.dialects.gemini.usage import UsageMetadata, usage_of
from isthmusd.framing.fields import drop_none

_NATIVE = frozenset({"taskType", "title", "autoTruncate"})
_PER_INSTANCE = {"taskType": "task_type", "title": "title"}
_ABSENT = msgspec.Raw()
_TRUE = JsonText("true")


class _Text(msgspec.Struct):
    text: str


class _Statistics(msgspec.Struct):
    token_count: float | None = None
    truncated: bool | None = None


class _Vector(msgspec.Struct):
    values: tuple[float, ...] = ()
    statistics: _Statistics | None = None


class _Prediction(msgspec.Struct):
    embeddings: _Vector


class _Answer(msgspec.Struct, rename="camel"):
    embedding: _Vector | None = None
    embeddings: list[_Vector] | None = None
    predictions: list[_Prediction] | None = None
    usage_metadata: UsageMetadata | None = None
    error: msgspec.Raw = _ABSENT


_ANSWER = msgspec.json.Decoder(_Answer)


def batch_path(model: str) -> str:
    """Give the path of a request for several inputs."""
    return method_path(model, "batchEmbedContents")


def encode_embedding_request(request: EmbeddingRequest, model: str, profile: Profile) -> Encoded:
    """Write an embedding request. Raises UnsupportedFeature for inputs that are no text."""
    losses: list[Loss] = []
    if request.user is not None:
        losses.append(Loss(field="user", reason=UNKNOWN))
    native = _native(request.extra, losses)
    if profile.embeds_by_predict:
        path, body = method_path(model, "predict"), _predict(request, native)
    else:
        requests = [
            _embed_content(request, _content(item, f"input[{place}]"), model, profile, native)
            for place, item in enumerate(request.inputs)
        ]
        single = len(requests) == 1
        path = method_path(model, "embedContent") if single else batch_path(model)
        body = requests[0] if single else {"requests": requests}
    return Encoded(path=path, body=msgspec.json.encode(body), losses=tuple(losses))


def decode_embedding_response(body: bytes) -> EmbeddingResponse:
    """Read an answer of any of the methods. Raises Garbled, or the error that came in its place."""
    try:
        answer = _ANSWER.decode(body)
    except msgspec.ValidationError as error:
        raise garbled(f"{error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise garbled("it is not valid JSON.") from error
    if bytes(answer.error) not in (b"", b"null"):
        raise decode_stream_error(answer.error)
    vectors = _vectors(answer)
    if vectors is None:
        raise garbled("it holds no embeddings.")
    return EmbeddingResponse(
        model="",
        embeddings=tuple(_embedding(vector, place) for place, vector in enumerate(vectors)),
        usage=_usage(answer, vectors),
    )


def _embed_content(
    request: EmbeddingRequest, content: object, model: str, profile: Profile, native: Members
) -> dict[str, object]:
    """Vertex, which takes the model in the path only, has the options in an object of their own."""
    options = drop_none({"outputDimensionality": request.dimensions, **native})
    if profile.model_in_body:
        return {"model": resource_name(model), "content": content, **options}
    return drop_none({"content": content, "embedContentConfig": options or None})


def _native(extra: Extra, losses: list[Loss]) -> Members:
    native = {camel(name): msgspec.Raw(text) for name, text in extra if camel(name) in _NATIVE and text != "null"}
    losses += [
        Loss(field=name, reason=UNKNOWN) for name, text in extra if camel(name) not in _NATIVE and text != "null"
    ]
    return native


def _predict(request: EmbeddingRequest, native: Members) -> dict[str, object]:
    beside = {_PER_INSTANCE[name]: raw for name, raw in native.items() if name in _PER_INSTANCE}
    parameters = drop_none(
        {"outputDimensionality": request.dimensions, "autoTruncate": native.get("autoTruncate")},
    )
    texts = [_text(item, f"input[{place}]") for place, item in enumerate(request.inputs)]
    return {"instances": [{"content": text, **beside} for text in texts], "parameters": parameters}


def _content(item: EmbeddingInput, path: str) -> object:
    """Google's own content passes, for models that embed more than text."""
    match item:
        case RawInput(json=json) if "parts" in (members_of(json) or {}):
            return msgspec.Raw(json)
        case _:
            return {"parts": [{"text": _text(item, path)}]}


def _text(item: EmbeddingInput, path: str) -> str:
    match item:
        case str():
            return item
        case RawInput(json=json):
            try:
                return msgspec.json.decode(json, type=_Text).text
            except msgspec.DecodeError:
                pass
        case _:
            pass
    raise UnsupportedFeature(f"{path!r} cannot be embedded by this model's provider: send text.", param=path)


def _vectors(answer: _Answer) -> list[_Vector] | None:
    if answer.predictions is not None:
        return [prediction.embeddings for prediction in answer.predictions]
    return answer.embeddings if answer.embedding is None else [answer.embedding]


def _embedding(vector: _Vector, place: int) -> Embedding:
    truncated = vector.statistics is not None and vector.statistics.truncated
    extra: Extra = (("truncated", _TRUE),) if truncated else ()
    return Embedding(index=place, values=vector.values, extra=extra)


def _usage(answer: _Answer, vectors: list[_Vector]) -> Usage | None:
    if answer.usage_metadata is not None:
        return usage_of(answer.usage_metadata)
    counted = [vector.statistics.token_count for vector in vectors if vector.statistics is not None]
    tokens = [int(count) for count in counted if count is not None]
    return Usage(prompt_tokens=sum(tokens), total_tokens=sum(tokens)) if tokens else None
