"""Requests that ask for every field of the hub: one by one, all at once, and in the company that a target minds. Which
targets they are put to is `targets.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from isthmusd.core.chat import (
    ChatRequest,
    Extra,
    FunctionTool,
    JsonObjectFormat,
    JsonSchemaFormat,
    JsonText,
    Message,
    RawFormat,
    RawTool,
    RawToolChoice,
    Reasoning,
    ResponseFormat,
    Sampling,
    TextFormat,
    Tool,
    ToolChoice,
    ToolChoiceFunction,
    ToolChoiceMode,
    plain_text,
)
from isthmusd.core.completion import CompletionRequest
from isthmusd.core.embedding import EmbeddingRequest, RawInput

from tests.golden import asked_parts
from tests.golden.asked_parts import CALLED, EXTRA, HELLO, MARK, RESULT, TURNS

SAMPLINGS = (
    *(Sampling(temperature=value) for value in (0, 0.5, 1, 1.5)),
    *(Sampling(top_p=value) for value in (0.5, 0.97, 1)),
    Sampling(temperature=0.5, top_p=0.5),
    *(Sampling(top_k=value) for value in (0, 40, 1000)),
    Sampling(min_p=0.1),
    Sampling(repetition_penalty=1.1),
    *(Sampling(frequency_penalty=value) for value in (0, 0.5, 2)),
    *(Sampling(presence_penalty=value) for value in (0, 0.5, 2)),
    *(Sampling(n=value) for value in (1, 2)),
    *(Sampling(stop=stop) for stop in (("a",), ("", "b"), tuple("abcdef"))),
    *(Sampling(max_tokens=value) for value in (100, 2000)),
    *(Sampling(max_completion_tokens=value) for value in (100, 2000)),
    Sampling(max_tokens=100, max_completion_tokens=2000),
    Sampling(logit_bias=(("1", 5.0),)),
    Sampling(logprobs=True),
    Sampling(top_logprobs=2),
    Sampling(logprobs=True, top_logprobs=2),
    *(Sampling(seed=value) for value in (7, -7, 10**23)),
)
ALL_KNOBS = Sampling(
    temperature=1.5, top_p=0.5, top_k=40, min_p=0.1, repetition_penalty=1.1, frequency_penalty=2, presence_penalty=2,
    n=2, stop=tuple("abcdef"), max_tokens=100, max_completion_tokens=2000, logit_bias=(("1", 5.0),), logprobs=True,
    top_logprobs=2, seed=10**23,
)  # fmt: skip

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max", "odd")
REASONINGS = (
    *(Reasoning(effort=effort) for effort in EFFORTS),
    *(Reasoning(max_tokens=tokens) for tokens in (0, 100, 5000)),
    *(Reasoning(include=include) for include in (True, False)),
    Reasoning(effort="high", max_tokens=5000, include=False),
    Reasoning(effort="none", include=True),
    Reasoning(effort="high", source=(("reasoning", JsonText('{"effort":"high"}')),)),
)

SCHEMA = JsonText('{"type":"object","properties":{"a":{"type":"string"}}}')
DEMANDING = JsonText(
    '{"type":"object","additionalProperties":true,"properties":{"a":{"type":"string","minLength":2,"format":"odd"},'
    '"b":{"type":"array","minItems":3,"items":{"oneOf":[{"type":"null"},{"type":"number","minimum":1}]}}}}'
)
FORMATS: tuple[ResponseFormat, ...] = (
    TextFormat(),
    JsonObjectFormat(),
    JsonSchemaFormat(name="answer", schema=SCHEMA, strict=True),
    JsonSchemaFormat(name="answer", schema=DEMANDING, description="An answer", strict=False),
    JsonSchemaFormat(name="answer"),
    RawFormat(json=JsonText('{"type":"grammar","grammar":"x"}')),
)

LOOK = FunctionTool(name="look", parameters=SCHEMA)
STRICT = FunctionTool(name="find", description="Find", parameters=DEMANDING, strict=True)
TOOLS: tuple[tuple[Tool, ...], ...] = (
    (LOOK,),
    (STRICT,),
    (LOOK, STRICT),
    tuple(replace(STRICT, name=f"find_{number}") for number in range(25)),
    (FunctionTool(name="look", extra=EXTRA),),
    (FunctionTool(name="look", extra=MARK),),
    (FunctionTool(name="look", parameters=JsonText("true")),),
    (FunctionTool(name="look", parameters=JsonText('{"type":["object","null"]}')),),
    (FunctionTool(name="look", parameters=JsonText('{"type":"object","anyOf":[{"properties":{"a":{}}}]}')),),
    *(
        (RawTool(json=JsonText(json)),)
        for json in (
            '{"type":"hologram"}',
            '{"type":"function","function":3}',
            '{"type":"function","function":{"name":"look","x":1,"strict":true}}',
        )
    ),
)
CHOICES: tuple[ToolChoice, ...] = (
    *(ToolChoiceMode(mode=mode) for mode in ("auto", "none", "required", "odd")),
    *(ToolChoiceFunction(name=name) for name in ("look", "nowhere")),
    *(
        RawToolChoice(json=JsonText(json))
        for json in (
            '{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":'
            '{"name":"look"}}]}}',
            '{"type":"hologram"}',
        )
    ),
)

EXTRAS: tuple[tuple[str, str], ...] = (
    ("x_note", '"n"'),
    ("thinking", '{"type":"enabled","budget_tokens":2000}'),
    ("thinking", '{"type":"adaptive"}'),
    ("thinkingConfig", '{"thinkingBudget":7}'),
    ("betas", "3"),
    ("anthropic_beta", "3"),
    ("safety_identifier", '"other"'),
    ("output_config", "3"),
    ("inferenceConfig", "3"),
    ("outputConfig", "3"),
    ("additionalModelRequestFields", "3"),
    ("responseMimeType", '"text/plain"'),
    ("generationConfig", '{"maxOutputTokens":3}'),
    ("google", '{"x_note":1,"responseMimeType":"text/plain"}'),
    ("extra_body", '{"google":{"x_note":1}}'),
    ("toolConfig", '{"functionCallingConfig":{"mode":"ANY"}}'),
    ("web_search_options", '{"search_context_size":"low"}'),
    ("p", "0.5"),
    ("k", "5"),
    ("stop_sequences", '["z"]'),
    ("documents", '["d"]'),
    ("stream_options", '{"include_obfuscation":false}'),
)
METADATA = (("user_id", "u"), ("note", "n"), ("odd", "<>"))
"""The target's own name of a user, a note, and characters that not all take."""

