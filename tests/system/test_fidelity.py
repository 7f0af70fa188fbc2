"""What passes through keeps its bytes: unknown members, key order, big integers, nulls, odd spacing. The one change
that the gateway may make to a body is to splice the value of `model`, or to ask for usage.
"""

from __future__ import annotations

import pytest
from isthmus.v1 import chat_pb2, chat_pb2_grpc

from tests.fakes.answers import Step, stream, whole
from tests.system.pair import Pair
from tests.system.typed import chat_request, text_of
from tests.system.wire import UNCACHED, ask

pytestmark = pytest.mark.edge
CHAT = "/v1/proxy/chat/completions"
ODD_REQUEST = (
    b'\n{ "zeta" : null,\t"seed":12345678901234567890123 , "model"  :\r\n "MODEL","messages":[ '
    b'{"content":"a\\u00e9\\/\\n\xc3\xa9\\ud83d\\ude00","role":"user","x":1.0e+2} ],  '
    b'"temperature":0.10,"vendor":{"b":1,"a":[ ],"":-0},"top_p":1E0 }  \n'
)
ODD_REPLY = (
    b' {"zeta":null , "id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"ok",'
    b'"n":12345678901234567890123,\n"choices":[{"index":0,"message":{"role":"assistant",'
    b'"content":"\\u0048i \\/ \xc3\xa9","b":1,"a":1.10},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8,"vendor" : 1e400 } } '
)
HEAD = b'"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"ok"'
ODD_EVENTS: tuple[bytes, ...] = (
    b'data: { "zeta":null, ' + HEAD + b',"choices":[{"delta":{"role":"assistant","content":""},"index":0}] }\n\n',
    b"data: {" + HEAD + b',"choices":[ {"index":0,"delta":{"content":"\\u0048i","big":12345678901234567890123}} ]}\n\n',
    b"data: {" + HEAD + b',"choices":[{"index":0,"delta":{},"finish_reason":"stop","a":1.10}]}\n\n',
)
USAGE_EVENT = (
    b"data: {" + HEAD + b',"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8}}\n\n'
)
MESSAGE = b'{"role":"user","content":"x"}'
DONE = b"data: [DONE]\n\n"


def pieces(*events: bytes) -> tuple[Step, ...]:
    return events


@pytest.mark.parametrize(
    ("asked", "sent"), [("ok", "ok"), ("fast", "ok"), ("openai/ok", "ok"), ("box/a/b", "a/b"), ("box/tiny", "tiny")]
)
async def test_request_reaches_the_provider_with_only_its_model_spliced(pair: Pair, asked: str, sent: str) -> None:
    answer = await ask(pair.url, CHAT, ODD_REQUEST.replace(b"MODEL", asked.encode()), headers=UNCACHED)

    assert answer.status == 200
    assert pair.provider.last.body == ODD_REQUEST.replace(b"MODEL", sent.encode())


async def test_model_with_escapes_is_understood_and_replaced_whole(pair: Pair) -> None:
    escaped = rb'{"m\u006fdel":"f\u0061st","messages":[{"role":"user","content":"Hi"}]}'

    answer = await ask(pair.url, CHAT, escaped)

    assert answer.status == 200
    assert pair.provider.last.json()["model"] == "ok"
    assert pair.provider.last.body.count(b"model") + pair.provider.last.body.count(rb"m\u006fdel") == 1


async def test_whole_reply_keeps_its_bytes(pair: Pair) -> None:
    pair.provider.reply_with(whole(ODD_REPLY))

    answer = await ask(pair.url, CHAT, ODD_REQUEST.replace(b"MODEL", b"ok"), headers=UNCACHED)

    assert answer.body == ODD_REPLY


async def test_stream_keeps_its_bytes_where_usage_was_asked_for(pair: Pair) -> None:
    pair.provider.reply_with(stream(*pieces(*ODD_EVENTS, USAGE_EVENT, DONE)))
    body = b'{"stream_options": {"include_usage" :true}, "stream":true,"model":"ok","messages":[%b]}' % MESSAGE

    answer = await ask(pair.url, CHAT, body)

    assert pair.provider.last.body == body
    assert answer.body == b"".join((*ODD_EVENTS, USAGE_EVENT, DONE))


