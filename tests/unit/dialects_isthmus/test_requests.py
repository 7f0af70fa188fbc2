"""Every field of a request reaches the hub, and what it becomes there."""

from __future__ import annotations

from typing import Any

import pytest
from isthmus.v1 import chat_pb2, completion_pb2, embedding_pb2
from isthmusd.core.chat import (
    AudioPart,
    ChatRequest,
    FilePart,
    FunctionTool,
    ImagePart,
    JsonObjectFormat,
    JsonSchemaFormat,
    JsonText,
    Message,
    RawFormat,
    RawPart,
    RawTool,
    RawToolCall,
    RawToolChoice,
    Reasoning,
    RefusalPart,
    Sampling,
    TextFormat,
    TextPart,
    ThinkingPart,
    ToolCall,
    ToolChoiceFunction,
    ToolChoiceMode,
    plain_text,
)
from isthmusd.core.completion import CompletionRequest
from isthmusd.core.embedding import EmbeddingRequest, RawInput
from isthmusd.core.errors import InvalidRequest
from isthmusd.core.request import Operation, Peeked
from isthmusd.dialects.isthmus import SERVED

from tests.unit.dialects_isthmus.requests import CHAT, COMPLETION, EMBEDDING, FULL_CHAT, chat
from tests.unit.dialects_isthmus.wire import fields_of, paths, set_fields, without

CASES = [
    *((Operation.CHAT, case) for case in CHAT),
    *((Operation.COMPLETION, case) for case in COMPLETION),
    *((Operation.EMBEDDING, case) for case in EMBEDDING),
]
EXTRA = (("x", JsonText('{"b":1,"a":2.50}')),)


def decode(operation: Operation, message: Any) -> Any:
    return SERVED[operation].decode_request(message)


@pytest.mark.parametrize(
    ("kind", "cases"),
    [
        (chat_pb2.ChatRequest, CHAT),
        (completion_pb2.CompletionRequest, COMPLETION),
        (embedding_pb2.EmbeddingRequest, EMBEDDING),
    ],
)
def test_cases_set_every_field(kind: Any, cases: tuple[Any, ...]) -> None:
    assert set().union(*map(set_fields, cases)) == fields_of(kind.DESCRIPTOR)


@pytest.mark.parametrize(("operation", "case"), CASES)
def test_every_value_matters(operation: Operation, case: Any) -> None:
    whole = decode(operation, case)

    ignored: list[Any] = []
    for path in paths(case):
        try:
            rest = decode(operation, without(case, path))
        except InvalidRequest:
            continue
        if rest == whole:
            ignored.append(path)

    assert ignored == []


def test_content_becomes_parts() -> None:
    content = decode(Operation.CHAT, FULL_CHAT).messages[0].content

    assert content == (
        TextPart(text="Look:", extra=EXTRA),
        ImagePart(url="https://example.org/a.png", detail="high"),
        ImagePart(data_base64="iVBORw==", mime_type="image/png", detail="low"),
        ImagePart(file_id="file-1"),
        RawPart(json=JsonText('{"type":"image_url","image_url":{"scale":2,"detail":"auto"}}')),
        AudioPart(
            data_base64="UklGRg==",
            format="wav",
            extra=(("transcript", JsonText('"hi"')), ("expires_at", JsonText("9"))),
        ),
        FilePart(url="https://example.org/a.pdf", filename="a.pdf"),
        FilePart(data_base64="JVBERg==", mime_type="application/pdf"),
        FilePart(file_id="file-2"),
        RawPart(json=JsonText('{"type":"file","file":{"bucket":"b","filename":"b.pdf"}}')),
        RefusalPart(text="No."),
        ThinkingPart(text="Hm.", signature="c2ln"),
        ThinkingPart(redacted_data="aGlkZGVu"),
        RawPart(json=JsonText('{"type":"video","n":1,"x":{"b":1,"a":2.50}}')),
    )


