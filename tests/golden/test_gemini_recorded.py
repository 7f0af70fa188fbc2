"""Recorded traffic of Google's generateContent API: what we would have sent, and what its answers become.

A small reader turns a recorded request back into a canonical one; it knows the shapes in the recordings only.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from isthmusd.core.call import Stamp
from isthmusd.core.chat import (
    ChatRequest,
    Extra,
    FilePart,
    FunctionTool,
    ImagePart,
    JsonSchemaFormat,
    Message,
    Part,
    RawTool,
    Reasoning,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
    ToolChoiceFunction,
    ToolChoiceMode,
)
from isthmusd.core.collect import collect_chat
from isthmusd.core.errors import KeyRejected, Overloaded, Rejected, Throttled
from isthmusd.core.events import End, Event
from isthmusd.core.headers import collect_headers
from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation
from isthmusd.dialects import gemini, openai

from tests.golden.recorded import Recorded, cases, differences, judge, known_losses, quoted_errors, recorded, written

Json = Any

CHAT = gemini.CALLED[Operation.CHAT]
OPENAI = openai.SERVED[Operation.CHAT]
STAMP = Stamp(id="0stamp0", created_at=1_700_000_000)
MODES = {"AUTO": "auto", "NONE": "none", "ANY": "required"}
METHODS = (":generateContent", ":streamGenerateContent")


def chats() -> list[Recorded]:
    calls = [*recorded("gemini"), *recorded("vertex")]
    return [call for call in calls if urlsplit(call.url).path.endswith(METHODS)]


def requests() -> Iterator[tuple[str, str, Json]]:
    """Name, model and body of each recorded request."""
    for call in chats():
        model = urlsplit(call.url).path.rpartition("/")[2].partition(":")[0]
        yield call.name, model, msgspec.json.decode(call.request)
    for name, case in cases("google"):
        for kind in ("request", "followup-request"):
            if kind in case:
                yield f"{name}/{kind}", case[kind].get("model", "gemini-2.5-flash"), case[kind]


def test_requests_are_what_the_providers_own_clients_sent() -> None:
    known = known_losses("gemini")
    unknown: list[str] = []
    for name, model, native in requests():
        vertex = "vertex" in name
        encoded = CHAT.encode_request(canonical(native), model, Profile(accepts_tool_call_ids=not vertex))
        found = set(differences(normal(native), normal(msgspec.json.decode(encoded.body))))
        unknown += [f"{name}: {field}" for field in found if field not in known]
        assert encoded.losses == (), name
        assert model in encoded.path

    assert unknown == []


def test_recorded_answers_become_valid_answers_of_openai() -> None:
    check = judge()
    for name, body in whole_answers():
        answer = CHAT.decode_response(body, STAMP)
        assert check("chat", msgspec.json.decode(OPENAI.encode_response(answer))) == [], name
        assert answer.usage is not None
        assert all(choice.finish_reason is not None for choice in answer.choices)


def test_recorded_streams_become_valid_chunks_of_openai() -> None:
    check = judge()
    for name, body in streamed_answers():
        events = decoded([body])
        assert isinstance(events[-1], End), name
        encoder = OPENAI.stream_encoder(STAMP, True)
        chunks = [line for line in encoder.feed(events).split(b"\n\n") if line and b"[DONE]" not in line]
        for chunk in chunks:
            assert check("chunk", msgspec.json.decode(chunk.removeprefix(b"data: "))) == [], name
        whole = OPENAI.encode_response(collect_chat(events))
        assert check("chat", msgspec.json.decode(whole)) == [], name


def test_recorded_streams_read_the_same_however_they_are_cut() -> None:
    chance = random.Random(7)
    for name, body in streamed_answers():
        expected = decoded([body])
        for _ in range(8):
            cuts = sorted(chance.sample(range(len(body)), min(9, len(body) - 1)))
            pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
            assert decoded(pieces) == expected, name


def test_the_text_after_the_first_finish_is_kept() -> None:
    body = next(call.answer for call in chats() if "two_terminal_stream" in call.name)

    answer = collect_chat(decoded([body]))

    (choice,) = answer.choices
    assert choice.message.content is not None
    assert choice.finish_reason == "stop"
    (text,) = choice.message.content
    assert isinstance(text, TextPart)
    assert text.text.startswith("The first number is 121932631112635269.")
    assert answer.usage is not None
    assert answer.usage.total_tokens == 969
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (665, 304)
    (extra,) = choice.message.extra
    assert len(msgspec.json.decode(extra[1])["google"]["parts"]) == 4


def test_recorded_errors_have_their_kind() -> None:
    found = {
        call.name.rpartition("/")[2]: CHAT.decode_error(call.status, collect_headers(call.headers.items()), call.answer)
        for call in chats()
        if call.status != 200
    }

    missing = next(error for name, error in found.items() if "nonexistent_model" in name)
    rejected = next(error for name, error in found.items() if "auth_rejection" in name)

    assert isinstance(missing, Rejected)
    assert (missing.http_status, missing.code) == (404, "model_not_found")
    assert "gemini-nonexistent-rig-test is not found" in missing.message
    assert isinstance(rejected, KeyRejected)
    assert rejected.http_status == 401


def test_reported_errors_have_their_kind() -> None:
    errors = {
        (entry["provider"], entry["status"]): CHAT.decode_error(entry["status"], {}, msgspec.json.encode(entry["body"]))
        for entry in [*quoted_errors("gemini"), *quoted_errors("vertex")]
        if entry["status"] != 200
    }

    assert isinstance(errors["gemini", 429], Throttled)
    assert errors["gemini", 429].retry_after_s == 47
    assert isinstance(errors["vertex", 429], Throttled)
    assert not any(isinstance(error, Overloaded) for error in errors.values())


def test_a_reported_block_is_a_refusal_whole_and_streamed() -> None:
    (body,) = (msgspec.json.encode(entry["body"]) for entry in quoted_errors("gemini") if entry["status"] == 200)

    whole = CHAT.decode_response(body, STAMP)
    streamed = collect_chat(decoded([b"data: " + body + b"\n\n"]))

    assert streamed == whole
    assert whole.choices[0].finish_reason == "content_filter"
    assert whole.choices[0].message.refusal is not None


def whole_answers() -> Iterator[tuple[str, bytes]]:
    for call in chats():
        if call.status == 200 and ":generateContent" in call.url:
            yield call.name, call.answer
    for name, case in cases("google"):
        for kind in ("response", "followup-response"):
            if kind in case:
                yield f"{name}/{kind}", msgspec.json.encode(case[kind])


def streamed_answers() -> Iterator[tuple[str, bytes]]:
    for call in chats():
        if call.status == 200 and ":streamGenerateContent" in call.url:
            yield call.name, call.answer
    for name, case in cases("google"):
        for kind in ("response-streaming", "followup-response-streaming"):
            if kind in case:
                yield f"{name}/{kind}", b"".join(b"data: " + msgspec.json.encode(c) + b"\r\n\r\n" for c in case[kind])


def decoded(pieces: list[bytes]) -> list[Event]:
    decoder = CHAT.stream_decoder(STAMP, Profile())
    events = [event for piece in pieces for event in decoder.feed(piece)]
    events += decoder.close()
    assert decoder.failure is None
    return events


def canonical(native: Json) -> ChatRequest:
    config, system = native.get("generationConfig") or {}, native.get("systemInstruction")
    thinking = config.get("thinkingConfig")
    messages = [] if system is None else [Message(role="system", content=tuple(parts_of(system)))]
    for number, content in enumerate(native["contents"]):
        messages += results_of(content, messages) or [turn_of(content, number)]
    schema = config.get("responseJsonSchema")
    extra = {name: native[name] for name in ("safetySettings", "cachedContent") if native.get(name) is not None}
    return ChatRequest(
        model="",
        messages=tuple(messages),
        sampling=Sampling(
            temperature=config.get("temperature"),
            max_completion_tokens=config.get("maxOutputTokens"),
            stop=config.get("stopSequences"),
        ),
        tools=tuple(tools_of(native)),
        tool_choice=choice_of(native),
        response_format=None if schema is None else JsonSchemaFormat(name="answer", schema=written(schema)),
        reasoning=None if thinking is None else Reasoning(max_tokens=thinking["thinkingBudget"]),
        modalities=tuple(kind.lower() for kind in config.get("responseModalities", ())) or None,
        extra=tuple((name, written(value)) for name, value in extra.items()),
    )


def parts_of(content: Json) -> Iterator[Part]:
    for part in content["parts"]:
        match part:
            case {"text": text}:
                yield TextPart(text=text, extra=signature_of(part))
            case {"inlineData": {"mimeType": str(kind), "data": data}} if kind.startswith("image/"):
                yield ImagePart(data_base64=data, mime_type=kind)
            case {"inlineData": {"mimeType": kind, "data": data}}:
                yield FilePart(data_base64=data, mime_type=kind)
            case _:
                assert "functionCall" in part


def turn_of(content: Json, number: int) -> Message:
    calls = [(part["functionCall"], signature_of(part)) for part in content["parts"] if "functionCall" in part]
    return Message(
        role="assistant" if content["role"] == "model" else "user",
        content=tuple(parts_of(content)) or None,
        tool_calls=tuple(
            ToolCall(
                id=call.get("id", f"call_stamp_{number}_{place}"),
                name=call["name"],
                arguments=written(call["args"]),
                extra=extra,
            )
            for place, (call, extra) in enumerate(calls)
        ),
    )


def results_of(content: Json, before: list[Message]) -> list[Message]:
    """Results name their call, or come in the order of the calls."""
    results = [part["functionResponse"] for part in content["parts"] if "functionResponse" in part]
    if not results:
        return []
    calls = [call for call in before[-1].tool_calls if isinstance(call, ToolCall)]
    return [
        Message(role="tool", tool_call_id=call.id, content=(TextPart(text=result_text(result["response"])),))
        for call, result in zip(calls, results, strict=True)
    ]


def result_text(response: Json) -> str:
    match response:
        case {"result": str(text)}:
            return text
        case _:
            return written(response)


def tools_of(native: Json) -> Iterator[Tool]:
    for tool in native.get("tools", ()):
        for function in tool.get("functionDeclarations", ()):
            yield FunctionTool(
                name=function["name"],
                description=function["description"],
                parameters=written(json_schema(function["parameters"])),
            )
        if "functionDeclarations" not in tool:
            yield RawTool(json=written({"type": "native", **tool}))


def choice_of(native: Json) -> ToolChoice | None:
    match (native.get("toolConfig") or {}).get("functionCallingConfig"):
        case None:
            return None
        case {"allowedFunctionNames": [name]}:
            return ToolChoiceFunction(name=name)
        case {"mode": mode}:
            return ToolChoiceMode(mode=MODES[mode])
        case other:
            pytest.fail(f"a recording has an unknown choice: {other}")


def signature_of(part: Json) -> Extra:
    if "thoughtSignature" not in part:
        return ()
    return (("extra_content", written({"google": {"thought_signature": part["thoughtSignature"]}})),)


def json_schema(schema: Json) -> Json:
    """Google's older schemas are OpenAPI's with types in capitals; these use nothing else of it."""
    match schema:
        case dict():
            return {
                name: value.lower() if name == "type" and isinstance(value, str) else json_schema(value)
                for name, value in schema.items()
            }
        case list():
            return [json_schema(item) for item in schema]
        case _:
            return schema


def normal(value: Json, name: str = "") -> Json:
    """Take out what says nothing: nulls, empty objects that are options, defaults, and the older form of schemas."""
    match value:
        case {"functionDeclarations": list(functions)}:
            renamed = [
                {("parametersJsonSchema" if key == "parameters" else key): item for key, item in function.items()}
                for function in functions
            ]
            return {"functionDeclarations": [json_schema(function) for function in renamed]}
        case dict():
            members = {key: normal(item, key) for key, item in value.items()}
            return {
                key: item
                for key, item in members.items()
                if item is not None
                and (key, item) not in (("thought", False), ("generationConfig", {}), ("responseModalities", ["TEXT"]))
                and not (name == "systemInstruction" and key == "role")
            }
        case list():
            return [normal(item) for item in value]
        case _:
            return value
