"""Messages, parts and calls of every kind that the hub has, as chats that ask for one thing each. What stands around
messages is `asked.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from isthmusd.core.chat import (
    AudioPart,
    ChatRequest,
    Extra,
    FilePart,
    ImagePart,
    JsonText,
    Message,
    Part,
    RawPart,
    RawToolCall,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCall,
    plain_text,
)

EXTRA: Extra = (("x_note", JsonText('"n"')),)
MARK: Extra = (("cache_control", JsonText('{"type":"ephemeral"}')),)
HELLO = Message(role="user", content=plain_text("Hello"))
CALL = ToolCall(id="call_1", name="look", arguments='{"a":1}')
CALLED = Message(role="assistant", tool_calls=(CALL,))
RESULT = Message(role="tool", tool_call_id="call_1", content=plain_text("Found"))
TURNS = (HELLO, CALLED, RESULT)

PARTS: tuple[Part, ...] = (
    TextPart(text="Hi", extra=EXTRA),
    TextPart(text="Hi", extra=MARK),
    TextPart(text=" ", extra=MARK),
    ImagePart(url="https://x.example/a.png"),
    ImagePart(url="gs://bucket/a.png", detail="low"),
    ImagePart(url="ftp://x.example/a.png", detail="auto"),
    ImagePart(data_base64="iVBORw0KGgo=", mime_type="image/png", detail="high", extra=EXTRA),
    ImagePart(data_base64="QUJD", mime_type="image/tiff"),
    ImagePart(data_base64="QUJD"),
    ImagePart(file_id="file-1"),
    ImagePart(),
    AudioPart(data_base64="QUJD", format="wav", extra=EXTRA),
    AudioPart(data_base64="QUJD", format="g711"),
    FilePart(data_base64="JVBERi0=", mime_type="application/pdf", filename="a.pdf", extra=EXTRA),
    FilePart(data_base64="JVBERi0=", mime_type="application/pdf"),
    FilePart(data_base64="////", mime_type="application/x-tar"),
    FilePart(data_base64="AAAA", mime_type="video/mp4"),
    FilePart(data_base64="QUJD", mime_type="image/tiff"),
    FilePart(url="https://x.example/a.pdf"),
    FilePart(url="https://x.example/a.pdf", data_base64="JVBERi0=", mime_type="application/pdf"),
    FilePart(file_id="file-1"),
    FilePart(filename="a.pdf"),
    RefusalPart(text="No", extra=EXTRA),
    ThinkingPart(text="Hm"),
    ThinkingPart(text="Hm", signature="c2ln", extra=EXTRA),
    ThinkingPart(text="Hm", signature="EhAKBAgBGAJzaWduZWQgYnkgQ2xhdWRl"),
    ThinkingPart(redacted_data="c2VjcmV0"),
    RawPart(json=JsonText('{"type":"hologram","hologram":{}}')),
    RawPart(json=JsonText('{"type":"video_url","video_url":{"url":"https://x.example/a.mp4"}}')),
    RawPart(json=JsonText('{"type":"video_url","video_url":3}')),
    RawPart(json=JsonText('{"type":"document","source":{}}')),
    RawPart(json=JsonText('{"cachePoint":{"type":"default"}}')),
)
ROLES = ("system", "developer", "user", "assistant", "tool", "function", "critic")

CALLS: tuple[ToolCall | RawToolCall, ...] = (
    ToolCall(id="call_1", name="look", arguments="not json"),
    ToolCall(id="call_1", name="look", arguments="[1]"),
    ToolCall(id="call_1", name="look", arguments="", extra=EXTRA),
    ToolCall(id="call_1", name="look", arguments="{}", extra=MARK),
    RawToolCall(json=JsonText('{"type":"hologram"}')),
    RawToolCall(json=JsonText('{"type":"custom"}')),
    RawToolCall(json=JsonText('{"type":"custom","id":"c","custom":{"name":"sing","input":"la"}}')),
    RawToolCall(json=JsonText('{"type":"function","id":"c","function":{"name":"look","arguments":"{}","x":1}}')),
)

WITH_IMAGES = (("images", JsonText('[{"image_url":{"url":"https://x.example/a.png"}}]')),)

MESSAGES: tuple[Message, ...] = (
    *(Message(role=role, content=plain_text("Hi"), name="Ada", extra=EXTRA) for role in ROLES),
    *(Message(role=role, content=plain_text("Hi"), extra=MARK) for role in ROLES),
    Message(role="user"),
    Message(role="user", extra=MARK),
    Message(role="assistant"),
    Message(role="assistant", content=plain_text("To go on with ")),
    Message(role="assistant", refusal="No", audio=JsonText('{"id":"a"}')),
    Message(role="assistant", refusal=" "),
    Message(role="assistant", content=(ThinkingPart(text="Hm", signature="c2ln"),), extra=MARK),
    *(
        Message(role="assistant", content=plain_text("Hi"), extra=((name, JsonText(json)),))
        for name, json in (
            ("function_call", '{"name":"look","arguments":"{}"}'),
            ("function_call", "3"),
            ("content_blocks", "3"),
            ("tool_plan", '"look"'),
            ("annotations", "[1]"),
            ("citations", "[]"),
        )
    ),
    Message(role="assistant", content=plain_text("Hi"), extra=WITH_IMAGES),
    Message(role="tool", content=plain_text("Found"), tool_call_id="nobody", extra=(("is_error", JsonText("true")),)),
    Message(role="tool", content=plain_text("Found")),
)


def chats() -> Iterator[ChatRequest]:
    """Give a chat for each part in each role, each message alone and after others, and each call."""
    for role in ROLES:
        for part in PARTS:
            message = Message(role=role, content=(part,), tool_call_id="call_1" if role == "tool" else None)
            yield _chat(HELLO, CALLED, message)
    for message in MESSAGES:
        yield _chat(message)
        yield _chat(HELLO, message)
        yield _chat(HELLO, CALLED, replace(message, role="tool"))
    for call in CALLS:
        yield _chat(HELLO, replace(CALLED, tool_calls=(call,)))
    yield _chat(
        HELLO, CALLED, Message(role="tool", content=(TextPart(text="a"), ThinkingPart(text="b", signature="c")))
    )
    yield _chat(HELLO, *(Message(role="user", content=(part,)) for part in PARTS if isinstance(part, ImagePart)))
    yield _chat(*TURNS)
    yield _chat(*TURNS, HELLO)
    yield _chat(*TURNS, Message(role="user", content=PARTS))
    yield _chat(Message(role="system", content=plain_text("Be brief")))


def everything() -> tuple[Message, ...]:
    """Give one conversation with all of it."""
    all_parts = tuple(Message(role=role, content=PARTS) for role in ("system", "user", "assistant"))
    return (*all_parts, *MESSAGES, replace(CALLED, tool_calls=CALLS), replace(RESULT, content=PARTS))


def _chat(*messages: Message) -> ChatRequest:
    return ChatRequest(model="m", messages=messages)
