"""Runs a case over native gRPC through Envoy, with the generated stubs, and reads the answer into the normal form."""

from __future__ import annotations

import base64
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from isthmus.v1 import (
    chat_pb2,
    chat_pb2_grpc,
    chat_stream_pb2,
    completion_pb2,
    completion_pb2_grpc,
    embedding_pb2,
    embedding_pb2_grpc,
    model_pb2,
    model_pb2_grpc,
    stream_pb2,
    usage_pb2,
)

from tests.conformance import typed
from tests.conformance.corpus import Case
from tests.conformance.outcome import Choice, Fault, Outcome

LIMIT_S = 30.0
USAGE = {"input_tokens": "input", "output_tokens": "output", "total_tokens": "total"}
INPUT = {"cached_tokens": "cached", "cache_write_tokens": "cache_write", "audio_tokens": "audio_in"}
OUTPUT = {
    "reasoning_tokens": "reasoning",
    "audio_tokens": "audio_out",
    "accepted_prediction_tokens": "accepted",
    "rejected_prediction_tokens": "rejected",
}
LOGPROBS = {"LogprobsDelta": "content", "CompletionLogprobsDelta": "tokens"}
REASONS = {
    stream_pb2.FINISH_REASON_STOP: "stop",
    stream_pb2.FINISH_REASON_LENGTH: "length",
    stream_pb2.FINISH_REASON_TOOL_CALLS: "tool_calls",
    stream_pb2.FINISH_REASON_CONTENT_FILTER: "content_filter",
    stream_pb2.FINISH_REASON_ERROR: "error",
    stream_pb2.FINISH_REASON_CANCELLED: "cancelled",
    stream_pb2.FINISH_REASON_OTHER: "other",
}


def run(case: Case, channel: grpc.Channel) -> Outcome:
    """Make the call and read the answer; an error keeps what came before it."""
    outcome = Outcome(protocol="grpc")
    metadata = tuple((name.lower(), value) for name, value in case.headers.items())
    try:
        _call(case, channel, outcome, {"metadata": metadata, "timeout": LIMIT_S})
    except grpc.RpcError as error:
        outcome.error = fault(error)
    return outcome


def _call(case: Case, channel: grpc.Channel, outcome: Outcome, how: dict[str, Any]) -> None:
    match case.operation, case.is_stream:
        case "chat", False:
            stub = chat_pb2_grpc.ChatServiceStub(channel)
            _read_chat(outcome, _whole(stub.CreateChatCompletion, typed.chat_request(case.body), outcome, how))
        case "chat", True:
            chunks = chat_pb2_grpc.ChatServiceStub(channel).StreamChatCompletion(typed.chat_request(case.body), **how)
            _read_stream(outcome, chunks)
        case "completion", False:
            stub = completion_pb2_grpc.CompletionServiceStub(channel)
            request = typed.completion_request(case.body)
            _read_completion(outcome, _whole(stub.CreateCompletion, request, outcome, how))
        case "completion", True:
            stub = completion_pb2_grpc.CompletionServiceStub(channel)
            _read_stream(outcome, stub.StreamCompletion(typed.completion_request(case.body), **how))
        case "embedding", _:
            stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
            request = typed.embedding_request(case.body)
            _read_embedding(outcome, _whole(stub.CreateEmbedding, request, outcome, how))
        case "models", _:
            listed = model_pb2_grpc.ModelServiceStub(channel).ListModels(model_pb2.ListModelsRequest(), **how)
            outcome.models = [model.id for model in listed.models]
        case "model", _:
            request = model_pb2.GetModelRequest(id=case.asked_model)
            model = model_pb2_grpc.ModelServiceStub(channel).GetModel(request, **how).model
            outcome.models, outcome.owned_by = [model.id], model.owned_by
        case operation, _:
            raise AssertionError(f"no typed call for {operation}")


def _whole(method: Any, request: Any, outcome: Outcome, how: dict[str, Any]) -> Any:
    answer, call = method.with_call(request, **how)
    outcome.read_headers(dict(call.initial_metadata()))
    return answer


def fault(error: grpc.RpcError) -> Fault:
    """Read a status and its details."""
    assert isinstance(error, grpc.Call)
    found = Fault(message=error.details() or "", grpc=error.code().name)
    status = rpc_status.from_call(error)
    for detail in () if status is None else status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo.FromString(detail.value)
            found.reason = info.reason
            found.upstream_status = info.metadata.get("upstream_status")
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            found.retry_after = (
                error_details_pb2.RetryInfo.FromString(detail.value).retry_delay.ToTimedelta().total_seconds()
            )
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            found.param = error_details_pb2.BadRequest.FromString(detail.value).field_violations[0].field
    return found


def _read_head(
    outcome: Outcome, head: chat_pb2.ChatResponse | completion_pb2.CompletionResponse | stream_pb2.StreamStart
) -> None:
    assert head.id, "an answer has an id"
    outcome.id, outcome.model = head.id, head.model
    outcome.created = head.created.seconds if head.HasField("created") else None
    outcome.system_fingerprint = head.system_fingerprint or None
    outcome.service_tier = getattr(head, "service_tier", None) or None


