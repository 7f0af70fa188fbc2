"""Embeddings by the Gemini API's methods and by Vertex's."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from isthmusd.core.chat import JsonText
from isthmusd.core.embedding import Embedding, EmbeddingRequest, RawInput
from isthmusd.core.errors import Garbled, Throttled, UnsupportedFeature
from isthmusd.core.profile import Profile

from tests.unit.dialects_gemini.asking import EMBEDDING, STAMP, Sent

VERTEX = Profile(embeds_by_predict=True)


def ask(*inputs: Any, profile: Profile | None = None, **members: Any) -> Sent:
    request = EmbeddingRequest(model="m", inputs=inputs, **members)
    encoded = EMBEDDING.encode_request(request, "embed-1", profile or Profile())
    losses = tuple(loss.field for loss in encoded.losses)
    return Sent(path=encoded.path, body=msgspec.json.decode(encoded.body), losses=losses)


def extra(**members: Any) -> tuple[tuple[str, JsonText], ...]:
    return tuple((name, JsonText(msgspec.json.encode(value).decode())) for name, value in members.items())


def read(body: Any) -> Any:
    return EMBEDDING.decode_response(msgspec.json.encode(body), STAMP)


def test_one_input_is_one_content() -> None:
    sent = ask("a", dimensions=8, extra=extra(task_type="RETRIEVAL_QUERY", title=None))

    assert sent.path == "/models/embed-1:embedContent"
    assert sent.body == {
        "model": "models/embed-1",
        "content": {"parts": [{"text": "a"}]},
        "outputDimensionality": 8,
        "taskType": "RETRIEVAL_QUERY",
    }
    assert sent.losses == ()


def test_several_inputs_are_a_batch() -> None:
    native = RawInput(json=JsonText('{"parts":[{"inline_data":{}}]}'))
    named = RawInput(json=JsonText('{"type":"text","text":"b"}'))

    sent = ask("a", named, native, user="u", encoding_format="base64", extra=extra(novel=1))

    assert sent.path == EMBEDDING.path("embed-1", False) == "/models/embed-1:batchEmbedContents"
    assert [request["content"] for request in sent.body["requests"]] == [
        {"parts": [{"text": "a"}]},
        {"parts": [{"text": "b"}]},
        {"parts": [{"inline_data": {}}]},
    ]
    assert sent.losses == ("user", "novel")


def test_vertex_embeds_contents_with_its_options_apart() -> None:
    plain = ask("a", profile=Profile(model_in_body=False))
    sized = ask("a", profile=Profile(model_in_body=False), dimensions=8, extra=extra(taskType="CLUSTERING"))

    assert plain.body == {"content": {"parts": [{"text": "a"}]}}
    assert sized.body["embedContentConfig"] == {"outputDimensionality": 8, "taskType": "CLUSTERING"}


def test_vertex_predicts() -> None:
    sent = ask("a", "b", profile=VERTEX, dimensions=8, extra=extra(taskType="CLUSTERING", auto_truncate=False))

    assert sent.path == "/models/embed-1:predict"
    assert sent.body == {
        "instances": [{"content": "a", "task_type": "CLUSTERING"}, {"content": "b", "task_type": "CLUSTERING"}],
        "parameters": {"outputDimensionality": 8, "autoTruncate": False},
    }


@pytest.mark.parametrize("profile", [Profile(), VERTEX])
@pytest.mark.parametrize("item", [(1, 2), RawInput(json=JsonText('{"image":"x"}'))])
def test_inputs_that_are_no_text_are_refused(item: Any, profile: Profile) -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        ask("a", item, profile=profile)

    assert caught.value.param == "input[1]"


def test_answers_of_every_method() -> None:
    one = read({"embedding": {"values": [1, 0.5]}})
    several = read({"embeddings": [{"values": [1]}, {"values": [2]}], "usageMetadata": {"promptTokenCount": 4}})
    statistics = {"token_count": 3, "truncated": True}
    predicted = read(
        {"predictions": [{"embeddings": {"values": [1], "statistics": statistics}}, {"embeddings": {"values": [2]}}]}
    )

    assert one.embeddings == (Embedding(index=0, values=(1, 0.5)),)
    assert one.usage is None
    assert several.embeddings == (Embedding(index=0, values=(1,)), Embedding(index=1, values=(2,)))
    assert several.usage.prompt_tokens == 4
    assert predicted.embeddings[0] == Embedding(index=0, values=(1,), extra=extra(truncated=True))
    assert predicted.embeddings[1] == Embedding(index=1, values=(2,))
    assert (predicted.usage.prompt_tokens, predicted.usage.total_tokens) == (3, 3)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"embeddings": 3}', b'{"embedding": {"values": ["a"]}}'])
def test_answers_that_break_the_format_are_garbled(body: bytes) -> None:
    with pytest.raises(Garbled, match="broke its format"):
        EMBEDDING.decode_response(body, STAMP)


def test_an_error_in_place_of_an_answer_is_that_error() -> None:
    with pytest.raises(Throttled):
        read({"error": {"code": 429, "message": "Slow down."}})


def test_embeddings_do_not_stream() -> None:
    with pytest.raises(UnsupportedFeature):
        EMBEDDING.stream_decoder(STAMP, Profile())
