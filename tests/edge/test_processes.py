"""The processes of a run: start, death, drain, end. With the real Envoy and stub workers."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import grpc
import msgspec
import pytest

from tests.edge.gateway import ANY_PORT, ROOT, Gateway, command_line, running_stub

pytestmark = pytest.mark.edge

CHAT = "/v1/chat/completions"
STREAM = "/isthmus.v1.ChatService/StreamChatCompletion"
TELL = "/isthmus.v1.ChatService/CreateChatCompletion"

NOT_CONNECTED = ("Connection refused", "Connection reset by peer", "Socket closed")
"""What a client says whose new connection met a listener that is closed, or just closing."""


def until(holds: Callable[[], bool], limit_s: float) -> float:
    """Wait for a condition and return how long it took."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < limit_s, f"not within {limit_s} s"
        time.sleep(0.02)
    return time.monotonic() - started


def workers(gateway: Gateway) -> list[int]:
    return [pid for pid, line in gateway.children().items() if "stub_worker" in line]


def envoys(gateway: Gateway) -> list[int]:
    return [pid for pid, line in gateway.children().items() if "--config-path" in line]


async def post(http: aiohttp.ClientSession, gateway: Gateway, stub: str) -> tuple[int, bytes]:
    async with http.post(gateway.url + CHAT, headers={"x-stub": stub}) as response:
        return response.status, await response.read()


async def scrape(gateway: Gateway) -> dict[str, float]:
    async with aiohttp.ClientSession() as http, http.get(f"{gateway.admin_url}/metrics") as response:
        lines = (await response.text()).splitlines()
    samples = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name: float(value) for name, _, value in samples}


def test_a_run_says_one_line_and_leaves_nothing():
    before = set(Path(tempfile.gettempdir()).glob("isthmus-*"))
    with running_stub(workers=2) as gateway:
        children = gateway.children()
        maps = Path(f"/proc/{gateway.process.pid}/maps").read_text()

        code = gateway.stop()

        rest = gateway.process.stdout.read()
    assert code == 0
    assert rest == ""
    assert len(children) == 3
    assert not any(map(command_line, children))
    assert "cygrpc" not in maps
    assert not {path for path in Path(tempfile.gettempdir()).glob("isthmus-*") if "test" not in path.name} - before


@pytest.mark.parametrize(("name", "flag"), [("listen", "--listen"), ("admin", "--admin")])
def test_a_busy_port_is_refused_by_the_name_of_its_flag(name: str, flag: str):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = {"listen": ANY_PORT, "admin": ANY_PORT, name: f"127.0.0.1:{taken.getsockname()[1]}"}
        argv = [sys.executable, "-m", "tests.fakes.stub_gateway", msgspec.json.encode(options).decode()]

        ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)

    assert ended.returncode == 1
    assert ended.stdout == ""
    assert f"isthmus: {flag} 127.0.0.1:" in ended.stderr
    assert "is in use" in ended.stderr


def test_a_second_gateway_does_not_share_the_port():
    with running_stub() as first:
        options = {"listen": first.grpc_target, "admin": ANY_PORT}
        argv = [sys.executable, "-m", "tests.fakes.stub_gateway", msgspec.json.encode(options).decode()]

        second = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)

    assert (second.returncode, second.stdout) == (1, "")
    assert "--listen" in second.stderr


def test_a_worker_that_cannot_start_ends_the_run():
    options = msgspec.json.encode({"listen": ANY_PORT, "admin": ANY_PORT}).decode()
    argv = [sys.executable, "-m", "tests.fakes.stub_gateway", options]

    ended = subprocess.run(
        argv, cwd=ROOT, env={**os.environ, "STUB_FAILS": "1"}, capture_output=True, text=True, timeout=60, check=False
    )

    assert (ended.returncode, ended.stdout) == (1, "")
    assert "told to fail" in ended.stderr
    assert "worker 0 cannot start" in ended.stderr