def _read_chat(outcome: Outcome, answer: chat_pb2.ChatResponse) -> None:
    _read_head(outcome, answer)
    for raw in answer.choices:
        choice = outcome.choice(raw.index)
        choice.finish = finish(raw)
        choice.logprobs += [[one.token, one.logprob] for one in raw.logprobs.content]
        for part in raw.message.parts:
            _read_part(choice, part)
        for position, call in enumerate(raw.message.tool_calls):
            _start_call(choice, position, call)
            choice.call(position)["arguments"] += call.arguments
    if answer.HasField("usage"):
        _read_usage(outcome, answer.usage)


def finish(raw: Any) -> str | None:
    """Give OpenAI's word, or the provider's own where the contract has none for it."""
    known = REASONS.get(raw.finish_reason)
    return (raw.native_finish_reason or known) if known in (None, "other") else known


def _read_part(choice: Choice, part: chat_pb2.Part) -> None:
    match part.WhichOneof("kind"):
        case "text":
            choice.add_text(part.text)
        case "refusal":
            choice.refusal += part.refusal
        case "thinking":
            choice.thinking += part.thinking.text
        case "audio":
            data = base64.b64encode(part.audio.data).decode()
            choice.audio |= {"id": part.audio.id, "data": data, "transcript": part.audio.transcript}
        case kind:
            raise AssertionError(f"no case answers with {kind}")


def _start_call(choice: Choice, index: int, call: chat_pb2.ToolCall | chat_stream_pb2.ToolCallStart) -> None:
    started = choice.call(index)
    started["id"], started["name"] = call.id, call.name
    if call.type not in ("", "function"):
        started["type"] = call.type


def _read_completion(outcome: Outcome, answer: completion_pb2.CompletionResponse) -> None:
    _read_head(outcome, answer)
    for raw in answer.choices:
        choice = outcome.choice(raw.index)
        choice.add_text(raw.text)
        choice.finish = finish(raw)
        choice.logprobs += [_logprob(one) for one in raw.logprobs.tokens]
    if answer.HasField("usage"):
        _read_usage(outcome, answer.usage)


def _logprob(one: usage_pb2.TokenLogprob) -> list[Any]:
    return [one.token, one.logprob if one.HasField("logprob") else None]


def _read_embedding(outcome: Outcome, answer: embedding_pb2.EmbeddingResponse) -> None:
    outcome.model = answer.model
    outcome.vectors = [list(one.floats.values) for one in sorted(answer.embeddings, key=lambda one: one.index)]
    if answer.HasField("usage"):
        _read_usage(outcome, answer.usage)


def _read_stream(outcome: Outcome, chunks: Any) -> None:
    """Chat and completion streams share their events; the order of events is checked on the way."""
    started = False
    ended: set[int] = set()
    outcome.read_headers(dict(chunks.initial_metadata()))
    for chunk in chunks:
        assert chunk.events, "a chunk is never empty"
        for event in chunk.events:
            kind = event.WhichOneof("event")
            assert started != (kind == "start"), f"{kind}: the start comes first, and once"
            started = True
            _read_event(outcome, kind, getattr(event, kind), ended)


def _read_event(outcome: Outcome, kind: str, event: Any, ended: set[int]) -> None:
    choice = outcome.choice(event.choice) if kind not in ("start", "usage", "raw_json") else Choice()
    assert kind in ("start", "usage", "raw_json") or event.choice not in ended, f"{kind} after the end of its choice"
    match kind:
        case "start":
            _read_head(outcome, event)
        case "text_delta":
            choice.add_text(event.text)
        case "thinking_delta":
            choice.thinking += event.text
        case "refusal_delta":
            choice.refusal += event.text
        case "audio_delta":
            _add_audio(choice, event)
        case "tool_call_start":
            _start_call(choice, event.index, event)
        case "tool_call_delta":
            assert event.index in choice.calls, "a call starts before its arguments"
            choice.call(event.index)["arguments"] += event.arguments
        case "logprobs_delta":
            choice.logprobs += [_logprob(one) for one in getattr(event.logprobs, LOGPROBS[event.DESCRIPTOR.name])]
        case "choice_end":
            ended.add(event.choice)
            choice.finish = finish(event)
        case "usage":
            _read_usage(outcome, event)


def _add_audio(choice: Choice, event: chat_stream_pb2.AudioDelta) -> None:
    before = base64.b64decode(choice.audio.get("data", ""))
    choice.audio["data"] = base64.b64encode(before + event.data).decode()
    choice.audio["transcript"] = choice.audio.get("transcript", "") + event.transcript
    choice.audio["id"] = event.id or choice.audio.get("id", "")


def _read_usage(outcome: Outcome, usage: usage_pb2.Usage) -> None:
    found = {ours: getattr(usage, theirs) for theirs, ours in USAGE.items() if usage.HasField(theirs)}
    for details, names in ((usage.input_details, INPUT), (usage.output_details, OUTPUT)):
        found |= {ours: getattr(details, theirs) for theirs, ours in names.items() if details.HasField(theirs)}
    outcome.usage, outcome.estimated = found, usage.estimated
