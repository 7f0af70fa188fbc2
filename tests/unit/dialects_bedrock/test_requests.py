"""What stands around the messages of a request: path, knobs, formats, natives, and what is lost of the rest."""

from __future__ import annotations

from typing import Any

import pytest
from isthmusd.core.chat import (
    FunctionTool,
    JsonObjectFormat,
    JsonSchemaFormat,
    JsonText,
    RawFormat,
    Sampling,
    TextFormat,
)
from isthmusd.core.profile import Profile, StructuredOutput
from isthmusd.core.request import Operation
from isthmusd.dialects.bedrock import CALLED

from tests.unit.dialects_bedrock.requests import CHAT, CLAUDE, LLAMA, NOVA, sent

HI = {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}
ARN = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0"
ENCODED_ARN = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.amazon.nova-pro-v1%3A0"


def test_a_plain_request_is_its_messages_alone() -> None:
    plain = sent()

    assert plain.body == HI
    assert plain.losses == {}


@pytest.mark.parametrize(
    ("model", "stream", "path"),
    [
        (NOVA, False, "/model/amazon.nova-lite-v1%3A0/converse"),
        (NOVA, True, "/model/amazon.nova-lite-v1%3A0/converse-stream"),
        (ARN, True, f"/model/{ENCODED_ARN}/converse-stream"),
        ("a/b?c#d é", False, "/model/a%2Fb%3Fc%23d%20%C3%A9/converse"),
    ],
)
def test_the_model_is_one_encoded_segment_of_the_path(model: str, stream: bool, path: str) -> None:
    assert sent(model=model, stream=stream).path == path
    assert CHAT.path(model, stream) == path


def test_embeddings_have_a_path_of_their_own() -> None:
    half = CALLED[Operation.EMBEDDING]

    assert half.path("amazon.titan-embed-text-v2:0", False) == "/model/amazon.titan-embed-text-v2%3A0/invoke"


def test_knobs_of_converse() -> None:
    knobs = sent(sampling=Sampling(max_tokens=9, temperature=0.5, top_p=0.25, stop=("a", "b")), model=NOVA)

    assert knobs.body["inferenceConfig"] == {
        "maxTokens": 9,
        "temperature": 0.5,
        "topP": 0.25,
        "stopSequences": ["a", "b"],
    }
    assert knobs.losses == {}


@pytest.mark.parametrize(
    ("sampling", "limit", "lost"),
    [
        (Sampling(max_completion_tokens=5), 5, []),
        (Sampling(max_completion_tokens=5, max_tokens=5), 5, []),
        (Sampling(max_completion_tokens=5, max_tokens=6), 5, ["max_tokens"]),
        (Sampling(), 77, []),
    ],
)
def test_the_limit_is_the_newer_field_or_the_profile_s(sampling: Sampling, limit: int, lost: list[str]) -> None:
    limited = sent(sampling=sampling, profile=Profile(default_max_tokens=77))

    assert limited.body["inferenceConfig"] == {"maxTokens": limit}
    assert list(limited.losses) == lost


def test_what_bedrock_refuses_is_cut_with_a_loss() -> None:
    cut = sent(sampling=Sampling(temperature=1.5, stop=("", "x")))

    assert cut.body["inferenceConfig"] == {"temperature": 1, "stopSequences": ["x"]}
    assert set(cut.losses) == {"temperature", "stop"}


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (CLAUDE, {"top_k": 3}),
        (NOVA, {"inferenceConfig": {"topK": 3}}),
        ("cohere.command-r-v1:0", {"k": 3}),
        ("arn:aws:bedrock:eu-west-1:1:application-inference-profile/abc", {"top_k": 3}),
    ],
)
def test_top_k_has_the_name_that_the_model_s_maker_gave_it(model: str, fields: dict[str, Any]) -> None:
    assert sent(model=model, sampling=Sampling(top_k=3)).body["additionalModelRequestFields"] == fields


def test_a_model_without_top_k_loses_it() -> None:
    assert list(sent(model=LLAMA, sampling=Sampling(top_k=3)).losses) == ["top_k"]