def test_turns_keep_their_members() -> None:
    user, assistant, tool = decode(Operation.CHAT, FULL_CHAT).messages

    assert (user.role, user.name, user.extra) == ("user", "ann", EXTRA)
    assert assistant == Message(
        role="assistant",
        content=None,
        tool_calls=(
            ToolCall(id="c1", name="f", arguments='{"a": 1}', extra=EXTRA),
            RawToolCall(json=JsonText('{"id":"c2","type":"custom","custom":{"name":"g","input":"free text"}}')),
            RawToolCall(json=JsonText('{"id":"c3","type":"server","name":"h","arguments":"x","x":{"b":1,"a":2.50}}')),
        ),
        audio=JsonText(
            '{"id":"audio-1","data":"cGNt","format":"pcm16","transcript":"hello","expires_at":7,"x":{"b":1,"a":2.50}}'
        ),
    )
    assert tool == Message(role="tool", content=plain_text("42"), tool_call_id="c1")


def test_settings_of_a_full_chat() -> None:
    request = decode(Operation.CHAT, FULL_CHAT)

    assert request == ChatRequest(
        model="fast",
        messages=request.messages,
        sampling=Sampling(
            temperature=0.0,
            top_p=0.5,
            top_k=3,
            min_p=0.25,
            repetition_penalty=1.5,
            frequency_penalty=0.5,
            presence_penalty=-0.5,
            n=2,
            stop=("a", "b"),
            max_tokens=10,
            max_completion_tokens=11,
            logit_bias=(("100", -2.5), ("20", 1.0)),
            logprobs=True,
            top_logprobs=4,
            seed=12,
        ),
        tools=(
            FunctionTool(
                name="f", description="Finds.", parameters=JsonText('{"z":1, "a":{}}'), strict=True, extra=EXTRA
            ),
            RawTool(
                json=JsonText(
                    '{"type":"function","function":{"name":"g","description":"d","parameters":{},"strict":false,'
                    '"x":{"b":1,"a":2.50}}}'
                )
            ),
            RawTool(json=JsonText('{"type":"web_search","x":{"b":1,"a":2.50}}')),
        ),
        tool_choice=ToolChoiceMode(mode="required"),
        parallel_tool_calls=False,
        response_format=JsonSchemaFormat(name="s", description="d", schema=JsonText('{"type":"object"}'), strict=True),
        reasoning=Reasoning(effort="low", max_tokens=100, include=True),
        verbosity="low",
        user="u",
        metadata=(("a", "b"), ("k", "v")),
        store=False,
        service_tier="flex",
        modalities=("text", "audio"),
        audio=JsonText('{"voice":"alloy","format":"wav"}'),
        prediction=JsonText('{"type":"content","content":"x"}'),
        include_usage=True,
        extra=(
            ("safety_identifier", JsonText('"s"')),
            ("prompt_cache_key", JsonText('"p"')),
            ("prompt_cache_retention", JsonText('"24h"')),
            *EXTRA,
        ),
    )


