"""The table of what each provider can do says what a call does: each cell is held against what would be sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from isthmusd.core.call import Stamp
from isthmusd.core.errors import UnsupportedFeature
from isthmusd.core.profile import Flavour, Provider
from isthmusd.core.request import Inbound, Operation
from isthmusd.core.routing import Target
from isthmusd.dialects import registry
from isthmusd.pipeline.exchange import Exchange, MediaNeeded, exchange_for
from isthmusd.providers.capabilities import APART, AS_DATA, BY_CHAT, BY_TOOL, EITHER, NATIVE, NO, Capability, cells
from isthmusd.providers.catalog import CATALOG
from isthmusd.providers.page import differing

Json = dict[str, Any]

STAMP = Stamp(id="s", created_at=1)
MODELS = {
    "bedrock": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "google": "gemini-3-flash-preview",
    "vertex": "gemini-3-flash-preview",
    "openai": "gpt-4o",
    "azure": "gpt-4o",
}
"""A model of the host's first row; others have no models that the row does not speak of."""
EMBEDDERS = {"bedrock": "amazon.titan-embed-text-v2:0"}
PNG, PDF = "data:image/png;base64,iVBORw0KGgo=", "data:application/pdf;base64,JVBERi0="
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
TOOL = {"type": "function", "function": {"name": "look", "parameters": SCHEMA}}
FORM: Json = {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}}


def said(*parts: Json) -> Json:
    return {"messages": [{"role": "user", "content": list(parts)}]}


TEXT: Json = {"type": "text", "text": "Hello"}
ASKED: dict[Capability, Json] = {
    Capability.CHAT: {},
    Capability.STREAM: {"stream": True},
    Capability.TOOLS: {"tools": [TOOL], "tool_choice": "auto"},
    Capability.IMAGES_BY_URL: said({"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}, TEXT),
    Capability.IMAGES: said({"type": "image_url", "image_url": {"url": PNG}}, TEXT),
    Capability.FILES: said({"type": "file", "file": {"file_data": PDF}}, TEXT),
    Capability.AUDIO: said({"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}, TEXT),
    Capability.SCHEMA: FORM,
    Capability.THINKING: {"reasoning_effort": "high", "max_tokens": 20000},
    Capability.CACHE_MARKS: said({**TEXT, "cache_control": {"type": "ephemeral"}}),
    Capability.LOGPROBS: {"logprobs": True},
    Capability.N: {"n": 2},
}
"""What a chat asks for, beside saying hello."""


def rows() -> Iterator[tuple[str, Provider, str]]:
    """Give each row of the table: its name, the host, and a model of it."""
    for name, host in CATALOG.items():
        model = MODELS.get(name, "some-model")
        assert cells(host.serving(model)) == cells(host), name
        yield name, host.serving(model), model
        for patterns, variant in differing(host).items():
            for pattern in patterns:
                yield (
                    f"{name} {pattern}",
                    variant,
                    pattern.replace("*", "us.anthropic.", pattern[:1] == "*").replace("*", "-x"),
                )


ROWS = [pytest.param(host, model, id=name) for name, host, model in rows()]


def ask(host: Provider, model: str, operation: Operation, members: Json) -> Exchange | MediaNeeded:
    body = msgspec.json.encode({"model": model, **members})
    peeked = registry.served("openai", operation).peek(body)
    inbound = Inbound(operation=operation, dialect="openai", body=body, peeked=peeked)
    return exchange_for(inbound, Target(provider=host, model=model), STAMP)


def chat(host: Provider, model: str, members: Json) -> Exchange | MediaNeeded:
    return ask(host, model, Operation.CHAT, {**said(TEXT), **members})


def is_refused_or_lost(host: Provider, model: str, operation: Operation, members: Json) -> bool:
    try:
        asked = ask(host, model, operation, members)
    except UnsupportedFeature:
        return True
    return isinstance(asked, Exchange) and asked.losses != ()


@pytest.mark.parametrize(("host", "model"), ROWS)
def test_a_row_says_what_calls_do(host: Provider, model: str) -> None:
    for capability, cell in cells(host).items():
        match capability:
            case Capability.COMPLETIONS:
                check_completions(host, cell)
            case Capability.EMBEDDINGS:
                lost = is_refused_or_lost(
                    host, EMBEDDERS.get(host.name, model), Operation.EMBEDDING, {"input": "Hello"}
                )
                assert lost == (cell == NO)
            case Capability.SCHEMA:
                check_schema(host, model, cell)
            case _:
                asked = chat(host, model, ASKED[capability])
                assert isinstance(asked, MediaNeeded) == (cell == AS_DATA), capability
                if isinstance(asked, Exchange):
                    assert (asked.losses != ()) == (cell == NO), (capability, asked.losses)
                    assert asked.streams == (capability is Capability.STREAM)


def check_completions(host: Provider, cell: str) -> None:
    chatting = next((model for model, flavour in host.flavours.items() if flavour is Flavour.CHAT), None)
    for model in {"unknown-model", chatting or "unknown-model"}:
        asked = ask(host, model, Operation.COMPLETION, {"prompt": "Once"})
        assert isinstance(asked, Exchange)
        assert asked.losses == ()
        by_chat = b"prompt" not in asked.encoded[0].body
        assert by_chat == (cell == BY_CHAT or (cell == EITHER and model == chatting)), (cell, model)


def check_schema(host: Provider, model: str, cell: str) -> None:
    alone, beside = chat(host, model, FORM), chat(host, model, {**FORM, "tools": [TOOL]})
    assert isinstance(alone, Exchange)
    assert isinstance(beside, Exchange)

    assert (alone.losses, beside.losses) == ((), ())
    assert tools_sent(alone) == (cell == BY_TOOL)
    assert tools_sent(beside) == 1 + (cell in (BY_TOOL, APART))
    assert cell in (NATIVE, BY_TOOL, APART)


def tools_sent(exchange: Exchange) -> int:
    """Count the tools by their names, which are written alike everywhere."""
    body = exchange.encoded[0].body
    return body.count(b'"name":"look"') + (b'"name":"answer"' in body and b"Call this function" in body)