def test_knobs_that_only_some_models_have() -> None:
    knobs = Sampling(frequency_penalty=0.5, presence_penalty=0.25, seed=12345678901234567890123)

    cohere = sent(model="cohere.command-r-v1:0", sampling=knobs)
    claude = sent(sampling=knobs)

    assert cohere.body["additionalModelRequestFields"] == {
        "frequency_penalty": 0.5,
        "presence_penalty": 0.25,
        "seed": 12345678901234567890123,
    }
    assert set(claude.losses) == {"frequency_penalty", "presence_penalty", "seed"}


def test_knobs_that_ask_for_what_happens_anyway_are_no_losses() -> None:
    silent = sent(
        sampling=Sampling(
            n=1,
            frequency_penalty=0,
            presence_penalty=0.0,
            logprobs=False,
            top_logprobs=0,
            logit_bias=(),
            repetition_penalty=1.0,
            min_p=0,
            stop=(),
        ),
        response_format=TextFormat(),
        modalities=("text",),
        store=False,
        service_tier="auto",
        verbosity="medium",
        parallel_tool_calls=True,
        metadata=(),
        include_usage=True,
        stream=True,
    )

    assert silent.body == HI
    assert silent.losses == {}


def test_what_converse_has_no_place_for_is_lost() -> None:
    lost = sent(
        sampling=Sampling(
            n=2, logprobs=True, top_logprobs=3, logit_bias=(("5", 1.0),), min_p=0.5, repetition_penalty=2
        ),
        modalities=("text", "audio"),
        audio=JsonText('{"voice":"a"}'),
        prediction=JsonText("{}"),
        store=True,
        user="u",
        verbosity="low",
        service_tier="scale",
        extra=(("web_search_options", JsonText('{"a":1}')), ("nothing", JsonText("null"))),
    )

    assert lost.body == HI
    assert set(lost.losses) == {
        "n",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "min_p",
        "repetition_penalty",
        "modalities",
        "audio",
        "prediction",
        "store",
        "user",
        "verbosity",
        "service_tier",
        "web_search_options",
    }
    assert lost.losses["web_search_options"] == "Bedrock has no such field"


def test_metadata_goes_to_the_invocation_log_as_far_as_it_may() -> None:
    pairs = (("team", "a b"), ("bad", "ü"), *((f"k{number}", "v") for number in range(16)))

    tagged = sent(metadata=pairs)

    assert len(tagged.body["requestMetadata"]) == 16
    assert tagged.body["requestMetadata"]["team"] == "a b"
    assert set(tagged.losses) == {"metadata.bad", "metadata.k15"}


def test_a_tier_that_bedrock_has_is_asked_for() -> None:
    assert sent(service_tier="flex").body["serviceTier"] == {"type": "flex"}


def test_members_that_bedrock_knows_by_name_pass_as_they_came() -> None:
    native = sent(
        service_tier="flex",
        sampling=Sampling(top_k=3, temperature=0.5),
        extra=(
            ("guardrailConfig", JsonText('{"guardrailIdentifier":"g","guardrailVersion":"1"}')),
            ("performanceConfig", JsonText('{"latency":"optimized"}')),
            ("serviceTier", JsonText('{"type":"priority"}')),
            ("requestMetadata", JsonText('{"a":"b"}')),
            ("additionalModelResponseFieldPaths", JsonText('["/stop_sequence"]')),
            ("promptVariables", JsonText("null")),
            ("additionalModelRequestFields", JsonText('{"top_k":9,"x":1}')),
            ("inferenceConfig", JsonText('{"topP":0.5}')),
            ("outputConfig", JsonText('{"effort":"low"}')),
            ("thinking", JsonText('{"type":"enabled","budget_tokens":2000}')),
            ("anthropic_beta", JsonText('["context-1m"]')),
        ),
    )

    assert native.losses == {}
    assert native.body == {
        **HI,
        "inferenceConfig": {"temperature": 0.5, "topP": 0.5},
        "outputConfig": {"effort": "low"},
        "additionalModelRequestFields": {
            "top_k": 9,
            "x": 1,
            "thinking": {"type": "enabled", "budget_tokens": 2000},
            "anthropic_beta": ["context-1m"],
        },
        "requestMetadata": {"a": "b"},
        "serviceTier": {"type": "priority"},
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
        "performanceConfig": {"latency": "optimized"},
        "additionalModelResponseFieldPaths": ["/stop_sequence"],
    }