def test_unset_fields_stay_unset() -> None:
    request = decode(Operation.CHAT, chat())

    assert request == ChatRequest(
        model="m", messages=(Message(role="user", content=plain_text("Hello")),), include_usage=True
    )


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"mode": chat_pb2.TOOL_CHOICE_MODE_UNSPECIFIED}, None),
        ({"mode": chat_pb2.TOOL_CHOICE_MODE_AUTO}, ToolChoiceMode(mode="auto")),
        ({"mode": chat_pb2.TOOL_CHOICE_MODE_NONE}, ToolChoiceMode(mode="none")),
        ({"function_name": "f"}, ToolChoiceFunction(name="f")),
        ({"raw_json": '"any"'}, RawToolChoice(json=JsonText('"any"'))),
        (
            {"allowed_tools": {"mode": chat_pb2.TOOL_CHOICE_MODE_REQUIRED, "function_names": ["f"]}},
            RawToolChoice(
                json=JsonText(
                    '{"type":"allowed_tools","allowed_tools":{"mode":"required",'
                    '"tools":[{"type":"function","function":{"name":"f"}}]}}'
                )
            ),
        ),
    ],
)
def test_tool_choices(choice: dict[str, Any], expected: object) -> None:
    assert decode(Operation.CHAT, chat(tool_choice=choice)).tool_choice == expected


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"text": {}}, TextFormat()),
        ({"json_object": {}}, JsonObjectFormat()),
        ({"json_schema": {"name": "s"}}, JsonSchemaFormat(name="s")),
        ({"raw_json": '{"type":"grammar"}'}, RawFormat(json=JsonText('{"type":"grammar"}'))),
    ],
)
def test_response_formats(form: dict[str, Any], expected: object) -> None:
    assert decode(Operation.CHAT, chat(response_format=form)).response_format == expected


@pytest.mark.parametrize("kind", ["image", "file"])
def test_data_url_is_inline_media(kind: str) -> None:
    parts = [
        {kind: {"url": "data:image/png;base64,iVBORw=="}},
        {kind: {"url": "data:;base64,iVBORw=="}},
        {kind: {"url": "data:,plain"}},
    ]

    content = decode(Operation.CHAT, chat(messages=[{"role": "user", "parts": parts}])).messages[0].content

    assert [(part.url, part.mime_type, part.data_base64) for part in content] == [
        (None, "image/png", "iVBORw=="),
        (None, None, "iVBORw=="),
        ("data:,plain", None, None),
    ]


def test_extra_members_replace_fields() -> None:
    extra = '{"temperature":0.70,"top_p":"x","user":null,"prompt_cache_key":"b","seed":12345678901234567890123}'
    message = chat(temperature=0.1, top_p=0.5, user="u", prompt_cache_key="a", extra_json=extra)

    request = decode(Operation.CHAT, message)

    assert request.sampling == Sampling(temperature=0.7, seed=12345678901234567890123)
    assert request.user is None
    assert dict(request.extra) == {"top_p": '"x"', "user": "null", "prompt_cache_key": '"b"'}


@pytest.mark.parametrize(
    ("effort", "expected", "kept"),
    [
        ('"x"', Reasoning(effort="x", max_tokens=9), {}),
        ("null", None, {"reasoning_effort": "null"}),
    ],
)
def test_extra_effort_replaces_ours(effort: str, expected: Reasoning | None, kept: dict[str, str]) -> None:
    message = chat(reasoning={"effort": "low", "max_tokens": 9}, extra_json=f'{{"reasoning_effort":{effort}}}')

    request = decode(Operation.CHAT, message)

    assert (request.reasoning, dict(request.extra)) == (expected, kept)


def test_extra_members_reach_the_fields_of_other_operations() -> None:
    completion = completion_pb2.CompletionRequest(model="m", suffix="a", extra_json='{"suffix":"b","stop":["c"]}')
    embedding = embedding_pb2.EmbeddingRequest(
        model="m", input=[{"text": "a"}], extra_json='{"encoding_format":"int8"}'
    )

    assert decode(Operation.COMPLETION, completion) == CompletionRequest(
        model="m", prompts=("",), sampling=Sampling(stop=("c",)), suffix="b", include_usage=True
    )
    assert decode(Operation.EMBEDDING, embedding).encoding_format == "int8"


