"""Requests that set every field of our request messages at least once. What they decode to is not here."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp
from isthmus.v1 import chat_pb2, completion_pb2, embedding_pb2

EXTRA = '{"x":{"b":1,"a":2.50}}'
PNG = b"\x89PNG"

CONTENT = [
    {"text": "Look:", "extra_json": EXTRA},
    {"image": {"url": "https://example.org/a.png", "detail": "high"}},
    {"image": {"inline": {"mime_type": "image/png", "data": PNG}, "detail": "low"}},
    {"image": {"file_id": "file-1"}},
    {"image": {"raw_json": '{"scale":2}', "detail": "auto"}},
    {"audio": {"format": "wav", "data": b"RIFF", "transcript": "hi", "expire_time": Timestamp(seconds=9)}},
    {"file": {"url": "https://example.org/a.pdf", "filename": "a.pdf"}},
    {"file": {"inline": {"mime_type": "application/pdf", "data": b"%PDF"}}},
    {"file": {"file_id": "file-2"}},
    {"file": {"raw_json": '{"bucket":"b"}', "filename": "b.pdf"}},
    {"refusal": "No."},
    {"thinking": {"text": "Hm.", "signature": b"c2ln"}},
    {"thinking": {"signature": b"aGlkZGVu", "redacted": True}},
    {"raw_json": '{"type":"video","n":1}', "extra_json": EXTRA},
]

FULL_CHAT = chat_pb2.ChatRequest(
    model="fast",
    messages=[
        {"role": "user", "name": "ann", "parts": CONTENT, "extra_json": EXTRA},
        {
            "role": "assistant",
            "parts": [
                {
                    "audio": {
                        "id": "audio-1",
                        "data": b"pcm",
                        "format": "pcm16",
                        "transcript": "hello",
                        "expire_time": Timestamp(seconds=7),
                    },
                    "extra_json": EXTRA,
                }
            ],
            "tool_calls": [
                {"id": "c1", "name": "f", "arguments": '{"a": 1}', "extra_json": EXTRA},
                {"id": "c2", "type": "custom", "name": "g", "arguments": "free text"},
                {"id": "c3", "type": "server", "name": "h", "arguments": "x", "extra_json": EXTRA},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "parts": [{"text": "42"}]},
    ],
    tools=[
        {
            "function": {
                "name": "f",
                "description": "Finds.",
                "parameters_json": '{"z":1, "a":{}}',
                "strict": True,
            },
            "extra_json": EXTRA,
        },
        {"function": {"name": "g", "description": "d", "parameters_json": "{}", "strict": False, "extra_json": EXTRA}},
        {"raw_json": '{"type":"web_search"}', "extra_json": EXTRA},
    ],
    tool_choice={"mode": chat_pb2.TOOL_CHOICE_MODE_REQUIRED},
    parallel_tool_calls=False,
    response_format={
        "json_schema": {"name": "s", "description": "d", "schema_json": '{"type":"object"}', "strict": True}
    },
    temperature=0.0,
    top_p=0.5,
    max_tokens=10,
    max_completion_tokens=11,
    stop=["a", "b"],
    seed=12,
    reasoning={"effort": "low", "max_tokens": 100, "include": True},
    n=2,
    extra_json=EXTRA,
    top_k=3,
    min_p=0.25,
    frequency_penalty=0.5,
    presence_penalty=-0.5,
    repetition_penalty=1.5,
    logit_bias={"20": 1.0, "100": -2.5},
    logprobs=True,
    top_logprobs=4,
    user="u",
    metadata={"k": "v", "a": "b"},
    store=False,
    service_tier="flex",
    modalities=["text", "audio"],
    audio={"voice": "alloy", "format": "wav"},
    prediction_json='{"type":"content","content":"x"}',
    verbosity="low",
    safety_identifier="s",
    prompt_cache_key="p",
    prompt_cache_retention="24h",
)


def chat(**fields: object) -> chat_pb2.ChatRequest:
    """Give a short chat request with some more fields."""
    hello = {"role": "user", "parts": [{"text": "Hello"}]}
    return chat_pb2.ChatRequest(**{"model": "m", "messages": [hello], **fields})


CHAT = (
    FULL_CHAT,
    chat(tool_choice={"function_name": "f"}, response_format={"text": {}}),
    chat(
        tool_choice={
            "allowed_tools": {
                "mode": chat_pb2.TOOL_CHOICE_MODE_AUTO,
                "function_names": ["f", "g"],
                "tools_json": ['{"type":"mcp"}'],
            }
        },
        response_format={"json_object": {}},
    ),
    chat(
        tool_choice={"raw_json": '{"type":"custom"}'},
        response_format={"raw_json": '{"type":"grammar"}'},
        audio={"voice_json": '{"id":"v1"}', "format": "mp3"},
    ),
)

COMPLETION = (
    completion_pb2.CompletionRequest(
        model="m",
        prompt=[{"text": "Once"}, {"tokens": {"values": [1, 2]}}, {"raw_json": "[3,4]"}, {"raw_json": '"upon"'}],
        temperature=0.5,
        top_p=0.5,
        max_tokens=10,
        stop=["a"],
        seed=-12,
        n=2,
        suffix="end",
        echo=True,
        best_of=3,
        logprobs=0,
        extra_json=EXTRA,
        top_k=3,
        min_p=0.25,
        frequency_penalty=0.5,
        presence_penalty=-0.5,
        repetition_penalty=1.5,
        logit_bias={"20": 1.0},
        user="u",
    ),
)

EMBEDDING = (
    embedding_pb2.EmbeddingRequest(
        model="m",
        input=[{"text": "Once"}, {"tokens": {"values": [1, 2]}}, {"raw_json": '{"image":"x"}'}],
        dimensions=3,
        encoding=embedding_pb2.EMBEDDING_ENCODING_FLOAT32_LE,
        user="u",
        extra_json=EXTRA,
    ),
)
