"""Arbitrary requests, answers and streams of the hub, in the form that it gives them itself: of several ways to say
one thing, only the one that comes back. What they become on the wire is not here.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import strategies as st
from isthmusd.core.chat import (
    AudioPart,
    ChatRequest,
    ChatResponse,
    Choice,
    FilePart,
    FunctionTool,
    ImagePart,
    JsonObjectFormat,
    JsonSchemaFormat,
    JsonText,
    Message,
    Part,
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

TEXT = st.text(max_size=5)
WORD = TEXT.filter(bool)
MAYBE = st.none() | WORD
BASE64 = st.sampled_from(["", "AA==", "AAAA"])
EXTRA = st.sampled_from([(), (("x", JsonText("1.50")), ("y", JsonText('{"b":1,"a":[]}')))])
JSON = st.sampled_from([JsonText('{"type":"mine", "n":1.0}'), JsonText("{}")])
SWITCH = st.none() | st.booleans()
COUNT = st.none() | st.integers(min_value=0, max_value=2**63 - 1)
LIMIT = st.none() | st.integers(min_value=0, max_value=2**31 - 1)
NUMBER = st.none() | st.floats(allow_nan=False, allow_infinity=False)

PARTS: dict[Any, st.SearchStrategy[Part]] = {
    TextPart: st.builds(TextPart, text=TEXT, extra=EXTRA),
    RefusalPart: st.builds(RefusalPart, text=TEXT, extra=EXTRA),
    ImagePart: st.builds(ImagePart, data_base64=BASE64, mime_type=MAYBE, detail=MAYBE, extra=EXTRA)
    | st.builds(ImagePart, url=TEXT, detail=MAYBE, extra=EXTRA)
    | st.builds(ImagePart, file_id=TEXT, detail=MAYBE, extra=EXTRA),
    FilePart: st.builds(FilePart, data_base64=BASE64, mime_type=MAYBE, filename=MAYBE, extra=EXTRA)
    | st.builds(FilePart, url=TEXT, filename=MAYBE, extra=EXTRA)
    | st.builds(FilePart, file_id=TEXT, filename=MAYBE, extra=EXTRA),
    AudioPart: st.builds(AudioPart, data_base64=BASE64, format=TEXT, extra=EXTRA),
    ThinkingPart: st.builds(ThinkingPart, text=TEXT, signature=MAYBE, extra=EXTRA)
    | st.builds(ThinkingPart, text=TEXT, redacted_data=TEXT, extra=EXTRA),
    RawPart: st.builds(RawPart, json=JSON),
}
CALLS = st.builds(ToolCall, id=TEXT, name=TEXT, arguments=TEXT, extra=EXTRA) | st.sampled_from(
    [
        RawToolCall(json=JsonText('{"id":"c","type":"custom","custom":{"name":"f","input":"x"}}')),
        RawToolCall(json=JsonText('{"id":"c","type":"function","function":{"name":"f","arguments":"{}","z":1}}')),
        RawToolCall(json=JsonText('{"id":"c","type":"server","name":"f","arguments":"x","z":{"a":1}}')),
    ]
)
SPOKEN = st.sampled_from([None, JsonText('{"id":"a","data":"AA==","transcript":"t","expires_at":3,"z":1}')])
MESSAGES = st.builds(
    Message,
    role=WORD,
    content=st.none() | st.lists(st.one_of(*PARTS.values()), min_size=1, max_size=3).map(tuple),
    name=MAYBE,
    tool_calls=st.lists(CALLS, max_size=2).map(tuple),
    tool_call_id=MAYBE,
    refusal=st.none(),  # comes back as a part, which says the same
    audio=SPOKEN,
    extra=EXTRA,
)

TOOLS = st.builds(
    FunctionTool, name=WORD, description=st.none() | TEXT, parameters=st.none() | JSON, strict=SWITCH, extra=EXTRA
) | st.builds(RawTool, json=JSON)
ALLOWED = JsonText(
    '{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"f"}}]}}'
)
CHOICES = (
    st.builds(ToolChoiceMode, mode=st.sampled_from(["auto", "none", "required"]))
    | st.builds(ToolChoiceFunction, name=WORD)
    | st.builds(RawToolChoice, json=JSON | st.just(ALLOWED) | st.just(JsonText('"any"')))
)
FORMATS = (
    st.sampled_from([TextFormat(), JsonObjectFormat()])
    | st.builds(JsonSchemaFormat, name=WORD, schema=st.none() | JSON, description=st.none() | TEXT, strict=SWITCH)
    | st.builds(RawFormat, json=JSON)
)
SEED = st.integers() | st.none()
SHARED_SAMPLING: dict[str, st.SearchStrategy[Any]] = {
    "temperature": NUMBER,
    "top_p": NUMBER,
    "top_k": LIMIT,
    "min_p": NUMBER,
    "repetition_penalty": NUMBER,
    "frequency_penalty": NUMBER,
    "presence_penalty": NUMBER,
    "n": LIMIT,
    "stop": st.none() | st.lists(TEXT, min_size=1, max_size=2).map(tuple),
    "max_tokens": LIMIT,
    "logit_bias": st.none() | st.just((("1", 0.5), ("2", -1.0))),
    "seed": SEED,
}
CHAT_REQUESTS = st.builds(
    ChatRequest,
    model=WORD,
    messages=st.lists(MESSAGES, min_size=1, max_size=2).map(tuple),
    sampling=st.builds(Sampling, **SHARED_SAMPLING, max_completion_tokens=LIMIT, logprobs=SWITCH, top_logprobs=LIMIT),
    tools=st.lists(TOOLS, max_size=2).map(tuple),
    tool_choice=st.none() | CHOICES,
    parallel_tool_calls=SWITCH,
    response_format=st.none() | FORMATS,
    reasoning=st.none() | st.builds(Reasoning, effort=MAYBE, max_tokens=LIMIT, include=SWITCH, source=st.just(())),
    verbosity=MAYBE,
    user=MAYBE,
    metadata=st.none() | st.just((("a", "b"), ("k", ""))),
    store=SWITCH,
    service_tier=MAYBE,
    modalities=st.none() | st.just(("text", "audio")),
    audio=st.sampled_from(
        [None, JsonText('{"voice":"v","format":"wav"}'), JsonText('{"voice":{"id":"v"},"format":"wav"}')]
    ),
    prediction=st.none() | JSON,
    stream=st.just(False),
    include_usage=st.just(True),
    extra=EXTRA | st.just((("prompt_cache_key", JsonText('"p"')), ("safety_identifier", JsonText('"s"')))),
)
PROMPTS = TEXT | st.lists(st.integers(min_value=0, max_value=9), max_size=2).map(tuple)
COMPLETION_REQUESTS = st.builds(
    CompletionRequest,
    model=WORD,
    prompts=st.lists(PROMPTS, min_size=1, max_size=2).map(tuple),
    sampling=st.builds(Sampling, **SHARED_SAMPLING),
    logprobs=LIMIT,
    suffix=MAYBE,
    echo=SWITCH,
    best_of=LIMIT,
    user=MAYBE,
    stream=st.just(False),
    include_usage=st.just(True),
    extra=EXTRA,
)
EMBEDDING_REQUESTS = st.builds(
    EmbeddingRequest,
    model=WORD,
    inputs=st.lists(PROMPTS | st.builds(RawInput, json=JSON), min_size=1, max_size=2).map(tuple),
    dimensions=LIMIT,
    encoding_format=st.sampled_from([None, "float", "base64", "int8"]),
    user=MAYBE,
    extra=EXTRA,
)

USAGES = st.builds(
    Usage,
    prompt_tokens=COUNT,
    completion_tokens=COUNT,
    total_tokens=COUNT,
    cached_tokens=COUNT,
    cache_write_tokens=COUNT,
    prompt_audio_tokens=COUNT,
    reasoning_tokens=COUNT,
    completion_audio_tokens=COUNT,
    accepted_prediction_tokens=COUNT,
    rejected_prediction_tokens=COUNT,
    estimated=st.booleans(),
    extra=st.sampled_from(
        [
            (),
            (("cost", "0.10"), ("trafficType", '"PROVISIONED"')),
            (("prompt_tokens_details", '{"image_tokens":1,"video_tokens":1.5}'),),
        ]
    ),
)
LOGPROBS = st.sampled_from(
    [
        None,
        JsonText(
            '{"content":[{"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":[{"token":"a","logprob":-0.5}]}]}'
        ),
        JsonText(
            '{"content":[{"token":"a","logprob":-0.5,"token_ids":[1],"top_logprobs":[{"token":"b","logprob":-1.5,"z":1}]}]}'
        ),
        JsonText('{"refusal":[{"token":"n","logprob":null}],"z":1}'),
    ]
)
LEGACY_LOGPROBS = st.sampled_from(
    [
        None,
        JsonText('{"tokens":["a"],"token_logprobs":[-0.5],"top_logprobs":[{"a":-0.5}],"text_offset":[0],"z":1}'),
        JsonText('{"tokens":["a","b"],"token_logprobs":[null,-1.5]}'),
    ]
)
REASONS = ("stop", "length", "tool_calls", "content_filter", "function_call", "error", "cancelled", "eos")
FINISHED = st.sampled_from(
    [*((reason, None) for reason in REASONS), ("stop", "end_turn"), ("content_filter", "SAFETY")]
)


def _replayable(content: list[Part]) -> bool:
    """Tell whether a stream of these parts parts them again: neighbours of one kind need a signature between them."""
    return not any(
        type(one) is type(other) and isinstance(one, TextPart | ThinkingPart) and _open(one)
        for one, other in pairwise(content)
    )


def _open(part: Part) -> bool:
    match part:
        case ThinkingPart():
            return part.signature is None and part.redacted_data is None
        case _:
            return True


ANSWERED_PARTS = st.one_of(
    st.builds(TextPart, text=TEXT, extra=st.just(())),
    st.builds(ThinkingPart, text=WORD, extra=st.just(())),
    st.builds(ThinkingPart, text=TEXT, signature=WORD, extra=st.just(())),
    st.builds(ThinkingPart, text=TEXT, redacted_data=TEXT, extra=st.just(())),
    st.just(RawPart(json=JsonText('{"type":"mine","n":1}'))),
)
ANSWERED = st.builds(
    Message,
    role=st.sampled_from(["assistant", "critic"]),
    content=st.none() | st.lists(ANSWERED_PARTS, min_size=1, max_size=4).filter(_replayable).map(tuple),
    name=st.none(),
    tool_calls=st.lists(CALLS, max_size=3).map(tuple),
    tool_call_id=st.none(),
    refusal=MAYBE,
    audio=SPOKEN,
    extra=st.sampled_from(
        [
            (),
            (("extra_content", JsonText('{"google":{"thought_signature":"c2ln"}}')),),
            (("annotations", JsonText('[{"type":"url_citation"}]')), ("citations", JsonText("[1.50]"))),
        ]
    ),
)
IDS = {"id": WORD, "model": TEXT, "created_at": st.integers(min_value=0, max_value=2**33), "system_fingerprint": MAYBE}


def _choices(of: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    """Number choices."""
    return st.lists(of, max_size=2).map(lambda made: tuple(make(place) for place, make in enumerate(made)))


def _chat_choice(message: Message, finished: tuple[str, str | None], logprobs: JsonText | None, extra: Any) -> Any:
    reason, native = finished
    return lambda place: Choice(
        index=place,
        message=message,
        finish_reason=reason,
        native_finish_reason=native,
        logprobs=logprobs,
        extra=extra,
    )


CHAT_RESPONSES = st.builds(
    ChatResponse,
    **IDS,
    choices=_choices(st.builds(_chat_choice, ANSWERED, FINISHED, LOGPROBS, EXTRA)),
    usage=st.none() | USAGES,
    service_tier=MAYBE,
    extra=EXTRA,
)
COMPLETION_RESPONSES = st.builds(
    CompletionResponse,
    **IDS,
    choices=_choices(
        st.builds(
            lambda text, reason, logprobs, extra: (
                lambda place: CompletionChoice(
                    index=place, text=text, finish_reason=reason, logprobs=logprobs, extra=extra
                )
            ),
            TEXT,
            st.none() | st.sampled_from(REASONS),
            LEGACY_LOGPROBS,
            EXTRA,
        )
    ),
    usage=st.none() | USAGES,
    extra=EXTRA,
)
FLOATS = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=3).map(tuple)
EMBEDDING_RESPONSES = st.builds(
    EmbeddingResponse,
    model=TEXT,
    embeddings=st.lists(
        st.builds(Embedding, index=st.integers(0, 9), values=FLOATS, extra=EXTRA)
        | st.builds(Embedding, index=st.integers(0, 9), base64=st.sampled_from(["", "AAAAPw=="]), extra=EXTRA)
        | st.just(Embedding(index=0, extra=(("embedding", JsonText("[1,-1]")), ("x", JsonText("1"))))),
        max_size=3,
    ).map(tuple),
    usage=st.none() | USAGES,
    extra=EXTRA,
)
