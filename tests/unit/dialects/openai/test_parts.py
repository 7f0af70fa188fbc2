"""Every kind of content part, in and out again, one by one: what generated values reach only by luck."""

from __future__ import annotations

import msgspec
import pytest
from isthmusd.core.chat import ChatRequest, FilePart, ImagePart, Message, Part, RefusalPart, TextPart, ThinkingPart
from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation
from isthmusd.dialects.registry import called, served

PARTS = (
    '{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}',
    '{"type":"refusal","refusal":"no"}',
    '{"type":"image_url","image_url":{"url":"https://example.com/a.png","detail":"low"}}',
    '{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}',
    '{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}',
    '{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}',
    '{"type":"file","file":{"file_id":"file-1"}}',
    '{"type":"file","file":{"file_data":"data:application/pdf;base64,AAAA","filename":"a.pdf"}}',
    '{"type":"video_url","video_url":{"url":"https://example.com/a.mp4"}}',
    '{"type":"image_url","image_url":{"url":"https://example.com/a.png","vendor":1}}',
)


def written(message: Message) -> object:
    request = ChatRequest(model="m", messages=(message,))
    body = called("openai", Operation.CHAT).encode_request(request, "m", Profile()).body
    return msgspec.json.decode(body)["messages"][0]


@pytest.mark.parametrize("part", PARTS)
def test_a_part_comes_out_as_it_went_in(part: str) -> None:
    body = f'{{"model":"m","messages":[{{"role":"assistant","content":[{part},{{"type":"text","text":"b"}}]}}]}}'
    request = served("openai", Operation.CHAT).decode_request(body.encode())

    encoded = called("openai", Operation.CHAT).encode_request(request, "m", Profile())

    assert encoded.losses == ()
    assert msgspec.json.decode(encoded.body) == msgspec.json.decode(body)


def test_an_image_may_be_given_as_a_bare_url() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":"https://e.com/a"}]}]}'

    request = served("openai", Operation.CHAT).decode_request(body)

    assert request.messages[0].content == (ImagePart(url="https://e.com/a"),)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ((ThinkingPart(text="hm"),), None),
        ((ThinkingPart(text="hm"), TextPart(text="a")), "a"),
        ((RefusalPart(text="no"),), [{"type": "refusal", "refusal": "no"}]),
        ((TextPart(text="a"), FilePart(filename="a.pdf")), [{"type": "text", "text": "a"}]),
    ],
)
def test_content_that_has_no_part_of_its_own_in_openais_shape(content: tuple[Part, ...], expected: object) -> None:
    message = written(Message(role="assistant", content=content))

    assert isinstance(message, dict)
    assert message.get("content") == expected
