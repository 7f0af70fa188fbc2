"""Recorded traffic of Bedrock goes through the dialect, and AWS's own service model judges what it sends."""

from __future__ import annotations

import random
from typing import Any

import botocore.session
import msgspec
import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.serialize import create_serializer
from botocore.validate import ParamValidator
from isthmusd.core.chat import (
    ChatRequest,
    ChatResponse,
    FilePart,
    FunctionTool,
    ImagePart,
    JsonSchemaFormat,
    JsonText,
    Message,
    Reasoning,
    Sampling,
    TextPart,
    ThinkingPart,
    ToolCall,
    ToolChoiceMode,
)
from isthmusd.core.collect import collect_chat
from isthmusd.core.embedding import EmbeddingRequest
from isthmusd.core.errors import Overloaded, Rejected, Throttled
from isthmusd.core.events import End, Event
from isthmusd.core.headers import collect_headers
from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation
from isthmusd.dialects import openai
from isthmusd.dialects.bedrock import CALLED
from isthmusd.framing.eventstream import EventstreamReader

from tests.golden.bedrock_requests import read_request
from tests.golden.recorded import Recorded, cases, differences, judge, known_losses, quoted_errors, recorded
from tests.unit.dialects_bedrock.frames import event
from tests.unit.dialects_bedrock.requests import CHAT, CLAUDE, NOVA, STAMP

SERVED = openai.SERVED[Operation.CHAT]
EMBEDDING = CALLED[Operation.EMBEDDING]
SERVICE = botocore.session.Session().get_service_model("bedrock-runtime")

Json = dict[str, Any]


def converse_calls() -> list[Recorded]:
    return [call for call in recorded("bedrock") if call.url.endswith(("/converse", "/converse-stream"))]


def whole_answers() -> list[tuple[str, bytes]]:
    calls = [(call.name, call.answer) for call in converse_calls() if call.status == 200 and call.answer[:1] == b"{"]
    told = [
        (f"{name}:{kind}", msgspec.json.encode(case[kind]))
        for name, case in cases("bedrock")
        for kind in ("response", "followup-response")
    ]
    return calls + told


def streams() -> list[tuple[str, bytes]]:
    calls = [(call.name, call.answer) for call in converse_calls() if call.status == 200 and call.answer[:1] == b"\x00"]
    told = [
        (f"{name}:{kind}", b"".join(event(key, **members) for piece in case[kind] for key, members in piece.items()))
        for name, case in cases("bedrock")
        for kind in ("response-streaming", "followup-response-streaming")
    ]
    return calls + told


def requests() -> list[tuple[str, str, Json]]:
    """Give name, model and body."""
    calls = [(call.name, call.url.split("/")[-2], msgspec.json.decode(call.request)) for call in converse_calls()]
    told: list[tuple[str, str, Json]] = []
    for name, case in cases("bedrock"):
        for kind in ("request", "followup-request"):
            body = dict(case[kind])
            told.append((f"{name}:{kind}", body.pop("modelId"), body))
    return [(name, model.replace("%3A", ":"), body) for name, model, body in calls] + told


def decoded(data: bytes, ends: list[int]) -> list[Event]:
    decoder = CHAT.stream_decoder(STAMP, Profile())
    events: list[Event] = []
    start = 0
    for end in [*sorted(ends), len(data)]:
        events += decoder.feed(data[start:end])
        start = end
    events += decoder.close()
    assert decoder.failure is None
    return events


def judged_whole(answer: ChatResponse) -> list[str]:
    return judge()("chat", msgspec.json.decode(SERVED.encode_response(answer)))


def test_whole_answers_are_openai_s_when_written() -> None:
    answers = whole_answers()

    for name, body in answers:
        answer = CHAT.decode_response(body, STAMP)
        assert judged_whole(answer) == [], name
        assert answer.usage is not None, name
        assert answer.choices[0].message.content or answer.choices[0].message.tool_calls, name
    assert len(answers) >= 14


def test_streams_are_openai_s_when_written_however_they_are_cut() -> None:
    found = streams()
    chance = random.Random(7)

    for name, data in found:
        events = decoded(data, [])
        assert events[-1] == End(), name
        cuts = [chance.randrange(len(data)) for _ in range(9)]
        assert decoded(data, cuts) == events, name
        written = SERVED.stream_encoder(STAMP, True).feed(events)
        for block in written.decode().split("\n\n")[:-2]:
            assert judge()("chunk", msgspec.json.decode(block.removeprefix("data: ").encode())) == [], name
        assert judged_whole(collect_chat(events)) == [], name
    assert len(found) >= 14


def test_frames_are_read_as_aws_reads_them() -> None:
    for name, data in streams():
        theirs = EventStreamBuffer()
        theirs.add_data(data)
        expected = [(message.headers, message.payload) for message in theirs]

        ours = [(dict(message.headers), message.payload) for message in EventstreamReader().feed(data)]

        assert ours == expected, name


def test_requests_say_what_the_recorded_ones_say() -> None:
    known = known_losses("bedrock")
    met: set[str] = set()

    found = requests()
    for name, model, body in found:
        encoded = CHAT.encode_request(read_request(body), model, Profile())

        assert encoded.losses == (), name
        differing = set(differences(without_empty(body), msgspec.json.decode(encoded.body)))
        assert differing - set(known) == set(), name
        met |= differing
    assert len(found) >= 18
    assert met == set(known)


def without_empty(body: Json) -> Json:
    """Members that are empty say nothing."""
    return {name: value for name, value in body.items() if value not in ([], {})}