def test_a_native_member_of_the_wrong_kind_is_lost() -> None:
    assert sent(extra=(("inferenceConfig", JsonText("[1]")),)).losses == {
        "inferenceConfig": "Bedrock takes an object there"
    }


SCHEMA = JsonText('{"type":"object","properties":{"b":{"maximum":12345678901234567890},"a":{}}}')


def test_a_schema_holds_the_answer_where_the_model_can_be_held() -> None:
    form = JsonSchemaFormat(name="out", schema=SCHEMA, description="d", strict=True)

    held = sent(response_format=form, extra=(("outputConfig", JsonText('{"effort":"low"}')),))

    inner = {"schema": SCHEMA, "name": "out", "description": "d"}
    text_format = {"type": "json_schema", "structure": {"jsonSchema": inner}}
    assert held.body["outputConfig"] == {"textFormat": text_format, "effort": "low"}
    assert held.losses == {}


@pytest.mark.parametrize(
    ("form", "structured"),
    [
        (JsonSchemaFormat(name="out", schema=SCHEMA), StructuredOutput.TOOL),
        (JsonSchemaFormat(name="out"), StructuredOutput.NATIVE),
        (JsonObjectFormat(), StructuredOutput.NATIVE),
        (RawFormat(json=JsonText('{"type":"grammar"}')), StructuredOutput.NATIVE),
    ],
)
def test_formats_that_the_model_cannot_be_held_to_are_lost(form: Any, structured: StructuredOutput) -> None:
    lost = sent(response_format=form, profile=Profile(structured_output=structured))

    assert lost.body == HI
    assert list(lost.losses) == ["response_format"]


def test_encoding_twice_gives_the_same() -> None:
    tool = FunctionTool(name="f", parameters=SCHEMA)

    assert sent(tools=(tool,)) == sent(tools=(tool,))


@pytest.mark.parametrize(
    ("temperature", "top_p", "written", "lost"),
    [
        (0.5, 0.9, {"temperature": 0.5}, ["top_p"]),
        (1, 0.9, {"topP": 0.9}, []),
        (0.5, 1, {"temperature": 0.5}, []),
        (None, 0.9, {"topP": 0.9}, []),
        (0.5, None, {"temperature": 0.5}, []),
    ],
)
def test_claude_takes_a_temperature_or_top_p(
    temperature: float | None, top_p: float | None, written: dict[str, float], lost: list[str]
) -> None:
    knobs = sent(sampling=Sampling(temperature=temperature, top_p=top_p))

    assert (knobs.body["inferenceConfig"], list(knobs.losses)) == (written, lost)


def test_knobs_that_the_model_refuses_are_left_out_and_their_defaults_silently() -> None:
    profile = Profile(refuses=frozenset({"temperature", "top_p", "top_k"}))

    asked = sent(sampling=Sampling(temperature=0.5, top_p=0.9, top_k=5), profile=profile)
    usual = sent(sampling=Sampling(temperature=1, top_p=1), profile=profile)

    assert asked.body.keys() == usual.body.keys() == {"messages"}
    assert (list(asked.losses), usual.losses) == (["temperature", "top_p", "top_k"], {})


@pytest.mark.parametrize("top_k", [0, -1])
def test_no_limit_is_no_top_k(top_k: int) -> None:
    assert sent(sampling=Sampling(top_k=top_k)).body.keys() == {"messages"}


def test_blank_stop_sequences_are_for_models_that_take_them() -> None:
    stop = Sampling(stop=("\n", "", "x"))

    claude, nova = sent(sampling=stop), sent(sampling=stop, model=NOVA)

    assert claude.body["inferenceConfig"]["stopSequences"] == ["x"]
    assert nova.body["inferenceConfig"]["stopSequences"] == ["\n", "x"]
    assert claude.losses["stop"] != nova.losses["stop"]
