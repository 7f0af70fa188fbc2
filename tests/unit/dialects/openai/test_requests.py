"""Requests through the hub: what is refused and how, what is kept, and what becomes a loss."""

from __future__ import annotations

import msgspec
import pytest
from isthmusd.core.chat import (
    ChatRequest,
    FilePart,
    FunctionTool,
    ImagePart,
    Message,
    RawFormat,
    RawPart,
    RawTool,
    RawToolCall,
    RawToolChoice,
    Reasoning,
    TextPart,
    ThinkingPart,
    plain_text,
)
from isthmusd.core.errors import InvalidRequest, UnsupportedFeature
from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation
from isthmusd.dialects.registry import called, identity, served

PROFILE = Profile()
PLAIN = (Message(role="user", content=plain_text("hi")),)


def decode(body: str, operation: Operation = Operation.CHAT) -> ChatRequest:
    return served("openai", operation).decode_request(body.encode())


def with_message(message: str) -> Message:
    return decode(f'{{"model":"m","messages":[{message}]}}').messages[0]


def with_part(part: str) -> object:
    content = with_message(f'{{"role":"user","content":[{part}]}}').content
    assert content is not None
    return content[0]


def encode(request: ChatRequest, profile: Profile = PROFILE) -> tuple[dict[str, object], list[str]]:
    encoded = called("openai", Operation.CHAT).encode_request(request, "up", profile)
    return msgspec.json.decode(encoded.body), [loss.field for loss in encoded.losses]


@pytest.mark.parametrize(
    ("member", "param"),
    [
        ('"temperature":"0"', "temperature"),
        ('"stream":"yes"', "stream"),
        ('"messages":{}', "messages"),
        ('"messages":[]', "messages"),
        ('"messages":["hi"]', "messages[0]"),
        ('"messages":[{}]', "messages[0].role"),
        ('"messages":[{"role":"user","content":7}]', "messages[0].content"),
        ('"messages":[{"role":"user"},{"role":"user","content":[{}]}]', "messages[1].content[0].type"),
        ('"messages":[{"role":"user","content":[{"type":"text"}]}]', "messages[0].content[0].text"),
        (
            '"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]',
            "messages[0].content[0].image_url.url",
        ),
        (
            '"messages":[{"role":"assistant","tool_calls":[{"id":"a","function":{}}]}]',
            "messages[0].tool_calls[0].function.name",
        ),
        ('"tools":[{"type":"function"}]', "tools[0].function"),
        ('"tools":[{"function":{}}]', "tools[0].type"),
        ('"tool_choice":7', "tool_choice"),
        ('"tool_choice":{"type":"function","function":{}}', "tool_choice.function.name"),
        ('"response_format":"json"', "response_format"),
        ('"response_format":{}', "response_format.type"),
        ('"response_format":{"type":"json_schema","json_schema":{}}', "response_format.json_schema.name"),
        ('"stop":7', "stop"),
        ('"logit_bias":{"5":"x"}', "logit_bias.5"),
        ('"metadata":{"k":1}', "metadata.k"),
        ('"stream_options":{"include_usage":1}', "stream_options.include_usage"),
        ('"seed":1.5', "seed"),
        ('"model":null', "model"),
    ],
)
def test_a_bad_field_is_refused_by_its_path(member: str, param: str) -> None:
    name = member.partition(":")[0]
    members = [m for m in ('"model":"m"', '"messages":[{"role":"user"}]') if not m.startswith(name)]

    with pytest.raises(InvalidRequest) as caught:
        decode("{" + ",".join([*members, member]) + "}")

    assert caught.value.param == param
    assert repr(param) in caught.value.message


def test_nulls_are_unset() -> None:
    body = '{"model":"m","messages":[{"role":"user","content":"hi"}],"stop":null,"n":null,"tools":null,"metadata":null}'

    assert decode(body) == ChatRequest(model="m", messages=PLAIN)


def test_legacy_and_vendor_fields_are_kept_as_they_were_written() -> None:
    body = '{"model":"m","functions":[{"b":1.0, "a":1}],"messages":[{"role":"user","function_call":{"z" :1}}],"x":null}'

    request = decode(body)

    assert request.extra == (("functions", '[{"b":1.0, "a":1}]'), ("x", "null"))
    assert request.messages[0].extra == (("function_call", '{"z" :1}'),)