CHAT = ChatRequest(model="m", messages=(HELLO,))
FULL = replace(
    CHAT,
    messages=asked_parts.everything(),
    sampling=ALL_KNOBS,
    tools=tuple(tool for tools in TOOLS for tool in tools),
    tool_choice=ToolChoiceMode(mode="required"),
    parallel_tool_calls=False,
    response_format=FORMATS[3],
    reasoning=Reasoning(effort="high", max_tokens=5000, include=False),
    verbosity="low",
    user="u1",
    metadata=METADATA,
    store=True,
    service_tier="odd",
    modalities=("text", "audio"),
    audio=JsonText('{"voice":{"id":"v"},"format":"mp3"}'),
    prediction=JsonText('{"type":"content","content":"x"}'),
    stream=True,
    include_usage=True,
    extra=EXTRA,
)


def chats() -> Iterator[ChatRequest]:
    """Give every chat."""
    yield from brief()
    yield from asked_parts.chats()
    yield from _thinking()
    yield from _tools()


def brief() -> Iterator[ChatRequest]:
    """Give the chats that set what stands around messages: one by one, and all at once."""
    yield CHAT
    yield FULL
    for name in (
        "tool_choice", "parallel_tool_calls", "verbosity", "user", "metadata", "store", "service_tier", "modalities",
        "audio", "prediction", "stream",
    ):  # fmt: skip
        yield replace(CHAT, **{name: getattr(FULL, name)})
    yield replace(CHAT, service_tier="flex")
    for sampling in SAMPLINGS:
        yield replace(CHAT, sampling=sampling)
    for form, tools in product(FORMATS, ((), (LOOK,))):
        yield replace(CHAT, response_format=form, tools=tools)
    for name, json in EXTRAS:
        extra: Extra = ((name, JsonText(json)),)
        yield replace(CHAT, extra=extra)
        yield replace(CHAT, extra=extra, tools=(LOOK,), tool_choice=CHOICES[2])
        yield replace(CHAT, extra=extra, sampling=ALL_KNOBS, user="u1", metadata=METADATA, response_format=FORMATS[2])
        yield replace(CHAT, extra=extra, response_format=FORMATS[1], stream=True)
    yield replace(CHAT, audio=JsonText('{"voice":"alloy","format":"pcm16"}'))


