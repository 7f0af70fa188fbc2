"""What a profile changes in a request, the same on both ways: bytes that pass, and requests written from the hub."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from isthmusd.core.chat import ImagePart, Message, TextPart, ThinkingPart
from isthmusd.core.profile import EarlierThinking, Profile
from isthmusd.core.request import Loss, Operation
from isthmusd.dialects.registry import called, identity, served

HELLO = '"messages":[{"role":"user","content":"hi"}]'
STRICT = Profile(
    renames={"max_completion_tokens": "max_tokens", "seed": "random_seed"},
    refuses=frozenset({"user", "n", "temperature", "logit_bias", "store", "stop", "metadata", "x_own"}),
    accepts_stream_options=False,
)
Sent = tuple[dict[str, Any], list[str]]


def passed(body: str, profile: Profile, operation: Operation = Operation.CHAT) -> Sent:
    peeked = served("openai", operation).peek(body.encode())
    way = identity("openai", operation)
    assert way is not None
    sent, losses = way.splice(body.encode(), peeked, peeked.model, profile)
    return msgspec.json.decode(sent), [loss.field for loss in losses]


def translated(body: str, profile: Profile, operation: Operation = Operation.CHAT) -> Sent:
    request = served("openai", operation).decode_request(body.encode())
    encoded = called("openai", operation).encode_request(request, request.model, profile)
    return msgspec.json.decode(encoded.body), [loss.field for loss in encoded.losses]


WAYS = pytest.mark.parametrize("way", [passed, translated])


@WAYS
@pytest.mark.parametrize(
    ("members", "sent", "lost"),
    [
        ('"max_completion_tokens":7', {"max_tokens": 7}, []),
        ('"seed":12345678901234567890123', {"random_seed": 12345678901234567890123}, []),
        ('"max_tokens":5,"max_completion_tokens":7', {"max_tokens": 5}, ["max_completion_tokens"]),
        ('"max_completion_tokens":7,"max_tokens":7', {"max_tokens": 7}, []),
        ('"max_completion_tokens":7,"max_tokens":null', {"max_tokens": 7}, []),
        ('"user":"me","top_p":0.5', {"top_p": 0.5}, ["user"]),
        ('"temperature":0.2,"n":2', {}, ["n", "temperature"]),
        ('"temperature":1,"n":1,"store":false,"logit_bias":{},"user":null,"stop":[]', {}, []),
        ('"temperature":1.0,"metadata":{}', {}, []),
        ('"store":true,"metadata":{"a":"b"},"stop":"x"', {}, ["metadata", "stop", "store"]),
        ('"x_own":[1]', {}, ["x_own"]),
        ('"stream":true,"stream_options":{"include_usage":true}', {"stream": True}, []),
    ],
)
def test_members_are_renamed_or_left_out(way: Any, members: str, sent: dict[str, Any], lost: list[str]) -> None:
    body, losses = way(f'{{"model":"m",{members},{HELLO}}}', STRICT)

    assert body == {"model": "m", **sent, **msgspec.json.decode(f"{{{HELLO}}}")}
    assert losses == lost


def test_zero_and_false_are_different_values() -> None:
    body = f'{{"model":"m",{HELLO},"logprobs":0,"frequency_penalty":false}}'
    profile = Profile(refuses=frozenset({"logprobs", "frequency_penalty"}))

    assert passed(body, profile)[1] == ["frequency_penalty", "logprobs"]


def test_every_other_byte_passes() -> None:
    body = '{ "user" : "me", "x":1.0 ,\n"max_completion_tokens" : 7, ' + HELLO + ',"model":"m","stream":true }'
    peeked = served("openai", Operation.CHAT).peek(body.encode())
    way = identity("openai", Operation.CHAT)
    assert way is not None

    sent, losses = way.splice(body.encode(), peeked, "big", replace(STRICT, accepts_stream_options=True))

    assert sent.decode() == (
        '{ "x":1.0 ,\n"max_tokens" : 7, ' + HELLO + ',"model":"big","stream":true ,'
        '"stream_options":{"include_usage":true}}'
    )
    assert losses == (Loss(field="user", reason="the provider does not accept this field"),)


@WAYS
def test_completions_and_embeddings_are_fitted_too(way: Any) -> None:
    profile = Profile(renames={"dimensions": "output_dimension"}, refuses=frozenset({"user"}))

    embedding = way('{"model":"m","input":"x","dimensions":3,"user":"me"}', profile, Operation.EMBEDDING)
    completion = way('{"model":"m","prompt":"x","user":"me"}', profile, Operation.COMPLETION)

    assert embedding == ({"model": "m", "input": "x", "output_dimension": 3}, ["user"])
    assert completion == ({"model": "m", "prompt": "x"}, ["user"])


def test_what_is_called_where_it_is_at_home_is_left_alone() -> None:
    body = '{"model":"m","input":"x","user":"me"}'

    assert passed(body, STRICT, Operation.RESPONSES) == ({"model": "m", "input": "x", "user": "me"}, [])


@pytest.mark.parametrize(
    ("profile", "messages", "passes"),
    [
        (Profile(), '[{"role":"developer","name":"n","reasoning_content":"t"}]', True),
        (Profile(accepts_developer_role=False), '[{"role":"developer","content":"x"}]', False),
        (Profile(accepts_developer_role=False), '[{"role":"user","content":"\\"developer\\""}]', True),
        (Profile(accepts_developer_role=False), '[{"role":"user","content":"x","tag":"developer"}]', True),
        (Profile(accepts_message_names=False), '[{"role":"user","content":"x","name":"me"}]', False),
        (Profile(accepts_message_names=False), '[{"role":"user","content":"x","name":null}]', True),
        (
            Profile(accepts_message_names=False),
            '[{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":""}}]}]',
            True,
        ),
        (Profile(earlier_thinking=EarlierThinking.NONE), '[{"role":"assistant","reasoning_content":"t"}]', False),
        (Profile(earlier_thinking=EarlierThinking.NONE), '[{"role":"assistant","thinking_blocks":[]}]', False),
        (Profile(earlier_thinking=EarlierThinking.NONE), '[{"role":"assistant","reasoning_content":null}]', True),
        (Profile(earlier_thinking=EarlierThinking.BLOCKS), '[{"role":"assistant","thinking_blocks":[]}]', True),
        (
            Profile(fetches=frozenset()),
            '[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y.png"}}]}]',
            False,
        ),
        (
            Profile(fetches=frozenset()),
            '[{"role":"user","content":[{"type":"image_url","image_url":"https://x/y.png"}]}]',
            False,
        ),
        (
            Profile(fetches=frozenset()),
            '[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,QQ=="}}]}]',
            True,
        ),
        (Profile(fetches=frozenset()), '[{"role":"user","content":"\\"image_url\\""}]', True),
        (Profile(fetches=frozenset()), '[{"role":"user","content":"x","image_url":1}]', True),
        (Profile(fetches=frozenset()), '[{"role":"user","content":[{"type":"image_url"}]}]', True),
        # What is no sound message is the target's to judge.
        (Profile(accepts_developer_role=False), '[{"role":["developer"]}]', True),
    ],
)
def test_messages_are_written_anew_only_where_the_target_needs_it(
    profile: Profile, messages: str, passes: bool
) -> None:
    body = f'{{"model":"m","messages":{messages}}}'.encode()
    peeked = served("openai", Operation.CHAT).peek(body)
    way = identity("openai", Operation.CHAT)
    assert way is not None

    assert way.can_pass(body, peeked, profile) is passes


def test_other_calls_than_chats_always_pass() -> None:
    body = b'{"model":"m","input":"\\"developer\\""}'
    way = identity("openai", Operation.EMBEDDING)
    assert way is not None

    assert way.can_pass(body, served("openai", Operation.EMBEDDING).peek(body), Profile(accepts_developer_role=False))


def test_roles_and_names_are_written_as_the_target_takes_them() -> None:
    profile = Profile(accepts_developer_role=False, accepts_message_names=False)
    body = '{"model":"m","messages":[{"role":"developer","content":"d"},{"role":"user","content":"x","name":"me"}]}'

    sent, losses = translated(body, profile)

    assert sent["messages"] == [{"role": "system", "content": "d"}, {"role": "user", "content": "x"}]
    assert losses == ["messages[1].name"]


THOUGHTS = (
    ThinkingPart(text="a", signature="s"),
    ThinkingPart(redacted_data="r"),
    TextPart(text="said"),
)


@pytest.mark.parametrize(
    ("form", "written", "lost"),
    [
        (EarlierThinking.NONE, {"content": "said"}, ["messages[0].content"]),
        (
            EarlierThinking.REASONING_CONTENT,
            {"content": "said", "reasoning_content": "a"},
            ["messages[0].content[0].signature", "messages[0].content[1].redacted_data"],
        ),
        (
            EarlierThinking.REASONING,
            {"content": "said", "reasoning": "a"},
            ["messages[0].content[0].signature", "messages[0].content[1].redacted_data"],
        ),
        (
            EarlierThinking.BLOCKS,
            {
                "content": "said",
                "reasoning_content": "a",
                "thinking_blocks": [
                    {"type": "thinking", "thinking": "a", "signature": "s"},
                    {"type": "redacted_thinking", "data": "r"},
                ],
            },
            [],
        ),
        (
            EarlierThinking.PARTS,
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "a"}], "signature": "s"},
                    {"type": "text", "text": "said"},
                ]
            },
            ["messages[0].content[1]"],
        ),
    ],
)
def test_earlier_thinking_goes_where_the_target_takes_it(
    form: EarlierThinking, written: dict[str, Any], lost: list[str]
) -> None:
    request = served("openai", Operation.CHAT).decode_request(f'{{"model":"m",{HELLO}}}'.encode())
    request = replace(request, messages=(Message(role="assistant", content=THOUGHTS),))

    encoded = called("openai", Operation.CHAT).encode_request(request, "m", Profile(earlier_thinking=form))

    assert msgspec.json.decode(encoded.body)["messages"] == [{"role": "assistant", **written}]
    assert [loss.field for loss in encoded.losses] == lost


@pytest.mark.parametrize("form", EarlierThinking)
def test_without_thinking_there_is_nothing_to_lose(form: EarlierThinking) -> None:
    sent, losses = translated(f'{{"model":"m",{HELLO}}}', Profile(earlier_thinking=form))

    assert sent["messages"] == [{"role": "user", "content": "hi"}]
    assert losses == []


def test_an_image_without_a_form_here_is_named() -> None:
    request = served("openai", Operation.CHAT).decode_request(f'{{"model":"m",{HELLO}}}'.encode())
    image = ImagePart(file_id="f")
    request = replace(request, messages=(Message(role="user", content=(TextPart(text="x"), image)),))

    encoded = called("openai", Operation.CHAT).encode_request(request, "m", Profile())

    assert [loss.field for loss in encoded.losses] == ["messages[0].content[1]"]