def test_a_single_stop_is_a_list_of_one() -> None:
    assert decode('{"model":"m","messages":[{"role":"user"}],"stop":"x"}').sampling.stop == ("x",)


@pytest.mark.parametrize(
    "part",
    [
        '{"type":"image_url","image_url":{"url":"u","x":1}}',
        '{"type":"input_audio","input_audio":{"data":"","format":"wav","x":1}}',
        '{"type":"file","file":{"file_id":"f","x":1}}',
        '{"type":"thinking","thinking":{}}',
        '{"type":"video_url", "video_url":1.0}',
    ],
)
def test_a_part_that_the_hub_has_no_place_for_stays_whole(part: str) -> None:
    assert with_part(part) == RawPart(json=part)  # pyright: ignore[reportArgumentType]


def test_other_ways_to_write_a_part_are_understood() -> None:
    assert with_part('{"type":"image_url","image_url":"https://x"}') == ImagePart(url="https://x")
    assert with_part('{"type":"thinking","thinking":"hm"}') == ThinkingPart(text="hm")
    assert with_part('{"type":"thinking","thinking":[{"type":"text","text":"h"},{"type":"text","text":"m"}]}') == (
        ThinkingPart(text="hm")
    )
    assert with_part('{"type":"file","file":{"file_data":"QUJD"}}') == FilePart(data_base64="QUJD")
    assert with_part('{"type":"image_url","image_url":{"url":"data:image/png,x"}}') == ImagePart(url="data:image/png,x")


@pytest.mark.parametrize(
    ("call", "kept"),
    [
        ('{"id":"c","type":"custom","custom":{"input":"x"}}', True),
        ('{"id":"c","type":"function","function":{"name":"f","arguments":"","x":1}}', True),
        ('{"id":"c","function":{"name":"f","arguments":{"a" :1}}}', False),
    ],
)
def test_tool_calls_of_other_kinds_stay_whole(call: str, kept: bool) -> None:
    (read,) = with_message(f'{{"role":"assistant","tool_calls":[{call}]}}').tool_calls

    assert isinstance(read, RawToolCall) is kept
    assert getattr(read, "json", call) == call
    assert getattr(read, "arguments", '{"a" :1}') == '{"a" :1}'


def test_tools_and_choices_with_unknown_members_inside_stay_whole() -> None:
    tool = '{"type":"function","function":{"name":"f","x":1}}'
    choice = '{"type":"function","function":{"name":"f"},"x":1}'
    form = '{"type":"json_schema","json_schema":{"name":"n","x":1}}'

    request = decode(
        f'{{"model":"m","messages":[{{"role":"user"}}],"tools":[{tool}],"tool_choice":{choice},"response_format":{form}}}'
    )

    assert request.tools == (RawTool(json=tool),)  # pyright: ignore[reportArgumentType]
    assert request.tool_choice == RawToolChoice(json=choice)  # pyright: ignore[reportArgumentType]
    assert request.response_format == RawFormat(json=form)  # pyright: ignore[reportArgumentType]


def test_reasoning_of_compatible_servers_becomes_thinking() -> None:
    for name in ("reasoning", "reasoning_content"):
        message = with_message(f'{{"role":"assistant","{name}":"hm","content":"hi"}}')
        assert message.content == (ThinkingPart(text="hm"), TextPart(text="hi"))

    assert with_message('{"role":"assistant","reasoning":{"x":1}}').extra == (("reasoning", '{"x":1}'),)
    assert with_message('{"role":"assistant","reasoning":"","content":"hi"}').content == plain_text("hi")


def test_what_the_wire_cannot_carry_is_a_loss() -> None:
    request = ChatRequest(
        model="m",
        messages=(
            Message(role="user", content=(TextPart(text="a"), ImagePart(file_id="f"), FilePart(url="u"))),
            Message(
                role="assistant",
                content=(ThinkingPart(text="hm", signature="s"), ThinkingPart(redacted_data="r")),
                tool_calls=(),
            ),
        ),
        reasoning=Reasoning(max_tokens=7, include=False),
    )

    body, losses = encode(request)

    assert losses == [
        "messages[0].content[1]",
        "messages[0].content[2].url",
        "messages[1].content[0].signature",
        "messages[1].content[1].redacted_data",
        "reasoning.max_tokens",
        "reasoning.include",
    ]
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
        {"role": "assistant", "content": None, "reasoning_content": "hm"},
    ]