def _thinking() -> Iterator[ChatRequest]:
    """What thinking forbids: knobs, limits, forced tools, and going on without what was thought before."""
    signed = replace(CALLED, content=(asked_parts.ThinkingPart(text="Hm", signature="c2ln"),))
    for reasoning, sampling in product(REASONINGS[3:10:3], SAMPLINGS):
        yield replace(CHAT, reasoning=reasoning, sampling=sampling)
    for reasoning in REASONINGS:
        yield replace(CHAT, reasoning=reasoning)
        for name, json in EXTRAS[1:4]:
            yield replace(CHAT, reasoning=reasoning, extra=((name, JsonText(json)),))
        for turns in (TURNS, (HELLO, signed, RESULT), (HELLO, Message(role="assistant", content=plain_text("Well")))):
            yield replace(CHAT, reasoning=reasoning, messages=turns, tools=(LOOK,))
        for choice in CHOICES:
            yield replace(CHAT, reasoning=reasoning, tools=(LOOK, STRICT), tool_choice=choice)
        for form in FORMATS:
            yield replace(CHAT, reasoning=reasoning, response_format=form)


def _tools() -> Iterator[ChatRequest]:
    for tools, choice in product((*TOOLS, (LOOK, *TOOLS[-1])), (None, *CHOICES)):
        yield replace(CHAT, tools=tools, tool_choice=choice)
        yield replace(CHAT, tools=tools, tool_choice=choice, parallel_tool_calls=False, messages=TURNS)
    for choice in CHOICES:
        yield replace(CHAT, tool_choice=choice)
        yield replace(CHAT, tool_choice=choice, messages=TURNS)


def completions() -> Iterator[CompletionRequest]:
    """Give every legacy completion."""
    plain = CompletionRequest(model="m", prompts=("Once",))
    yield plain
    for change in (
        {"logprobs": 2}, {"echo": True}, {"best_of": 2}, {"user": "u1"}, {"extra": EXTRA}, {"suffix": "end"},
        {"stream": True, "include_usage": True}, {"prompts": ("Once", "Twice")},
    ):  # fmt: skip
        yield replace(plain, **change)
    for sampling in SAMPLINGS:
        yield replace(plain, sampling=sampling)
    yield replace(plain, sampling=ALL_KNOBS, logprobs=2, echo=True, best_of=2, user="u1", suffix="end", extra=EXTRA)


def embeddings() -> Iterator[EmbeddingRequest]:
    """Give every embedding request."""
    plain = EmbeddingRequest(model="m", inputs=("Hello",))
    for change in (
        {}, {"dimensions": 256}, {"encoding_format": "base64"}, {"encoding_format": "odd"}, {"user": "u1"},
        {"extra": EXTRA}, {"inputs": ("Hello", "you")}, {"inputs": ((1, 2),)}, {"inputs": (RawInput(json=SCHEMA),)},
    ):  # fmt: skip
        yield replace(plain, **change)
    yield replace(plain, dimensions=256, encoding_format="odd", user="u1", extra=EXTRA)