@pytest.mark.parametrize("place", ["tool", "function"])
def test_prompt_cache_marker_of_a_tool(place: str) -> None:
    mark = {"extra_json": '{"cache_control":{"type":"ephemeral"}}'}
    tool = {"function": {"name": "f", **(mark if place == "function" else {})}, **(mark if place == "tool" else {})}

    assert decode(Operation.CHAT, chat(tools=[tool])).tools == (
        FunctionTool(name="f", extra=(("cache_control", JsonText('{"type":"ephemeral"}')),)),
    )


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ('{"include_usage":false,"include_obfuscation":false}', {"stream_options": '{"include_obfuscation":false}'}),
        ('{"include_usage":false}', {}),
    ],
)
def test_usage_of_streams_is_the_gateways_to_ask_for(options: str, kept: dict[str, str]) -> None:
    request = decode(Operation.CHAT, chat(extra_json=f'{{"stream_options":{options}}}'))

    assert dict(request.extra) == kept


def test_completion_request() -> None:
    assert decode(Operation.COMPLETION, COMPLETION[0]) == CompletionRequest(
        model="m",
        prompts=("Once", (1, 2), (3, 4), "upon"),
        sampling=Sampling(
            temperature=0.5,
            top_p=0.5,
            top_k=3,
            min_p=0.25,
            repetition_penalty=1.5,
            frequency_penalty=0.5,
            presence_penalty=-0.5,
            n=2,
            stop=("a",),
            max_tokens=10,
            logit_bias=(("20", 1.0),),
            seed=-12,
        ),
        logprobs=0,
        suffix="end",
        echo=True,
        best_of=3,
        user="u",
        include_usage=True,
        extra=EXTRA,
    )


def test_completion_without_prompt_starts_a_new_document() -> None:
    assert decode(Operation.COMPLETION, completion_pb2.CompletionRequest(model="m")).prompts == ("",)


def test_embedding_request() -> None:
    assert decode(Operation.EMBEDDING, EMBEDDING[0]) == EmbeddingRequest(
        model="m",
        inputs=("Once", (1, 2), RawInput(json=JsonText('{"image":"x"}'))),
        dimensions=3,
        encoding_format="base64",
        user="u",
        extra=EXTRA,
    )


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [(embedding_pb2.EMBEDDING_ENCODING_UNSPECIFIED, None), (embedding_pb2.EMBEDDING_ENCODING_FLOATS, "float")],
)
def test_embedding_encodings(encoding: Any, expected: str | None) -> None:
    message = embedding_pb2.EmbeddingRequest(model="m", input=[{"text": "a"}], encoding=encoding)

    assert decode(Operation.EMBEDDING, message).encoding_format == expected


@pytest.mark.parametrize(
    ("operation", "message", "expected"),
    [
        (Operation.CHAT, chat(), Peeked(model="m", include_usage=True, has_messages=True)),
        (
            Operation.CHAT,
            chat_pb2.ChatRequest(model="m", temperature=0.0, seed=5),
            Peeked(model="m", include_usage=True, temperature=0.0, seed="5"),
        ),
        (
            Operation.CHAT,
            chat_pb2.ChatRequest(model="m", extra_json='{"temperature":0,"seed":12345678901234567890123}'),
            Peeked(
                model="m",
                include_usage=True,
                temperature=0.0,
                seed="12345678901234567890123",
                extra=("temperature", "seed"),
            ),
        ),
        (
            Operation.CHAT,
            chat_pb2.ChatRequest(model="m", temperature=0, seed=5, extra_json='{"temperature":"0","seed":null}'),
            Peeked(model="m", include_usage=True, extra=("temperature", "seed")),
        ),
        (
            Operation.COMPLETION,
            completion_pb2.CompletionRequest(model="m", prompt=[{"text": "a"}]),
            Peeked(model="m", include_usage=True, has_prompt=True),
        ),
        (Operation.EMBEDDING, embedding_pb2.EmbeddingRequest(model="m"), Peeked(model="m")),
        (
            Operation.EMBEDDING,
            embedding_pb2.EmbeddingRequest(model="m", extra_json='{"x":1}'),
            Peeked(model="m", extra=("x",)),
        ),
    ],
)
def test_peek(operation: Operation, message: Any, expected: Peeked) -> None:
    assert SERVED[operation].peek(message) == expected
