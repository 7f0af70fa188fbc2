"""Generated requests and answers in their canonical form: what OpenAI's format can express without a loss."""

from __future__ import annotations

import dataclasses

from hypothesis import strategies as st
from isthmusd.core.call import Stamp
from isthmusd.core.chat import (
    AudioPart,
    ChatRequest,
    ChatResponse,
    Choice,
    Extra,
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
)
from isthmusd.core.completion import CompletionChoice, CompletionRequest, CompletionResponse
from isthmusd.core.embedding import Embedding, EmbeddingRequest, EmbeddingResponse, RawInput
from isthmusd.core.usage import Usage

STAMP = Stamp(id="abc123", created_at=1_700_000_000)

text = st.text(max_size=8)
word = st.text("abcdefgh", min_size=1, max_size=6)
base64 = st.sampled_from(["", "QUJD", "QQ==", "-_8="])
count = st.integers(0, 10**30)
number = st.floats(-1e6, 1e6)
opaque = st.sampled_from(
    [JsonText(t) for t in ('{"b" : 1.0,"a":12345678901234567890123}', "[1,  2]", '"x"', "1e2", "false", '{"z":null}')]
)
json_object = st.sampled_from([JsonText(t) for t in ('{"b" : 1.0,"a":12345678901234567890123}', '{"z":null}', "{}")])


