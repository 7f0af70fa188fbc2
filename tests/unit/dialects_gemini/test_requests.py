"""Where a request goes, and its parts and tools."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from isthmusd.core.chat import ChatRequest, FilePart, ImagePart, JsonText, Message, RawTool, RefusalPart
from isthmusd.core.profile import Profile

from tests.unit.dialects_gemini.asking import CHAT, STAMP, asked, read, send, turns

Json = dict[str, Any]

FUNCTION: Json = {"type": "function", "function": {"name": "f"}}


def part(written: Json) -> tuple[Any, tuple[str, ...]]:
    """Give what becomes of one part beside a text."""
    sent = turns({"role": "user", "content": [{"type": "text", "text": "T"}, written]})
    return sent.body["contents"][0]["parts"][1:], sent.losses


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-2.5-flash", "/models/gemini-2.5-flash"),
        ("models/gemini-2.5-flash", "/models/gemini-2.5-flash"),
        ("tunedModels/mine-1", "/tunedModels/mine-1"),
        ("a/../b:c?d", "/models/a%2F..%2Fb%3Ac%3Fd"),
        ("claude@001", "/models/claude@001"),
    ],
)
def test_the_path_names_the_model(model: str, path: str) -> None:
    assert CHAT.path(model, False) == f"{path}:generateContent"
    assert CHAT.path(model, True) == f"{path}:streamGenerateContent?alt=sse"
    assert send(read(stream=True), model).path == f"{path}:streamGenerateContent?alt=sse"


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        (
            {"type": "image_url", "image_url": {"url": "data:image/webp;base64,AAAA"}},
            {"inlineData": {"mimeType": "image/webp", "data": "AAAA"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://example.com/a.PNG?x=1"}},
            {"fileData": {"fileUri": "https://example.com/a.PNG?x=1", "mimeType": "image/png"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "gs://bucket/a.jpg"}},
            {"fileData": {"fileUri": "gs://bucket/a.jpg", "mimeType": "image/jpeg"}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}},
            {"inlineData": {"mimeType": "application/pdf", "data": "AAAA"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,AAAA"}},
            {"inlineData": {"mimeType": "image/jpeg", "data": "AAAA"}},
        ),
        (
            {"type": "file", "file": {"file_id": "files/abc-1"}},
            {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc-1"}},
        ),
        (
            {"type": "video_url", "video_url": {"url": "https://youtu.be/abc"}},
            {"fileData": {"fileUri": "https://youtu.be/abc"}},
        ),
        (
            {"type": "native", "file_data": {"file_uri": "gs://b/v.mp4"}, "videoMetadata": {"fps": 2}},
            {"fileData": {"file_uri": "gs://b/v.mp4"}, "videoMetadata": {"fps": 2}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}, "media_resolution": {"level": "L"}},
            {"inlineData": {"mimeType": "image/png", "data": "AA"}, "mediaResolution": {"level": "L"}},
        ),
    ],
)
def test_parts_that_google_takes(written: Json, sent: Json) -> None:
    assert part(written) == ([sent], ())


@pytest.mark.parametrize(
    ("written", "field"),
    [
        ({"type": "image_url", "image_url": {"url": "http://example.com/a.png"}}, ""),
        ({"type": "file", "file": {"file_id": "file-openai"}}, ""),
        ({"type": "novel", "novel": 1}, ""),
        ({"type": "native", "text": "a", "novel": 1}, ""),
        ({"type": "native", "thought": True}, ""),
    ],
)
def test_parts_that_google_does_not_take_are_losses(written: Json, field: str) -> None:
    assert part(written) == ([], (f"messages[0].content[1]{field}",))


def test_members_of_parts_that_google_does_not_know_are_losses() -> None:
    file = {"type": "file", "file": {"file_data": "AAAA", "filename": "a.csv"}, "cache_control": {"type": "ephemeral"}}

    sent, losses = part(file)

    assert sent == [{"inlineData": {"mimeType": "text/csv", "data": "AAAA"}}]
    assert losses == ("messages[0].content[1].cache_control", "messages[0].content[1].file.filename")


def test_urls_stay_out_where_the_host_does_not_fetch() -> None:
    content = (
        ImagePart(url="https://example.com/a.png"),
        FilePart(url="https://example.com/a.pdf"),
        ImagePart(url="https://www.youtube.com/watch?v=1"),
        RefusalPart(text="No"),
    )
    request = ChatRequest(model="m", messages=(Message(role="user", content=content),))

    sent = send(request, profile=Profile(fetches=frozenset({"file"})))

    uris = [part.get("fileData", {}).get("fileUri") for part in sent.body["contents"][0]["parts"]]
    assert uris == ["https://example.com/a.pdf", "https://www.youtube.com/watch?v=1", None]
    assert sent.losses == ("messages[0].content[0]",)


@pytest.mark.parametrize(
    ("details", "resolution", "lost"),
    [
        (["low", "low"], "MEDIA_RESOLUTION_LOW", 0),
        (["high"], "MEDIA_RESOLUTION_HIGH", 0),
        (["auto", None], None, 0),
        (["low", "high"], None, 2),
        (["low", "auto"], None, 1),
        (["novel"], None, 1),
    ],
)
def test_detail_of_images_is_one_for_all(details: list[str | None], resolution: str | None, lost: int) -> None:
    url = "data:image/png;base64,AAAA"
    content = [{"type": "image_url", "image_url": {"url": url, "detail": detail}} for detail in details]

    sent = turns({"role": "user", "content": content})

    assert sent.body.get("generationConfig", {}).get("mediaResolution") == resolution
    assert len(sent.losses) == lost


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ({}, {"type": "object", "properties": {}}),
        ({"properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}),
        ({"type": "object"}, {"type": "object"}),
        (True, True),
    ],
)
def test_schemas_say_that_they_are_of_objects(written: Any, sent: Any) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": written}}

    assert asked(tools=[tool]).body["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"] == sent


def test_functions_are_declared_with_their_schema_as_it_was_written() -> None:
    schema = {"type": "object", "properties": {"b": {"maximum": 12345678901234567890}, "a": {}}, "$defs": {}}
    tool = {"type": "function", "function": {"name": "f", "description": "F", "parameters": schema}}

    sent = asked(tools=[tool, FUNCTION, {**FUNCTION, "cache_control": {"type": "ephemeral"}}])

    empty = {"name": "f", "parametersJsonSchema": {"type": "object", "properties": {}}}
    assert sent.body["tools"] == [
        {"functionDeclarations": [{"name": "f", "description": "F", "parametersJsonSchema": schema}, empty, empty]}
    ]
    assert "toolConfig" not in sent.body
    assert sent.losses == ("tools[2].cache_control",)


@pytest.mark.parametrize(
    ("tool", "sent"),
    [
        ({"type": "google_search"}, {"googleSearch": {}}),
        ({"type": "googleSearch", "googleSearch": {}}, {"googleSearch": {}}),
        ({"type": "x", "code_execution": {}}, {"codeExecution": {}}),
        ({"type": "file_search", "file_search_store_names": ["a"]}, {"fileSearch": {"fileSearchStoreNames": ["a"]}}),
        ({"type": "native", "url_context": {}, "google_search": {}}, {"urlContext": {}, "googleSearch": {}}),
    ],
)
def test_googles_own_tools_pass(tool: Json, sent: Json) -> None:
    written = asked(tools=[FUNCTION, tool])

    assert written.body["tools"][1] == sent
    assert written.losses == ()


@pytest.mark.parametrize("json", ['{"type":"custom","custom":{"name":"x"}}', '{"type":3,"a":1}', '{"a":1}', "[]"])
def test_tools_of_others_are_losses(json: str) -> None:
    request = replace(read(), tools=(RawTool(json=JsonText(json)),))

    sent = send(request)

    assert "tools" not in sent.body
    assert sent.losses == ("tools[0]",)


def test_function_with_members_beyond_openais_is_sent_without_them() -> None:
    novel = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "novel": 1}}
    bare = {"type": "function", "function": {"name": "g", "novel": 1}}

    sent = asked(tools=[novel, bare])

    f, g = sent.body["tools"][0]["functionDeclarations"]
    assert f == {"name": "f", "parametersJsonSchema": {"type": "object"}}
    assert g == {"name": "g", "parametersJsonSchema": {"type": "object", "properties": {}}}
    assert sent.losses == ("tools[0]", "tools[1]")


def allowed(mode: str) -> Json:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [FUNCTION]}}


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (FUNCTION, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (allowed("required"), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (allowed("auto"), {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
    ],
)
def test_tool_choice(choice: Any, config: Json) -> None:
    sent = asked(tools=[FUNCTION], tool_choice=choice)

    assert sent.body["toolConfig"] == {"functionCallingConfig": config}
    assert sent.losses == ()


@pytest.mark.parametrize("choice", ["novel", {"type": "custom", "custom": {"name": "x"}}, allowed("novel")])
def test_tool_choice_that_google_lacks_is_a_loss(choice: Any) -> None:
    sent = asked(tools=[FUNCTION], tool_choice=choice)

    assert "toolConfig" not in sent.body
    assert sent.losses == ("tool_choice",)


@pytest.mark.parametrize(("choice", "losses"), [("required", ("tool_choice",)), ("auto", ())])
def test_choice_without_functions_is_left_out(choice: str, losses: tuple[str, ...]) -> None:
    sent = asked(tools=[{"type": "google_search"}], tool_choice=choice)

    assert "toolConfig" not in sent.body
    assert sent.losses == losses


def strict(*flags: bool) -> list[Json]:
    return [
        {"type": "function", "function": {"name": f"f{n}", "strict": flag, "parameters": {}}}
        for n, flag in enumerate(flags)
    ]


@pytest.mark.parametrize(
    ("flags", "choice", "mode", "losses"),
    [
        ((True, True), None, "VALIDATED", ()),
        ((True,), "auto", "VALIDATED", ()),
        ((True, False), "required", "ANY", ()),
        ((False, True), "auto", "AUTO", ("tools[1].function.strict",)),
    ],
)
def test_strict_functions(flags: tuple[bool, ...], choice: str | None, mode: str, losses: tuple[str, ...]) -> None:
    sent = asked(tools=strict(*flags), tool_choice=choice)

    assert sent.body["toolConfig"] == {"functionCallingConfig": {"mode": mode}}
    assert sent.losses == losses


@pytest.mark.parametrize("name", ["9lives", "-x", "_9lives", "__-", "plain", "_plain", "a.b:c-d"])
def test_names_that_google_refuses_are_mapped_and_back(name: str) -> None:
    sent = asked(tools=[{"type": "function", "function": {"name": name}}])
    written = sent.body["tools"][0]["functionDeclarations"][0]["name"]
    answer = {"candidates": [{"content": {"parts": [{"functionCall": {"name": written}}]}, "finishReason": "STOP"}]}

    (choice,) = CHAT.decode_response(msgspec.json.encode(answer), STAMP).choices

    assert written[0].isalpha() or written[0] == "_"
    assert choice.message.tool_calls[0].name == name
