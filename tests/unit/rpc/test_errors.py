"""What goes wrong, as gRPC statuses with details that fit into a client's limits."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.rpc import status_pb2
from isthmus.v1 import chat_pb2, chat_pb2_grpc
from isthmusd.core import errors
from isthmusd.core.errors import GatewayError, Misconfigured, Rejected, Throttled, Told
from isthmusd.core.record import EndReason
from isthmusd.rpc.errors import MESSAGE_LIMIT, status_code, trailers

from tests.fakes import answers
from tests.fakes.answers import CUT, STALL, Answer, chat_events
from tests.unit.rpc.serving import Refusal, refusal_of, serving
from tests.unit.rpc.test_typed import chat

CODE = grpc.StatusCode


async def refusal(model: str = "ok", *metadata: tuple[str, str], **settings: Any) -> Refusal:
    async with serving(**settings) as gateway:
        stub = chat_pb2_grpc.ChatServiceStub(gateway.channel)
        given = await refusal_of(stub.CreateChatCompletion(chat(model), metadata=metadata, timeout=20))
        assert len(gateway.journal.records) == 1
        return given


@pytest.mark.parametrize(
    ("model", "code", "reason", "upstream_status"),
    [
        ("e401", CODE.FAILED_PRECONDITION, "UPSTREAM_MISCONFIGURED", "401"),
        ("n404", CODE.NOT_FOUND, "MODEL_NOT_FOUND", "404"),
        ("r429", CODE.RESOURCE_EXHAUSTED, "RATE_LIMIT_EXCEEDED", "429"),
        ("e500", CODE.UNAVAILABLE, "UPSTREAM_ERROR", "500"),
        ("badjson", CODE.UNAVAILABLE, "UPSTREAM_GARBLED", None),
        ("html", CODE.UNAVAILABLE, "UPSTREAM_GARBLED", None),
        ("nobody/x", CODE.NOT_FOUND, "MODEL_NOT_FOUND", None),
    ],
)
async def test_failures_of_targets_have_a_code_and_a_reason(
    model: str, code: grpc.StatusCode, reason: str, upstream_status: str | None
) -> None:
    given = await refusal(model, ("x-request-id", "my-id"))

    assert (given.code, given.info.reason, given.info.domain) == (code, reason, "isthmus")
    assert given.info.metadata.get("upstream_status") == upstream_status
    assert given.details["RequestInfo"].request_id == "my-id"


@pytest.mark.parametrize("answer", [answers.raw(CUT), answers.raw(), answers.stream(b'{"id": ', 0.05, CUT)])
async def test_a_provider_that_hangs_up_is_out_of_reach(answer: Answer) -> None:
    async with serving() as gateway:
        gateway.provider.reply_always(answer)
        stub = chat_pb2_grpc.ChatServiceStub(gateway.channel)
        given = await refusal_of(stub.CreateChatCompletion(chat()))

    assert (given.code, given.info.reason) == (CODE.UNAVAILABLE, "UPSTREAM_UNREACHABLE")


async def test_a_throttled_call_says_when_to_come_again() -> None:
    given = await refusal("r429")

    assert given.details["RetryInfo"].retry_delay.seconds == 7
    assert given.info.metadata["upstream_request_id"] == "req-fake"


async def test_a_bad_field_is_named() -> None:
    async with serving() as gateway:
        stub = chat_pb2_grpc.ChatServiceStub(gateway.channel)
        bad = chat_pb2.ChatRequest(model="ok", messages=[chat_pb2.Message(role="user")], extra_json="{")
        given = await refusal_of(stub.CreateChatCompletion(bad))

    assert given.code is CODE.INVALID_ARGUMENT
    assert given.details["BadRequest"].field_violations[0].field == "extra_json"


async def test_a_caller_without_a_key_is_unauthenticated() -> None:
    given = await refusal(auth__anonymous=False)

    assert (given.code, given.info.reason) == (CODE.UNAUTHENTICATED, "INVALID_API_KEY")
    assert given.details["RequestInfo"].request_id.startswith("req_")


async def test_a_web_page_is_denied() -> None:
    assert (await refusal("ok", ("origin", "https://evil.example"))).code is CODE.PERMISSION_DENIED


async def test_calls_above_the_limit_are_turned_away_with_a_time_to_come_again() -> None:
    async with serving(limits__calls=1) as gateway:
        stub = chat_pb2_grpc.ChatServiceStub(gateway.channel)
        gateway.provider.reply_with(answers.stream(*chat_events("ok")[:2], STALL))
        running = stub.StreamChatCompletion(chat())
        await running.read()
        given = await refusal_of(stub.CreateChatCompletion(chat()))
        running.cancel()

    assert (given.code, given.info.reason) == (CODE.UNAVAILABLE, "OVERLOADED")
    assert given.details["RetryInfo"].retry_delay.seconds == 1


async def test_the_calls_deadline_ends_it() -> None:
    async with serving() as gateway:
        gateway.provider.reply_with(answers.whole(b"{}", delay_s=30.0))
        stub = chat_pb2_grpc.ChatServiceStub(gateway.channel)
        given = await refusal_of(stub.CreateChatCompletion(chat(), timeout=0.3))
        await gateway.provider.last.aborted.wait()

    assert given.code is CODE.DEADLINE_EXCEEDED


async def test_a_deadline_by_header_is_told_with_details() -> None:
    given = await refusal("slow", ("x-isthmus-timeout", "0.2"))

    assert (given.code, given.info.reason) == (CODE.DEADLINE_EXCEEDED, "TIMEOUT")


@pytest.mark.parametrize(
    ("tail", "code", "reason"),
    [
        ((CUT,), CODE.UNAVAILABLE, "UPSTREAM_INTERRUPTED"),
        ((), CODE.UNAVAILABLE, "UPSTREAM_INTERRUPTED"),
        ((b"data: {broken\n\n",), CODE.UNAVAILABLE, "UPSTREAM_GARBLED"),
        ((STALL,), CODE.DEADLINE_EXCEEDED, "TIMEOUT"),
    ],
)
async def test_a_stream_that_breaks_ends_with_a_status_after_its_events(tail: Any, code: Any, reason: str) -> None:
    events = chat_events("ok")[:3]

    async with serving(limits__idle_s=0.3) as gateway:
        gateway.provider.reply_with(answers.stream(*events, 0.05, *tail))
        call = chat_pb2_grpc.ChatServiceStub(gateway.channel).StreamChatCompletion(chat())
        first = await call.read()
        given = await refusal_of(call)

    assert first.events
    assert (given.code, given.info.reason) == (code, reason)
    assert gateway.record.end is EndReason.INTERRUPTED


@pytest.mark.parametrize("letter", ["x", "é", "🌍", "%", "\n"])
async def test_huge_messages_of_providers_fit_into_trailers(letter: str) -> None:
    async with serving() as gateway:
        gateway.provider.reply_with(answers.error(400, letter * 50_000, letter * 5000, letter * 5000))
        stub = chat_pb2_grpc.ChatServiceStub(gateway.channel)
        given = await refusal_of(stub.CreateChatCompletion(chat()))

    assert given.code is CODE.INVALID_ARGUMENT
    assert given.trailer_bytes < 6 * 1024


ANY_TEXT = ["x", "é", "🌍", "%", "\t"]


@pytest.mark.parametrize("letter", ANY_TEXT)
@pytest.mark.parametrize("kind", [errors.InvalidRequest, errors.UnsupportedFeature, Rejected])
def test_every_error_fits_whatever_it_holds(letter: str, kind: type[GatewayError]) -> None:
    long = letter * 50_000
    error = kind(long, param=long, code=long, retry_after_s=3.0)
    error.type = long

    told = dict(trailers(error, "r" * 128))
    packed = told["grpc-status-details-bin"]

    assert sum(len(name) + len(value) for name, value in told.items()) < 6 * 1024
    status = status_pb2.Status.FromString(packed)  # type: ignore[arg-type]
    assert len(status.message.encode()) <= MESSAGE_LIMIT


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.Unauthenticated("x"), CODE.UNAUTHENTICATED),
        (errors.PermissionDenied("x"), CODE.PERMISSION_DENIED),
        (errors.MethodNotAllowed("x"), CODE.UNIMPLEMENTED),
        (errors.RequestTooLarge("x"), CODE.INVALID_ARGUMENT),
        (errors.HeadersTooLarge("x"), CODE.INVALID_ARGUMENT),
        (errors.UnsupportedMediaType("x"), CODE.INVALID_ARGUMENT),
        (errors.LimitExceeded("x"), CODE.RESOURCE_EXHAUSTED),
        (errors.Unavailable("x"), CODE.UNAVAILABLE),
        (errors.TimedOut("x"), CODE.DEADLINE_EXCEEDED),
        (errors.Bug("x"), CODE.INTERNAL),
        (Misconfigured("x"), CODE.FAILED_PRECONDITION),
        (errors.Exhausted((Misconfigured("x"), Misconfigured("y"))), CODE.FAILED_PRECONDITION),
        (errors.Exhausted((Throttled("x"), Misconfigured("y"))), CODE.RESOURCE_EXHAUSTED),
        (Throttled("x"), CODE.RESOURCE_EXHAUSTED),
        (Rejected("x", http_status=409), CODE.ABORTED),
        (Rejected("x", http_status=418), CODE.INVALID_ARGUMENT),
        (errors.Overloaded("x", http_status=599), CODE.UNAVAILABLE),
    ],
)
def test_a_status_follows_from_the_http_status(error: GatewayError, code: grpc.StatusCode) -> None:
    assert status_code(error) is code


def test_details_name_what_the_target_said() -> None:
    error = Throttled("x", told=Told(status=429, request_id="r" * 500), retry_after_s=1.5)

    (key, packed), *_ = trailers(error, "id")

    status = status_pb2.Status.FromString(packed)  # type: ignore[arg-type]
    assert key == "grpc-status-details-bin"
    assert [detail.type_url.rpartition(".")[2] for detail in status.details] == [
        "ErrorInfo",
        "RequestInfo",
        "RetryInfo",
    ]


def test_ids_of_a_target_outside_ascii_are_told_in_ascii() -> None:
    error = Throttled("x", told=Told(status=429, request_id="caf\udce9"))

    told: dict[str, Any] = dict(trailers(error, "id"))

    assert b"caf%E9" in told["grpc-status-details-bin"]
    assert told["x-isthmus-upstream-request-id"] == "caf%E9"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (errors.InvalidRequest("x"), {"x-should-retry": "false"}),
        (errors.LimitExceeded("x", retry_after_s=1.6), {"x-should-retry": "true", "retry-after": "2"}),
        (
            Throttled("x", retry_after_s=-1, told=Told(request_id="up")),
            {"x-should-retry": "true", "retry-after": "0", "x-isthmus-upstream-request-id": "up"},
        ),
    ],
)
def test_what_clients_obey_is_metadata_too(error: GatewayError, told: dict[str, str]) -> None:
    given = dict(trailers(error, "id"))

    assert given.keys() == {"grpc-status-details-bin", "x-request-id", *told}
    assert given.items() >= {"x-request-id": "id", **told}.items()
    assert "x-request-id" not in dict(trailers(error, ""))