async def test_a_killed_worker_is_replaced_within_two_seconds_and_metrics_keep_its_counts():
    with running_stub(workers=2) as gateway:
        async with aiohttp.ClientSession() as http:
            pids = {msgspec.json.decode((await post(http, gateway, "tell"))[1])["pid"] for _ in range(20)}
            before = await scrape(gateway)
            victim = workers(gateway)[0]

            os.kill(victim, signal.SIGKILL)
            await asyncio.sleep(0.05)  # a call that the dead one was carrying is lost
            killed_at, answers = time.monotonic(), list[tuple[int, bytes]]()
            # A process that is there need not serve: only an answer of its own shows that it replaces the dead one.
            while {msgspec.json.decode(body)["pid"] for _, body in answers} <= pids:
                assert time.monotonic() - killed_at < 10
                answers.append(await post(http, gateway, "tell"))
            took = time.monotonic() - killed_at
            answers += [await post(http, gateway, "tell") for _ in range(10)]
        after = await scrape(gateway)

    assert len(pids) == 2  # both take part, and the sum over both is what is shown
    assert before["stub_calls_total"] == 20
    assert {status for status, _ in answers} == {200}  # the other one serves meanwhile
    assert after["stub_calls_total"] == 20 + len(answers)
    starts = [value for name, value in after.items() if name.startswith('isthmus_process_starts_total{process="worker')]
    assert sum(starts) == 3
    assert took < 2


async def test_without_a_living_worker_calls_are_told_to_come_back():
    with running_stub() as gateway:
        async with aiohttp.ClientSession() as http:
            errors, readiness = [], []
            started = time.monotonic()
            # A worker that dies young is started after ever longer pauses: at last Envoy's checks see it.
            while (503, '{"error":') not in readiness and time.monotonic() - started < 30:
                async with http.post(gateway.url + CHAT, headers={"x-stub": "exit"}) as response:
                    errors.append((response.status, response.headers.get("retry-after")))
                while (status := (await post(http, gateway, "tell"))[0]) != 200:
                    errors.append((status, "1"))
                    async with http.get(f"{gateway.url}/healthz") as response:
                        assert response.status == 200
                    async with http.get(f"{gateway.url}/readyz") as response:
                        readiness.append((response.status, (await response.text())[:9]))
            last = await post(http, gateway, "tell")

    assert set(errors) == {(503, "1")}
    assert (503, '{"error":') in readiness
    assert last[0] == 200


async def test_a_killed_envoy_comes_back_on_the_same_port():
    with running_stub() as gateway:
        (victim,) = envoys(gateway)

        os.kill(victim, signal.SIGKILL)
        until(lambda: bool(envoys(gateway)) and victim not in envoys(gateway), 2)

        async with aiohttp.ClientSession() as http:
            for _ in range(100):
                try:
                    status, _body = await post(http, gateway, "tell")
                except aiohttp.ClientError:
                    status = 0
                if status == 200:
                    break
                await asyncio.sleep(0.05)
    assert status == 200


def test_killing_the_supervisor_ends_everything():
    with running_stub(workers=2) as gateway:
        children = gateway.children()
        assert len(children) == 3

        gateway.stop(signal.SIGKILL)

        until(lambda: not any(map(command_line, children)), 10)


def test_an_interrupt_of_the_process_group_reaches_the_supervisor_only():
    with running_stub() as gateway:
        groups = {os.getpgid(pid) for pid in gateway.children()}

        assert os.getpgid(gateway.process.pid) not in groups
        assert gateway.stop(signal.SIGINT) == 0


