"""Answers and events that use every member of the hub at least once. What they become on the wire is not here."""

from __future__ import annotations

from isthmusd.core.chat import (
    AudioPart,
    ChatResponse,
    Choice,
    Extra,
    FilePart,
    ImagePart,
    JsonText,
    Message,
    RawPart,
    RawToolCall,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCall,
    plain_text,
)
from isthmusd.core.completion import CompletionChoice, CompletionResponse
from isthmusd.core.embedding import Embedding, EmbeddingResponse
from isthmusd.core.events import (
    AudioDelta,
    ChoiceEnd,
    End,
    Event,
    LogprobsDelta,
    RawDelta,
    RefusalDelta,
    RoleDelta,
    StreamStart,
    TextDelta,
    ThinkingDelta,
    ThinkingSignature,
    ToolCallDelta,
    ToolCallStart,
    UsageReport,
)
from isthmusd.core.usage import Usage

EXTRA: Extra = (("x", JsonText('{"b":1,"a":2.50}')), ("y", JsonText("null")))
EXTRA_JSON = '{"x":{"b":1,"a":2.50},"y":null}'

USAGE = Usage(
    prompt_tokens=1,
    completion_tokens=2,
    total_tokens=3,
    cached_tokens=4,
    cache_write_tokens=5,
    prompt_audio_tokens=6,
    reasoning_tokens=7,
    completion_audio_tokens=8,
    accepted_prediction_tokens=9,
    rejected_prediction_tokens=10,
    estimated=True,
    extra=(
        ("cost", "0.10"),
        ("prompt_tokens_details", '{"image_tokens":11,"text_tokens":12,"tool_use_tokens":13,"video_tokens":1.5}'),
        ("completion_tokens_details", '{"text_tokens":14,"image_tokens":-1}'),
    ),
)
TOP = '[{"token":"a","logprob":-0.5,"bytes":[97],"rank":1},{"token":"b","logprob":-1.5,"bytes":null}]'
LOGPROBS = JsonText(
    f'{{"content":[{{"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":{TOP},"token_ids":[7,8]}}],'
    '"refusal":[{"token":"n","logprob":null}],"z":1}'
)
LEGACY_LOGPROBS = JsonText(
    '{"tokens":["a","b"],"token_logprobs":[null,-1.5],"top_logprobs":[null,{"c":-2.5,"b":-1.5}],"text_offset":[0,1],"z":1}'
)

CONTENT = (
    TextPart(text="Look:", extra=EXTRA),
    ImagePart(url="https://example.org/a.png", detail="high"),
    ImagePart(data_base64="iVBORw==", mime_type="image/png"),
    ImagePart(file_id="file-1", extra=EXTRA),
    AudioPart(data_base64="UklGRg==", format="wav", extra=EXTRA),
    FilePart(url="https://example.org/a.pdf", filename="a.pdf"),
    FilePart(data_base64="JVBERg==", mime_type="application/pdf", filename="b.pdf"),
    FilePart(file_id="file-2", extra=EXTRA),
    RefusalPart(text="No.", extra=EXTRA),
    ThinkingPart(text="Hm.", signature="c2ln", extra=EXTRA),
    ThinkingPart(redacted_data="aGlkZGVu"),
    RawPart(json=JsonText('{"type":"video"}')),
)
CHAT = ChatResponse(
    id="chatcmpl-1",
    model="gpt",
    created_at=1_700_000_000,
    choices=(
        Choice(
            index=0,
            message=Message(
                role="assistant",
                content=CONTENT,
                name="bot",
                tool_calls=(
                    ToolCall(id="c1", name="f", arguments='{"a": 1}', extra=EXTRA),
                    RawToolCall(json=JsonText('{"id":"c2","type":"custom","custom":{"name":"g","input":"i"},"y":1}')),
                    RawToolCall(json=JsonText('{"type":"server","arguments":"h"}')),
                    RawToolCall(
                        json=JsonText('{"id":"c4","type":"function","function":{"name":"f","arguments":"i","z":1}}')
                    ),
                ),
                tool_call_id="c0",
                refusal="Never.",
                audio=JsonText('{"id":"a1","data":"cGNt","transcript":"hi","expires_at":9,"y":1}'),
                extra=EXTRA,
            ),
            finish_reason="stop",
            native_finish_reason="end_turn",
            logprobs=LOGPROBS,
            extra=EXTRA,
        ),
        Choice(index=1, message=Message(role="assistant", content=plain_text("Hi")), finish_reason=None),
    ),
    usage=USAGE,
    system_fingerprint="fp",
    service_tier="default",
    extra=EXTRA,
)
COMPLETION = CompletionResponse(
    id="cmpl-1",
    model="gpt",
    created_at=1_700_000_000,
    choices=(
        CompletionChoice(index=0, text="a", finish_reason="length", logprobs=LEGACY_LOGPROBS, extra=EXTRA),
        CompletionChoice(index=1, text="b", finish_reason=None),
    ),
    usage=USAGE,
    system_fingerprint="fp",
    extra=EXTRA,
)
EMBEDDING = EmbeddingResponse(
    model="embed",
    embeddings=(
        Embedding(index=0, values=(0.5, -1.0), extra=EXTRA),
        Embedding(index=1, base64="AAAAPwAAgL8="),
        Embedding(index=2, extra=(("embedding", JsonText("[1,-1]")), *EXTRA)),
        Embedding(index=3, values=()),
    ),
    usage=Usage(prompt_tokens=3, total_tokens=3),
    extra=EXTRA,
)
EVENTS: tuple[Event, ...] = (
    StreamStart(id="s1", model="gpt", created_at=7, system_fingerprint="fp", service_tier="default", extra=EXTRA),
    RoleDelta(choice=0, role="assistant"),
    RoleDelta(choice=1, role="critic"),
    TextDelta(choice=1, text="Hello"),
    ThinkingDelta(choice=1, text="Hm"),
    ThinkingSignature(choice=1, signature="c2ln"),
    ThinkingSignature(choice=1, redacted_data="aGk="),
    RefusalDelta(choice=1, text="No"),
    AudioDelta(choice=1, json=JsonText('{"id":"a1","data":"cGNt","transcript":"hi","expires_at":9}')),
    AudioDelta(choice=1, json=JsonText('{"data":"cGNt","z":1}')),
    AudioDelta(choice=1, json=JsonText('{"data":"c"}')),
    ToolCallStart(choice=1, index=2, id="c1", name="f", extra=(("type", JsonText('"custom"')), *EXTRA)),
    ToolCallStart(choice=1, index=3, id="c2", name="g", extra=EXTRA),
    ToolCallDelta(choice=1, index=2, arguments='{"a":'),
    LogprobsDelta(choice=1, json=LOGPROBS),
    LogprobsDelta(choice=1, json=LEGACY_LOGPROBS),
    RawDelta(choice=1, extra=EXTRA),
    RawDelta(choice=None, extra=EXTRA),
    RawDelta(choice=None, extra=()),
    ChoiceEnd(choice=1, finish_reason="tool_calls", native_finish_reason="tool_use", extra=EXTRA),
    UsageReport(usage=USAGE),
    End(),
)
