"""Every call, whatever became of it, is in the store once, with the facts of its caller; what was asked and answered is
there where a project wants it, and nowhere readable.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import msgspec
import pytest
from isthmus.v1 import chat_pb2_grpc, chat_stream_pb2, forward_pb2, forward_pb2_grpc, model_pb2, model_pb2_grpc

from tests.fakes.answers import STALL, chat_events, stream
from tests.system.kept_calls import DIARY, Kept, keeping, rows, stored
from tests.system.pair import eventually
from tests.system.typed import LIMIT_S, chat_request
from tests.system.wire import JSON_TYPE, ask, chat, connected, request

pytestmark = pytest.mark.edge
CHAT = "/v1/chat/completions"
SILENT = stream(*chat_events("ok")[:2], STALL)
SECRET_PROMPT = "nobody may read this prompt"


@pytest.fixture(scope="module")
def shared_kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    with keeping(tmp_path_factory.mktemp("kept") / "data") as running:
        yield running


@pytest.fixture
def kept(shared_kept: Kept) -> Iterator[Kept]:
    shared_kept.pair.provider.reply_always(None)
    yield shared_kept
    shared_kept.pair.provider.reply_always(None)


@pytest.fixture
def channel(kept: Kept) -> Iterator[grpc.Channel]:
    with kept.pair.channel() as opened:
        yield opened


async def only(kept: Kept, request_id: str) -> dict[str, Any]:
    """The record in the store, which must stay the only one."""
    record = await asyncio.to_thread(kept.record, request_id)
    await asyncio.sleep(0.5)
    assert len(stored(kept.data, request_id)) == 1
    return record


HTTP: dict[str, tuple[str, str, bytes, dict[str, Any]]] = {
    "whole": ("POST", CHAT, chat(), {"status": 200, "end": "complete", "stream": False, "target_model": "ok"}),
    "stream": ("POST", CHAT, chat(stream=True), {"status": 200, "end": "complete", "stream": True}),
    "bad-json": ("POST", CHAT, b"{", {"status": 400, "end": "refused", "provider": None}),
    "no-model": ("POST", CHAT, chat("nosuch/x"), {"status": 404, "error_code": "model_not_found"}),
    "throttled": ("POST", CHAT, chat("r429"), {"status": 429, "end": "failed", "provider": "openai"}),
    "fails": ("POST", CHAT, chat("e500", stream=True), {"status": 502, "end": "failed"}),
    "cut": ("POST", CHAT, chat("cut", stream=True), {"status": 200, "end": "interrupted"}),
    "forward": ("GET", "/v1/files?limit=1", b"", {"status": 200, "operation": "forward", "end": "complete"}),
    "upload": ("POST", "/v1/files", b"x" * 100_000, {"operation": "forward", "end": "complete"}),
    "models": ("GET", "/v1/models", b"", {"status": 200, "operation": "models", "end": "complete"}),
    "no-credential": ("POST", "/v1/credentials", b'{"ttl_seconds":0}', {"status": 400, "end": "refused"}),
    "credential": ("POST", "/v1/credentials", b"{}", {"status": 200, "operation": "credentials"}),
}


OF_MODELS = frozenset({"whole", "stream", "throttled", "fails", "cut"})
"""Kinds that come as far as to a plan for a model."""
BYPASSED = "BYPASS"


@pytest.mark.parametrize("kind", HTTP)
async def test_a_call_over_http_is_kept_once(kept: Kept, kind: str) -> None:
    method, path, body, facts = HTTP[kind]

    await ask(kept.pair.url, path, body, method=method, headers=kept.headers(f"http-{kind}"))
    record = await only(kept, f"http-{kind}")

    assert {name: record[name] for name in facts} == facts
    assert (record["tenant"], record["key_id"], record["auth"]) == ("acme", kept.key_id, "gateway_key")
    assert record["surface"] == "openai"
    assert record["cache"] == (BYPASSED if kind in OF_MODELS else None)


async def test_a_caller_without_a_good_key_is_kept_without_a_name(kept: Kept) -> None:
    headers = (*JSON_TYPE, ("authorization", "Bearer isk_no"), ("x-request-id", "http-stranger"))

    await ask(kept.pair.url, CHAT, chat(), headers=headers)
    record = await only(kept, "http-stranger")

    assert (record["status"], record["end"], record["tenant"], record["key_id"]) == (401, "refused", None, None)


async def test_a_caller_who_leaves_is_kept_once(kept: Kept) -> None:
    kept.pair.provider.reply_with(SILENT)
    async with connected(kept.pair.url) as exchange:
        await exchange.send(request(kept.pair.url, CHAT, chat(stream=True), headers=kept.headers("http-left")))
        await exchange.head()
        await exchange.until(b"Hel")

    assert (await only(kept, "http-left"))["end"] == "cancelled"


async def test_typed_calls_are_kept_once(kept: Kept, channel: grpc.Channel) -> None:
    stub = chat_pb2_grpc.ChatServiceStub(channel)
    models = model_pb2_grpc.ModelServiceStub(channel)
    stub.CreateChatCompletion(chat_request(), timeout=LIMIT_S, metadata=kept.metadata("typed-whole"))
    list(stub.StreamChatCompletion(chat_request(), timeout=LIMIT_S, metadata=kept.metadata("typed-stream")))
    models.ListModels(model_pb2.ListModelsRequest(), timeout=LIMIT_S, metadata=kept.metadata("typed-models"))
    with pytest.raises(grpc.RpcError):
        stub.CreateChatCompletion(chat_request("nosuch/x"), timeout=LIMIT_S, metadata=kept.metadata("typed-refused"))
    with pytest.raises(grpc.RpcError):
        list(stub.StreamChatCompletion(chat_request("cut"), timeout=LIMIT_S, metadata=kept.metadata("typed-cut")))

    ends = {
        name: (await only(kept, f"typed-{name}"))["end"] for name in ("whole", "stream", "models", "refused", "cut")
    }

    assert ends == {
        "whole": "complete",
        "stream": "complete",
        "models": "complete",
        "refused": "refused",
        "cut": "interrupted",
    }


async def test_a_typed_forward_is_kept_once(kept: Kept, channel: grpc.Channel) -> None:
    head = forward_pb2.ForwardRequestHead(method="GET", path="/v1/files")
    forwarded = forward_pb2_grpc.ForwardServiceStub(channel).Forward(
        iter([forward_pb2.ForwardRequest(head=head)]), timeout=LIMIT_S, metadata=kept.metadata("typed-forward")
    )

    assert [message.WhichOneof("piece") for message in forwarded][-1] == "end"
    record = await only(kept, "typed-forward")

    assert (record["surface"], record["operation"], record["end"]) == ("typed", "forward", "complete")


@pytest.mark.parametrize(
    ("path", "method", "header"),
    [
        (CHAT, "POST", ("x-isthmus-project", "web")),
        (CHAT, "POST", ("x-bt-parent", "project_name:web")),
        ("/v1/files", "GET", ("x-isthmus-project", "web")),
        ("/v1/models", "GET", ("x-bt-parent", "project_name:web")),
    ],
)
async def test_a_call_is_kept_under_its_project(kept: Kept, path: str, method: str, header: tuple[str, str]) -> None:
    request_id = f"project-{header[0]}-{method}-{path.rpartition('/')[2]}"
    body = chat() if method == "POST" else b""

    await ask(kept.pair.url, path, body, method=method, headers=kept.headers(request_id, header))

    record = await only(kept, request_id)

    assert record["project"] == "web"
    assert (record["id"], "web") in rows(kept.data, "SELECT id, project FROM records")


def command(kept: Kept, *arguments: str) -> list[dict[str, Any]]:
    """What `isthmus records` shows beside the running gateway."""
    done = subprocess.run(
        [sys.executable, "-m", "isthmusd.cli", "records", "--json", "--data", str(kept.data), *arguments],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return msgspec.json.decode(done.stdout)


async def test_bodies_are_kept_where_a_project_wants_them_and_sealed(kept: Kept, channel: grpc.Channel) -> None:
    diary = ("x-isthmus-project", DIARY)
    asked = chat(user=SECRET_PROMPT)
    streamed = chat(stream=True, user=SECRET_PROMPT)
    url, said = kept.pair.url, dict[str, bytes]()
    said["whole"] = (await ask(url, CHAT, asked, headers=kept.headers("body-whole", diary))).body
    said["stream"] = (await ask(url, CHAT, streamed, headers=kept.headers("body-stream", diary))).body
    said["forward"] = (
        await ask(url, "/v1/threads", SECRET_PROMPT.encode(), headers=kept.headers("body-forward", diary))
    ).body
    await ask(url, CHAT, asked, headers=kept.headers("body-unwanted", ("x-isthmus-project", "web")))
    await ask(url, "/v1/credentials", b"{}", headers=kept.headers("body-secret", diary))
    pieces = list(
        chat_pb2_grpc.ChatServiceStub(channel).StreamChatCompletion(
            chat_request(text=SECRET_PROMPT), timeout=LIMIT_S, metadata=kept.metadata("body-typed", diary)
        )
    )
    for kind in (*said, "unwanted", "secret", "typed"):
        await asyncio.to_thread(kept.record, f"body-{kind}")

    shown = {record["request_id"]: record for record in await asyncio.to_thread(command, kept, "--bodies")}

    for kind, sent in (("whole", asked), ("stream", streamed), ("forward", SECRET_PROMPT.encode())):
        record = shown[f"body-{kind}"]
        assert (record["bodies"], record["asked"], record["answered"]) == ("kept", sent.decode(), said[kind].decode())
    typed = shown["body-typed"]
    assert SECRET_PROMPT in typed["asked"]
    assert len(msgspec.json.decode(typed["answered"])["events"]) == sum(len(piece.events) for piece in pieces)
    assert isinstance(pieces[0], chat_stream_pb2.ChatChunk)
    assert (shown["body-unwanted"]["asked"], shown["body-secret"]["asked"]) == (None, None)
    written = [path.read_bytes() for path in kept.data.rglob("*") if path.is_file()]
    assert not any(SECRET_PROMPT.encode() in content for content in written)
    assert SECRET_PROMPT not in kept.pair.gateway.log.read_text()


async def test_the_command_finds_calls_by_project_and_time(kept: Kept) -> None:
    for number in range(3):
        headers = kept.headers(f"found-{number}", ("x-isthmus-project", "search"))
        await ask(kept.pair.url, CHAT, chat(), headers=headers)
    for number in range(3):
        await asyncio.to_thread(kept.record, f"found-{number}")

    found = await asyncio.to_thread(command, kept, "--project", "search", "--since", "1h", "--limit", "2")

    assert [record["request_id"] for record in found] == ["found-2", "found-1"]
    assert await asyncio.to_thread(command, kept, "--project", "search", "--until", "1h") == []


def test_the_recorder_is_one_of_the_processes_of_a_run(kept: Kept) -> None:
    assert eventually(lambda: any("isthmusd.recorder" in line for line in kept.pair.gateway.children().values()))