def test_errors_are_understood() -> None:
    refused = {
        call.name: CHAT.decode_error(call.status, collect_headers(call.headers.items()), call.answer)
        for call in converse_calls()
        if call.status >= 400
    }

    assert {type(error) for error in refused.values()} == {Rejected}
    assert {error.code for error in refused.values()} == {"model_not_found"}
    assert sorted(error.http_status for error in refused.values()) == [400, 404]


def test_reported_failures_are_understood() -> None:
    kinds: list[type[Exception]] = []
    for entry in quoted_errors("bedrock"):
        body = entry["body"]
        if "base64" in body:
            decoder = CHAT.stream_decoder(STAMP, Profile())
            decoder.feed(msgspec.json.decode(msgspec.json.encode(body["base64"]), type=bytes))
            assert decoder.failure is not None
            kinds.append(type(decoder.failure))
        else:
            headers = collect_headers(entry["headers"].items())
            kinds.append(type(CHAT.decode_error(entry["status"], headers, msgspec.json.encode(body))))

    assert kinds == [Throttled, Overloaded]


def test_embeddings() -> None:
    calls = [call for call in recorded("bedrock") if call.url.endswith("/invoke")]

    for call in calls:
        body = msgspec.json.decode(call.request)
        normalize = (("normalize", JsonText("true")),)
        request = EmbeddingRequest(model="m", inputs=(body["inputText"],), dimensions=256, extra=normalize)
        encoded = EMBEDDING.encode_request(request, "amazon.titan-embed-text-v2:0", Profile())
        assert (encoded.path, msgspec.json.decode(encoded.body)) == (call.url, body)
        answer = EMBEDDING.decode_response(call.answer, STAMP)
        assert len(answer.embeddings[0].values) == 256
        written = openai.SERVED[Operation.EMBEDDING].encode_response(answer)
        assert judge()("embeddings", msgspec.json.decode(written)) == []
    assert calls


def complaints(body: Json, model: str) -> str:
    """Let AWS's service model judge a body."""
    shape = SERVICE.operation_model("Converse").input_shape
    return ParamValidator().validate({"modelId": model, **body}, shape).generate_report()


def test_aws_accepts_the_form_of_every_recorded_request_that_we_rewrite() -> None:
    for name, model, body in requests():
        encoded = CHAT.encode_request(read_request(body), model, Profile())

        assert complaints(msgspec.json.decode(encoded.body), model) == "", name


MARK = (("cache_control", JsonText('{"type":"ephemeral","ttl":"1h"}')),)
CONVERSATION = (
    Message(role="system", content=(TextPart(text="s", extra=MARK),)),
    Message(
        role="user",
        content=(
            TextPart(text="look"),
            ImagePart(data_base64="iVBORw0KGgo=", mime_type="image/png"),
            FilePart(data_base64="JVBERi0x", mime_type="application/pdf", filename="Übersicht_1.pdf"),
            FilePart(url="s3://bucket/clip.mp4"),
        ),
    ),
    Message(
        role="assistant",
        content=(ThinkingPart(text="hm", signature="s"), ThinkingPart(redacted_data="cmVk"), TextPart(text="ok")),
        tool_calls=(ToolCall(id="a b", name="f", arguments='{"n":1}'), ToolCall(id="c", name="f", arguments="oops")),
    ),
    Message(role="tool", tool_call_id="a b", content=(TextPart(text="1"),)),
    Message(role="tool", tool_call_id="c", content=None, extra=MARK),
)
SCHEMA = JsonText('{"type":"object","properties":{"n":{"type":"number"}}}')
FULL = ChatRequest(
    model="m",
    messages=CONVERSATION,
    sampling=Sampling(max_tokens=9_000, temperature=0.5, top_p=0.96, top_k=4, stop=("x",)),
    tools=(
        FunctionTool(name="f", description="d", parameters=SCHEMA, strict=True, extra=MARK),
        FunctionTool(name="g"),
    ),
    tool_choice=ToolChoiceMode(mode="required"),
    response_format=JsonSchemaFormat(name="out", schema=SCHEMA, description="d"),
    reasoning=Reasoning(effort="low"),
    metadata=(("team", "x"),),
    service_tier="flex",
    extra=(("guardrailConfig", JsonText('{"guardrailIdentifier":"g","guardrailVersion":"1","trace":"enabled"}')),),
)
BARE = ChatRequest(model="m", messages=(Message(role="system", content=(TextPart(text="s"),)),))


@pytest.mark.parametrize("model", [CLAUDE, NOVA, "meta.llama3-3-70b-instruct-v1:0", "openai.gpt-oss-20b-1:0"])
@pytest.mark.parametrize("request_", [FULL, BARE], ids=["full", "bare"])
def test_aws_accepts_the_form_of_whatever_can_be_asked(model: str, request_: ChatRequest) -> None:
    encoded = CHAT.encode_request(request_, model, Profile())

    assert complaints(msgspec.json.decode(encoded.body), model) == ""


def test_aws_s_judge_does_judge() -> None:
    assert "Missing required parameter" in complaints({"messages": [{"role": "user"}]}, CLAUDE)
    assert "Unknown parameter" in complaints({"messages": [], "odd": 1}, CLAUDE)


@pytest.mark.parametrize(
    "model", [CLAUDE, NOVA, "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0"]
)
@pytest.mark.parametrize(("operation", "stream"), [("Converse", False), ("ConverseStream", True)])
def test_paths_are_aws_s(model: str, operation: str, stream: bool) -> None:
    shape = SERVICE.operation_model(operation)

    theirs = create_serializer("rest-json").serialize_to_request({"modelId": model, "messages": []}, shape)

    assert CHAT.path(model, stream) == theirs["url_path"]