async def test_stream_loses_only_the_usage_that_the_gateway_asked_for(pair: Pair) -> None:
    with_nulls = [event.replace(b'"choices"', b'"usage":null,"choices"') for event in ODD_EVENTS]
    pair.provider.reply_with(stream(*pieces(*with_nulls, USAGE_EVENT, DONE)))
    body = b'{"stream":true,"model":"ok","messages":[{"role":"user","content":"x"}] , "z":1}'

    answer = await ask(pair.url, CHAT, body)

    asked = pair.provider.last
    assert asked.json() == {
        "stream": True,
        "model": "ok",
        "messages": [{"role": "user", "content": "x"}],
        "z": 1,
        "stream_options": {"include_usage": True},
    }
    assert b'"messages":[{"role":"user","content":"x"}] , "z":1' in asked.body
    assert answer.body == b"".join((*ODD_EVENTS, DONE))


async def test_callers_false_include_usage_does_not_show_usage(pair: Pair) -> None:
    pair.provider.reply_with(stream(*pieces(*ODD_EVENTS, USAGE_EVENT, DONE)))
    options = b'{"include_usage":false,"x":1}'
    body = b'{"stream":true,"stream_options":%b,"model":"ok","messages":[%b]}' % (options, MESSAGE)

    answer = await ask(pair.url, CHAT, body)

    assert pair.provider.last.json()["stream_options"]["x"] == 1
    assert answer.body == b"".join((*ODD_EVENTS, DONE))


@pytest.mark.parametrize("path", ["completions", "embeddings", "moderations", "responses"])
async def test_other_operations_keep_bytes_too(pair: Pair, path: str) -> None:
    reply = (
        b'{ "zeta":null,"n":12345678901234567890123, "model":"ok", "data":[],"choices":[],"results":[] , "output":[] }'
    )
    body = b'{ "prompt":"x","input":"x" ,"zeta":null,"n":12345678901234567890123,"model": "fast" }'
    if path == "embeddings":
        body = body.replace(b'"prompt":"x",', b"")
    pair.provider.reply_with(whole(reply))

    answer = await ask(pair.url, f"/v1/proxy/{path}", body)

    assert answer.body == reply
    assert pair.provider.last.path == f"/v1/{path}"
    assert pair.provider.last.body == body.replace(b'"fast"', b'"ok"')


def test_typed_opaque_json_keeps_its_text(pair: Pair) -> None:
    schema = (
        '{"type":"object","properties":{"z":{"const":12345678901234567890123},"a":{"default":1.0}},"required":["z"]}'
    )
    request = chat_request()
    request.tools.add(function=chat_pb2.Function(name="f", parameters_json=schema))
    request.extra_json = '{"vendor":{"z":12345678901234567890123,"a":1.10,"n":null}}'

    with pair.channel() as channel:
        chat_pb2_grpc.ChatServiceStub(channel).CreateChatCompletion(request, timeout=30)

    body = pair.provider.last.body.decode()
    assert f'"parameters":{schema}' in body
    assert '"vendor":{"z":12345678901234567890123,"a":1.10,"n":null}' in body


def test_typed_answer_keeps_what_has_no_field(pair: Pair) -> None:
    pair.provider.reply_with(whole(ODD_REPLY))

    with pair.channel() as channel:
        answer = chat_pb2_grpc.ChatServiceStub(channel).CreateChatCompletion(chat_request(), timeout=30)

    assert answer.choices[0].message.parts[0].text == "Hi / é"
    assert '"n":12345678901234567890123' in answer.extra_json
    assert '"zeta":null' in answer.extra_json
    assert '"a":1.10' in answer.choices[0].message.extra_json


def test_typed_stream_keeps_what_has_no_event(pair: Pair) -> None:
    pair.provider.reply_with(stream(*pieces(*ODD_EVENTS, USAGE_EVENT, DONE)))

    with pair.channel() as channel:
        chunks = list(chat_pb2_grpc.ChatServiceStub(channel).StreamChatCompletion(chat_request(), timeout=30))

    raw = [event.raw_json.json for chunk in chunks for event in chunk.events if event.HasField("raw_json")]
    assert text_of(chunks) == "Hi"
    assert any("12345678901234567890123" in one for one in raw)