def maybe(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | values


def extras(prefix: str = "x_") -> st.SearchStrategy[Extra]:
    """Unknown members; the prefix keeps them unknown."""
    return st.dictionaries(word.map(prefix.__add__), opaque | st.just(JsonText("null")), max_size=2).map(
        lambda members: tuple(members.items())
    )


def tuples(values: st.SearchStrategy[object], least: int = 0) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(values, min_size=least, max_size=3).map(tuple)


def pairs(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.dictionaries(word, values, max_size=2).map(lambda members: tuple(members.items()))


def raw(kind: str) -> st.SearchStrategy[JsonText]:
    return st.just(JsonText(f'{{"type":"{kind}","b":1.0, "a":[1]}}'))


parts = st.one_of(
    st.builds(TextPart, text=text, extra=extras()),
    st.builds(ImagePart, url=st.just("https://x/y.png"), detail=maybe(word), extra=extras()),
    st.builds(ImagePart, data_base64=base64, mime_type=st.just("image/webp"), detail=maybe(word), extra=extras()),
    st.builds(AudioPart, data_base64=base64, format=word, extra=extras()),
    st.builds(FilePart, data_base64=base64, mime_type=st.just("application/pdf"), filename=maybe(word), extra=extras()),
    st.builds(FilePart, file_id=word, filename=maybe(word), extra=extras()),
    st.builds(RefusalPart, text=text, extra=extras()),
    st.builds(RawPart, json=raw("video_url")),
)
thinking = st.builds(ThinkingPart, text=st.text(min_size=1, max_size=8))
contents = maybe(tuples(parts)) | st.tuples(thinking) | st.tuples(thinking, st.builds(TextPart, text=text))
tool_calls = tuples(
    st.builds(ToolCall, id=word, name=word, arguments=st.sampled_from(['{"a":1}', "", "not json"]), extra=extras())
    | st.builds(RawToolCall, json=st.just(JsonText('{"type":"custom","b":1.0,"a":[1]}')))
)
messages = st.builds(
    Message,
    role=st.sampled_from(["system", "developer", "user", "assistant", "tool", "critic"]),
    content=contents,
    name=maybe(word),
    tool_calls=tool_calls,
    tool_call_id=maybe(word),
    refusal=maybe(text),
    audio=maybe(json_object),
    extra=extras(),
)
samplings = st.builds(
    Sampling,
    **{
        name: maybe(number)
        for name in ("temperature", "top_p", "min_p", "repetition_penalty", "frequency_penalty", "presence_penalty")
    },
    **{name: maybe(count) for name in ("top_k", "n", "max_tokens", "max_completion_tokens", "seed")},
    stop=maybe(tuples(text)),
    logit_bias=maybe(pairs(number)),
)
tools = tuples(
    st.builds(
        FunctionTool,
        name=word,
        description=maybe(text),
        parameters=maybe(json_object),
        strict=maybe(st.booleans()),
        extra=extras(),
    )
    | st.builds(RawTool, json=raw("web_search"))
)
tool_choices = maybe(
    st.builds(ToolChoiceMode, mode=word)
    | st.builds(ToolChoiceFunction, name=word)
    | st.builds(RawToolChoice, json=raw("allowed_tools"))
)
formats = maybe(
    st.sampled_from([TextFormat(), JsonObjectFormat()])
    | st.builds(
        JsonSchemaFormat,
        name=word,
        schema=maybe(json_object),
        description=maybe(text),
        strict=maybe(st.booleans()),
    )
    | st.builds(RawFormat, json=raw("grammar"))
)
stream_extra = st.sampled_from([(), (("stream_options", JsonText('{"include_obfuscation":false}')),)])


@st.composite
def chat_requests(draw: st.DrawFn) -> ChatRequest:
    stream = draw(st.booleans())
    sampling = draw(samplings)
    return ChatRequest(
        model=draw(word),
        messages=draw(tuples(messages, 1)),
        sampling=dataclasses.replace(
            sampling, logprobs=draw(maybe(st.booleans())), top_logprobs=draw(maybe(st.integers(0, 20)))
        ),
        tools=draw(tools),
        tool_choice=draw(tool_choices),
        parallel_tool_calls=draw(maybe(st.booleans())),
        response_format=draw(formats),
        reasoning=draw(maybe(st.builds(Reasoning, effort=word))),
        verbosity=draw(maybe(word)),
        user=draw(maybe(text)),
        metadata=draw(maybe(pairs(text))),
        store=draw(maybe(st.booleans())),
        service_tier=draw(maybe(word)),
        modalities=draw(maybe(tuples(word))),
        audio=draw(maybe(json_object)),
        prediction=draw(maybe(json_object)),
        stream=stream,
        include_usage=stream,
        extra=draw(extras()) + (draw(stream_extra) if stream else ()),
    )


hard_parts = st.one_of(
    parts,
    st.builds(ImagePart, file_id=word),
    st.builds(FilePart, url=st.just("https://x/y.pdf"), filename=maybe(word)),
    st.builds(FilePart, url=st.just("https://x/y.pdf"), file_id=word),
)
signed_thinking = st.builds(ThinkingPart, text=st.text(min_size=1, max_size=8), signature=maybe(word))
hard_thinking = signed_thinking | st.builds(ThinkingPart, redacted_data=word)
hard_messages = st.builds(
    Message,
    role=st.sampled_from(["user", "assistant"]),
    content=tuples(hard_parts) | st.tuples(hard_thinking) | st.tuples(hard_thinking, hard_parts),
)


@st.composite
def any_chat_requests(draw: st.DrawFn) -> ChatRequest:
    """Requests with parts and wishes that not every host of the format has a place for, among others."""
    reasonings = st.builds(Reasoning, effort=maybe(word), max_tokens=maybe(count), include=maybe(st.booleans()))
    return dataclasses.replace(
        draw(chat_requests()), messages=draw(tuples(hard_messages, 1)), reasoning=draw(maybe(reasonings))
    )


@st.composite
def completion_requests(draw: st.DrawFn) -> CompletionRequest:
    stream = draw(st.booleans())
    return CompletionRequest(
        model=draw(word),
        prompts=draw(tuples(text | tuples(count, 1), 1)),
        sampling=draw(samplings),
        logprobs=draw(maybe(count)),
        suffix=draw(maybe(text)),
        echo=draw(maybe(st.booleans())),
        best_of=draw(maybe(count)),
        user=draw(maybe(text)),
        stream=stream,
        include_usage=stream,
        extra=draw(extras()),
    )


embedding_requests = st.builds(
    EmbeddingRequest,
    model=word,
    inputs=tuples(text | tuples(count, 1) | st.builds(RawInput, json=raw("image")), 1),
    dimensions=maybe(count),
    encoding_format=maybe(word),
    user=maybe(text),
    extra=extras(),
)

usages = st.builds(
    Usage,
    prompt_tokens=count,
    completion_tokens=count,
    total_tokens=count,
    **{
        name: maybe(count)
        for name in (
            "cached_tokens",
            "cache_write_tokens",
            "prompt_audio_tokens",
            "reasoning_tokens",
            "completion_audio_tokens",
            "accepted_prediction_tokens",
            "rejected_prediction_tokens",
        )
    },
    extra=st.sampled_from(
        [(), (("cost", "0.10"),), (("cost", "0"), ("prompt_tokens_details", '{"image_tokens":3}'))],
    ),
)
answers = st.builds(
    Message,
    role=st.just("assistant"),
    content=st.none()
    | st.tuples(st.builds(TextPart, text=text))
    | st.tuples(thinking)
    | st.tuples(thinking, st.builds(TextPart, text=text)),
    tool_calls=tool_calls,
    refusal=maybe(text),
    audio=maybe(json_object),
    extra=extras(),
)


def numbered(choices: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(dataclasses.replace(choice, index=index) for index, choice in enumerate(choices))


chat_responses = st.builds(
    ChatResponse,
    id=word,
    model=word,
    created_at=st.integers(1, 2**40),
    choices=tuples(
        st.builds(
            Choice,
            index=st.just(0),
            message=answers,
            finish_reason=word,
            native_finish_reason=maybe(word),
            logprobs=maybe(json_object),
            extra=extras(),
        ),
        1,
    ).map(numbered),
    usage=maybe(usages),
    system_fingerprint=maybe(word),
    service_tier=maybe(word),
    extra=extras(),
)
completion_responses = st.builds(
    CompletionResponse,
    id=word,
    model=word,
    created_at=st.integers(1, 2**40),
    choices=tuples(
        st.builds(
            CompletionChoice,
            index=st.just(0),
            text=text,
            finish_reason=word,
            logprobs=maybe(json_object),
            extra=extras(),
        ),
        1,
    ).map(numbered),
    usage=maybe(usages),
    system_fingerprint=maybe(word),
    extra=extras(),
)
embedding_responses = st.builds(
    EmbeddingResponse,
    model=word,
    embeddings=tuples(
        st.builds(Embedding, index=st.just(0), values=tuples(number), extra=extras())
        | st.builds(Embedding, index=st.just(0), base64=base64, extra=extras())
    ).map(numbered),
    usage=maybe(st.builds(Usage, prompt_tokens=count, total_tokens=count)),
    extra=extras(),
)
