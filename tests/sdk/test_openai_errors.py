"""What users of the OpenAI SDK catch: the right class, with the fields that they read. One class per test."""

from __future__ import annotations

import time

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.fakes.answers import STALL, Answer
from tests.system.pair import Pair, eventually

pytestmark = pytest.mark.edge
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello."}]


def test_no_credential_for_the_provider(client: openai.OpenAI) -> None:
    anonymous = {"authorization": openai.Omit()}
    with pytest.raises(openai.AuthenticationError) as caught:
        client.chat.completions.create(model="mistral/ok", messages=HELLO, extra_headers=anonymous)

    assert caught.value.status_code == 401
    assert caught.value.code == "no_provider_credential"
    assert caught.value.type == "authentication_error"


def test_callers_own_key_is_rejected(client: openai.OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        client.with_options(api_key="callers-own").chat.completions.create(model="mistral/e401", messages=HELLO)

    assert caught.value.code == "provider_key_rejected"
    assert "callers-own" not in str(caught.value)


def test_unknown_model(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="nosuch/model", messages=HELLO)

    assert caught.value.code == "model_not_found"
    assert caught.value.request_id


def test_unknown_model_in_the_list(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nosuch/model")


def test_throttled(client: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="r429", messages=HELLO)

    assert caught.value.response.headers["retry-after"] == "7"
    assert caught.value.response.headers["x-should-retry"] == "true"
    assert caught.value.code == "rate_limit_exceeded"


def test_bad_request(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="", messages=HELLO)

    assert caught.value.param == "model"


def test_body_too_large(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="ok", messages=[{"role": "user", "content": "x" * 51 * 1024 * 1024}])

    assert caught.value.status_code == 413
    assert caught.value.code == "request_too_large"


def test_provider_fails(client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="e500", messages=HELLO)

    assert caught.value.status_code == 502


def test_retries_follow_the_gateways_advice(client: openai.OpenAI, pair: Pair) -> None:
    start = len(pair.provider.requests)
    with pytest.raises(openai.InternalServerError):
        client.with_options(max_retries=1).chat.completions.create(model="e500", messages=HELLO)
    with pytest.raises(openai.NotFoundError):
        client.with_options(max_retries=1).chat.completions.create(model="n404", messages=HELLO)

    assert [received.json()["model"] for received in pair.provider.requests[start:]] == ["e500", "e500", "n404"]


def test_error_in_a_stream(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="inband", messages=HELLO, stream=True)

    with pytest.raises(openai.APIError) as caught:
        list(stream)

    assert caught.value.message
    assert not isinstance(caught.value, openai.APIConnectionError)


def test_cut_stream(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="cut", messages=HELLO, stream=True)

    with pytest.raises(openai.APIError) as caught:
        list(stream)

    assert caught.value.code == "upstream_interrupted"


def test_clients_timeout_frees_the_provider(client: openai.OpenAI, pair: Pair) -> None:
    start = len(pair.provider.requests)
    pair.provider.reply_with(Answer(pieces=(b"{", STALL), framing="chunked"))
    begun = time.monotonic()

    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.5).chat.completions.create(model="ok", messages=HELLO)

    assert time.monotonic() - begun < 5
    assert eventually(pair.provider.requests[start].aborted.is_set)
