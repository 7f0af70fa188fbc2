"""Whole calls to clouds, from the operator's words to bytes on a socket: address, path, credential, dialect."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from isthmusd.app import compose
from isthmusd.clock import SystemClock
from isthmusd.core.errors import GatewayError, Misconfigured, UnsupportedFeature
from isthmusd.core.reply import Whole
from isthmusd.pipeline.forward import forward
from isthmusd.pipeline.run import Gateway, run
from isthmusd.settings import load
from isthmusd.upstream.registry import Upstreams

from tests.fakes.answers import whole
from tests.fakes.aws import signed_by
from tests.fakes.callers import KnownCallers, identification
from tests.fakes.environment import environment
from tests.fakes.provider import FakeProvider
from tests.unit.pipeline.world import KeptJournal, ShownCalls, arrival_of

BODY = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 10}
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "hello"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
}
CLAUDE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": "hello"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
GEMINI = {"candidates": [{"content": {"role": "model", "parts": [{"text": "hello"}]}, "finishReason": "STOP"}]}
OPENAI = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
}


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[MutableMapping[str, str]]:
    names = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": str(tmp_path / "config")}
    with environment(names, without="AWS_") as changed:
        yield changed


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as fake:
        yield fake


@pytest.fixture
async def upstream() -> AsyncIterator[Upstreams]:
    async with Upstreams() as made:
        yield made


def gateway_of(upstream: Upstreams, environ: dict[str, str], config: Path | None = None) -> Gateway:
    settings = load(config, environ, {})
    return compose(
        settings,
        caching=None,
        clock=SystemClock(),
        upstream=upstream,
        media=None,
        journal=KeptJournal(),
        active_calls=ShownCalls(),
        identification=identification(),
        credentials=KnownCallers(),
    )


async def text_of(gateway: Gateway, model: str) -> str:
    body = msgspec.json.encode({"model": model} | BODY)
    async with run(gateway, arrival_of({"content-type": ["application/json"]}, body=body)) as reply:
        assert isinstance(reply, Whole)
        answer: Any = msgspec.json.decode(reply.body)
        return answer["choices"][0]["message"]["content"]


def bedrock(provider: FakeProvider) -> dict[str, str]:
    return {
        "BEDROCK_BASE_URL": f"http://127.0.0.1:{provider.port}",
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "AKID",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("anthropic.claude-v2:1", "/model/anthropic.claude-v2%3A1/converse"),
        (
            "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.x-v1:0",
            "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Feu.x-v1%3A0/converse",
        ),
    ],
)
async def test_bedrock_is_signed(
    provider: FakeProvider, upstream: Upstreams, environ: MutableMapping[str, str], model: str, path: str
) -> None:
    environ.update(bedrock(provider))
    provider.reply_always(whole(CONVERSE))

    assert await text_of(gateway_of(upstream, bedrock(provider)), f"bedrock/{model}") == "hello"

    assert provider.last.path == path
    assert signed_by(provider.last, {"AKID": "secret"}) == "AKID"


async def test_bedrock_takes_a_key_instead(provider: FakeProvider, upstream: Upstreams) -> None:
    provider.reply_always(whole(CONVERSE))
    gateway = gateway_of(upstream, bedrock(provider) | {"AWS_BEARER_TOKEN_BEDROCK": "ABSKx"})

    assert await text_of(gateway, "bedrock/m") == "hello"

    assert provider.last.header("authorization") == "Bearer ABSKx"
    assert provider.last.header("x-amz-date") is None


async def test_large_uploads_to_bedrock_are_refused(
    provider: FakeProvider, upstream: Upstreams, environ: MutableMapping[str, str]
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * 65536

    environ.update(bedrock(provider))
    gateway = gateway_of(upstream, bedrock(provider) | {"ISTHMUS_DEFAULT_PROVIDER": "bedrock"})
    arrival = arrival_of({"content-type": ["application/octet-stream"]}, path="/v1/files")

    with pytest.raises(UnsupportedFeature, match="signs whole bodies"):
        async with forward(gateway, arrival, pieces()):
            pass
    assert provider.requests == []


@pytest.mark.parametrize(
    ("model", "answer", "path"),
    [
        ("gemini-2.5-flash", GEMINI, "/publishers/google/models/gemini-2.5-flash:generateContent"),
        ("claude-opus-4-5@20251101", CLAUDE, "/publishers/anthropic/models/claude-opus-4-5@20251101:rawPredict"),
        ("meta/llama-4", OPENAI, "/endpoints/openapi/chat/completions"),
    ],
)
async def test_vertex_gets_a_token_and_each_family_its_own_form(
    provider: FakeProvider, upstream: Upstreams, model: str, answer: dict[str, Any], path: str
) -> None:
    provider.reply_always(whole(answer))
    environ = {"VERTEX_BASE_URL": f"{provider.url}/projects/p/locations/l", "VERTEX_API_KEY": "ya29.x"}

    assert await text_of(gateway_of(upstream, environ), f"vertex/{model}") == "hello"

    sent = provider.last.json()
    assert provider.last.path == "/v1/projects/p/locations/l" + path
    assert provider.last.header("authorization") == "Bearer ya29.x"
    assert sent.get("anthropic_version") == ("vertex-2023-10-16" if model.startswith("claude") else None)
    assert sent.get("model") == ("meta/llama-4" if model.startswith("meta") else None)


async def test_azure_gets_a_token_of_entra(provider: FakeProvider, upstream: Upstreams, tmp_path: Path) -> None:
    provider.reply_with(whole({"access_token": "t", "expires_in": 3600}), whole(OPENAI))
    config = tmp_path / "isthmus.yaml"
    config.write_text(f"""
        providers:
          azure:
            base_url: {provider.url}
            entra: {{tenant_id: x, client_id: c, client_secret: s, scope: y, authority: "{provider.url}/"}}
    """)

    assert await text_of(gateway_of(upstream, {}, config), "azure/gpt") == "hello"

    asked, sent = provider.requests
    assert (asked.path, b"scope=y" in asked.body) == ("/v1/x/oauth2/v2.0/token", True)
    assert (sent.path, sent.header("authorization")) == ("/v1/chat/completions", "Bearer t")
    assert sent.header("api-key") is None


async def test_azure_has_the_older_paths_too(provider: FakeProvider, upstream: Upstreams) -> None:
    provider.reply_always(whole(OPENAI))
    environ = {"AZURE_BASE_URL": provider.url, "AZURE_API_KEY": "k", "AZURE_API_VERSION": "2024-10-21"}

    assert await text_of(gateway_of(upstream, environ), "azure/my gpt") == "hello"

    assert provider.last.path == "/v1/deployments/my%20gpt/chat/completions?api-version=2024-10-21"
    assert provider.last.header("api-key") == "k"


@pytest.mark.parametrize(
    ("environ", "model", "said"),
    [
        ({"AWS_PROFILE": "p"}, "bedrock/m", "providers.bedrock.params.region (or AWS_REGION, AWS_DEFAULT_REGION)"),
        ({"AZURE_API_KEY": "k"}, "azure/m", "providers.azure.params.resource"),
        ({}, "vertex/m", "VERTEX_PROJECT"),
        ({}, "google/m", "GEMINI_API_KEY"),
        ({"AWS_REGION": "r"}, "bedrock/m", "BEDROCK_API_KEY"),
    ],
)
async def test_call_to_what_is_incomplete_says_what_to_set(
    upstream: Upstreams, environ: dict[str, str], model: str, said: str
) -> None:
    with pytest.raises(GatewayError) as caught:
        await text_of(gateway_of(upstream, environ), model)

    assert said in caught.value.message


async def test_missing_credentials_do_not_crash_a_call(
    provider: FakeProvider, upstream: Upstreams, environ: MutableMapping[str, str], tmp_path: Path
) -> None:
    environ["AWS_SHARED_CREDENTIALS_FILE"] = str(tmp_path / "none")
    named = {"AWS_PROFILE": "nobody", "AWS_REGION": "r", "BEDROCK_BASE_URL": provider.url}

    with pytest.raises(Misconfigured, match="operator must"):
        await text_of(gateway_of(upstream, named), "bedrock/m")
