"""What programs with a key of this gateway, or a temporary credential, see through the SDKs: OpenAI's and our own."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import isthmus
import openai
import pytest
from isthmus.v1 import chat_pb2
from openai.types.chat import ChatCompletionMessageParam

from tests.fakes.answers import STALL, chat_events, stream
from tests.system.callers import Office
from tests.system.pair import Pair, eventually, running_pair

pytestmark = pytest.mark.edge
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello."}]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A gateway that serves keys only, and what its callers hold."""

    pair: Pair
    key: str
    temporary: str
    """For one model."""
    other: str
    """Of a tenant that may make one call at a time."""
    office: Office


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    data = tmp_path_factory.mktemp("data")
    auth = {"anonymous": False, "provider_keys": False}
    with Office(data) as office, running_pair(auth=auth, data=str(data)) as pair:
        office.tenant("acme", models={"ok", "fast"})
        office.tenant("one", calls=1)
        issued = office.key("acme")
        assert eventually(lambda: _lists(pair, issued.token))
        yield Held(
            pair=pair,
            key=issued.token,
            temporary=_credential(pair, issued.token, {"model": "ok"}),
            other=office.key("one").token,
            office=office,
        )


def sdk(held: Held, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{held.pair.url}/v1", api_key=key, max_retries=0, timeout=30.0)


def _lists(pair: Pair, key: str) -> bool:
    with openai.OpenAI(base_url=f"{pair.url}/v1", api_key=key, max_retries=0) as client:
        try:
            client.models.list()
        except openai.AuthenticationError:
            return False
    return True


def _credential(pair: Pair, key: str, wish: dict[str, Any]) -> str:
    connection = http.client.HTTPConnection(pair.url.removeprefix("http://"), timeout=10)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    connection.request("POST", "/v1/credentials", json.dumps(wish), headers)
    answer: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return answer["key"]


def typed(held: Held, key: str, model: str) -> str:
    with isthmus.Client(held.pair.gateway.grpc_target, api_key=key) as client:
        request = chat_pb2.ChatRequest(model=model, messages=[isthmus.user("Say hello.")])
        return isthmus.text_of(client.chat.CreateChatCompletion(request, timeout=30))


@pytest.mark.parametrize("kind", ["key", "temporary"])
def test_a_key_and_a_temporary_credential_are_api_keys(held: Held, kind: str) -> None:
    key = getattr(held, kind)
    with sdk(held, key) as client:
        whole = client.chat.completions.create(model="ok", messages=HELLO)
        pieces = list(client.chat.completions.create(model="ok", messages=HELLO, stream=True))

    text = whole.choices[0].message.content
    assert text
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices) == text
    assert typed(held, key, "ok") == text


@pytest.mark.parametrize("spoilt", ["none", "isk_damaged", "{}x", '"{}"', "{} {}"])
def test_a_key_that_is_not_good_is_an_authentication_error(held: Held, spoilt: str) -> None:
    key = spoilt.format(held.key, held.key)
    with sdk(held, key) as client, pytest.raises(openai.AuthenticationError) as caught:
        client.chat.completions.create(model="ok", messages=HELLO)

    assert caught.value.status_code == 401
    assert caught.value.code == "invalid_api_key"
    assert held.key[20:60] not in str(caught.value)


def test_a_model_that_is_not_granted_is_a_permission_error(held: Held) -> None:
    for key, model in ((held.key, "gpt-4o"), (held.temporary, "fast")):
        with sdk(held, key) as client, pytest.raises(openai.PermissionDeniedError) as caught:
            client.chat.completions.create(model=model, messages=HELLO)

        assert caught.value.code == "model_not_allowed"
        with pytest.raises(grpc.RpcError) as refused:
            typed(held, key, model)
        assert isthmus.error_of(refused.value).reason == "MODEL_NOT_ALLOWED"


def test_a_tenants_limit_of_calls_is_a_rate_limit_error(held: Held) -> None:
    held.pair.provider.reply_with(stream(*chat_events("ok")[:2], STALL))
    with (
        sdk(held, held.other) as client,
        client.chat.completions.create(model="ok", messages=HELLO, stream=True),
        pytest.raises(openai.RateLimitError) as caught,
    ):
        client.chat.completions.create(model="ok", messages=HELLO)

    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.response.headers["x-should-retry"] == "true"


def test_a_key_that_is_taken_back_is_an_authentication_error_of_the_credential_too(held: Held) -> None:
    issued = held.office.key("acme")
    assert eventually(lambda: _lists(held.pair, issued.token))
    temporary = _credential(held.pair, issued.token, {"ttl_seconds": 60})

    held.office.desk.revoke_key(issued.key.id)

    for key in (issued.token, temporary):
        assert eventually(lambda key=key: not _lists(held.pair, key))
        with pytest.raises(grpc.RpcError) as refused:
            typed(held, key, "ok")
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