def test_thinking_between_other_parts_leaves_them_in_order() -> None:
    parts = (ThinkingPart(text="a"), TextPart(text="b"), ThinkingPart(text="c"), FilePart(data_base64="QQ=="))
    request = ChatRequest(model="m", messages=(Message(role="assistant", content=parts),))

    body, losses = encode(request)

    file = {"type": "file", "file": {"file_data": "QQ=="}}
    assert body["messages"] == [
        {"role": "assistant", "content": [{"type": "text", "text": "b"}, file], "reasoning_content": "ac"}
    ]
    assert losses == []


def test_a_host_that_takes_no_unknown_field_gets_none() -> None:
    request = ChatRequest(model="m", messages=PLAIN, stream=True, extra=(("x", "1"), ("stream_options", '{"y":1}')))  # pyright: ignore[reportArgumentType]

    body, losses = encode(request, Profile(accepts_unknown_fields=False, accepts_stream_options=False))

    assert losses == ["x", "stream_options"]
    assert set(body) == {"model", "messages", "stream"}


def test_usage_of_streams_is_always_asked_for() -> None:
    body, _ = encode(ChatRequest(model="m", messages=PLAIN, stream=True))

    assert body["stream_options"] == {"include_usage": True}
    assert body["model"] == "up"


def test_images_without_a_type_are_taken_for_png_and_tools_keep_their_schema_text() -> None:
    schema = '{"z":1.0,"a":[1,  2]}'
    request = ChatRequest(
        model="m",
        messages=(Message(role="user", content=(ImagePart(data_base64="QQ=="),)),),
        tools=(FunctionTool(name="f", parameters=schema),),  # pyright: ignore[reportArgumentType]
    )

    encoded = called("openai", Operation.CHAT).encode_request(request, "m", Profile())

    assert b"data:image/png;base64,QQ==" in encoded.body
    assert schema.encode() in encoded.body


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [('"a"', ("a",)), ('["a","b"]', ("a", "b")), ("[1,2]", ((1, 2),)), ('[[1],"b"]', ((1,), "b")), ('""', ("",))],
)
def test_every_form_of_prompt_is_read(prompt: str, prompts: object) -> None:
    request = served("openai", Operation.COMPLETION).decode_request(f'{{"model":"m","prompt":{prompt}}}'.encode())

    assert request.prompts == prompts


@pytest.mark.parametrize(
    ("prompt", "param"),
    [
        ("null", "prompt"),
        ("7", "prompt"),
        ("[]", "prompt"),
        ('[1,"a"]', "prompt"),
        ('["a",true]', "prompt[1]"),
        ('["a",["b"]]', "prompt[1]"),
        ('["a",{}]', "prompt[1]"),
    ],
)
def test_a_bad_prompt_is_refused(prompt: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        served("openai", Operation.COMPLETION).decode_request(f'{{"model":"m","prompt":{prompt}}}'.encode())

    assert caught.value.param == param


@pytest.mark.parametrize("operation", [Operation.RESPONSES, Operation.MODERATION])
def test_what_only_passes_through_cannot_be_translated(operation: Operation) -> None:
    half = called("openai", operation)

    assert half.path("m", True) == f"/{operation.value.removesuffix('s') + 's'}"
    with pytest.raises(UnsupportedFeature):
        served("openai", operation).decode_request(b"{}")
    with pytest.raises(UnsupportedFeature):
        half.encode_request(None, "m", Profile())


def test_unknown_dialects_and_operations_are_unsupported() -> None:
    for half in (served, called):
        with pytest.raises(UnsupportedFeature):
            half("openai", Operation.FORWARD)
        with pytest.raises(UnsupportedFeature):
            half("morse", Operation.CHAT)
    assert identity("morse", Operation.CHAT) is None


def test_media_that_openai_takes_in_no_such_form_is_a_loss() -> None:
    parts = (TextPart(text="see"), ImagePart(file_id="file-1"), FilePart(url="https://example.com/a.pdf"))

    body, losses = encode(ChatRequest(model="m", messages=(Message(role="user", content=parts),)))

    assert len(losses) == 2
    assert "example.com" not in str(body)
    assert "file-1" not in str(body)