async def test_no_call_fails_when_the_gateway_is_told_to_stop_under_load():
    failed: list[str] = []
    finished = 0
    clock = time.monotonic
    leave_at = clock() + 60
    with running_stub(workers=2) as gateway:

        async def client(http: aiohttp.ClientSession) -> None:
            nonlocal finished, leave_at
            while clock() < leave_at:
                async with http.post(gateway.url + CHAT, headers={"x-stub": "stream 3 0.05"}) as response:
                    body = await response.read()
                if response.status != 200 or not body.endswith(b"[DONE]\n\n"):
                    failed.append(f"{response.status} {body[-80:]!r}")
                finished += 1
                if response.headers.get("connection") == "close":
                    leave_at = min(leave_at, clock() + 0.4)  # new connections are served for a little while

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            clients = [asyncio.create_task(client(http)) for _ in range(40)]
            long_call = asyncio.create_task(post(http, gateway, "stream 30 0.1"))
            await asyncio.sleep(1)
            gateway.process.send_signal(signal.SIGTERM)
            await asyncio.gather(*clients)
            status, body = await long_call
        async with aiohttp.ClientSession() as newcomer:
            with pytest.raises(aiohttp.ClientConnectorError):
                await post(newcomer, gateway, "tell")
        code = await asyncio.to_thread(gateway.process.wait, 20)

    assert failed == []
    assert finished > 100
    assert (status, body.count(b"data: ")) == (200, 31)
    assert code == 0


async def test_no_native_call_fails_when_the_gateway_is_told_to_stop():
    finished = 0
    with running_stub(workers=2) as gateway:
        async with grpc.aio.insecure_channel(gateway.grpc_target) as channel:

            async def client() -> None:
                nonlocal finished
                for _ in range(30):
                    stream = channel.unary_stream(STREAM)(b"in", metadata=(("x-stub", "stream 3 0.02"),))
                    try:
                        replies = [reply async for reply in stream]
                    except grpc.aio.AioRpcError as error:
                        # The connection was told to go away and the port is closed, or closing: the call has not begun.
                        assert any(text in (error.details() or "") for text in NOT_CONNECTED), error
                        return
                    assert len(replies) == 4
                    finished += 1

            clients = [asyncio.create_task(client()) for _ in range(20)]
            await asyncio.sleep(0.8)
            gateway.process.send_signal(signal.SIGTERM)
            await asyncio.gather(*clients)
        code = await asyncio.to_thread(gateway.process.wait, 20)

    assert finished > 40
    assert code == 0


async def test_a_drain_is_bounded():
    with running_stub(drain_s=1.5) as gateway:
        async with aiohttp.ClientSession() as http:
            call = asyncio.create_task(post(http, gateway, "stream 600 0.1"))
            await asyncio.sleep(0.5)
            started = time.monotonic()

            gateway.process.send_signal(signal.SIGTERM)
            code = await asyncio.to_thread(gateway.process.wait, 20)

            with pytest.raises(aiohttp.ClientPayloadError):
                await call
    assert code == 0
    assert 1.4 < time.monotonic() - started < 9


async def test_a_second_signal_does_not_wait():
    with running_stub() as gateway:
        async with aiohttp.ClientSession() as http:
            call = asyncio.create_task(post(http, gateway, "stream 600 0.1"))
            await asyncio.sleep(0.5)
            gateway.process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.5)
            assert not call.done()
            started = time.monotonic()

            gateway.process.send_signal(signal.SIGINT)
            await asyncio.to_thread(gateway.process.wait, 20)

            with pytest.raises(aiohttp.ClientError):
                await call
    assert time.monotonic() - started < 3


async def test_without_envoy_one_worker_serves_grpc_on_the_public_address():
    with running_stub(with_envoy=False, workers=3) as gateway:
        children = gateway.children()
        async with grpc.aio.insecure_channel(gateway.grpc_target) as channel:
            told = msgspec.json.decode(await channel.unary_unary(TELL)(b"in"))
        log = gateway.log.read_text()

    assert told["rpc"] == TELL
    assert len(children) == 1
    assert "Traceback" not in log


async def test_admin_is_healthy_and_shows_its_own_starts():
    with running_stub() as gateway:
        async with aiohttp.ClientSession() as http, http.get(f"{gateway.admin_url}/healthz") as response:
            healthy = response.status
        shown = await scrape(gateway)

    assert healthy == 200
    assert {name for name in shown if re.match("isthmus_process_starts_total", name)} == {
        'isthmus_process_starts_total{process="worker 0"}',
        'isthmus_process_starts_total{process="envoy"}',
    }
