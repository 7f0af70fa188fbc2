"""The supervisor and its parts inside the test's own process."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

import aiohttp
import pytest
from isthmusd.edge import process, workers
from isthmusd.edge.errors import AddressInUse, ChildFailed
from isthmusd.edge.folder import sweep
from isthmusd.edge.options import Address, EdgeOptions
from isthmusd.edge.ports import reserved
from isthmusd.edge.process import Command, Kept
from isthmusd.edge.pulse import Patience
from isthmusd.edge.supervisor import Supervisor
from isthmusd.edge.workers import Folder

from tests.fakes.stub_gateway import STUB

pytestmark = pytest.mark.edge

ANY = Address(host="127.0.0.1", port=0)
FOLDER = Folder(root=Path("anywhere"))
FOR_EVER = (sys.executable, "-c", "import time; time.sleep(100)")
STUBBORN = (sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(100)")


async def eventually(holds, limit_s: float = 10) -> None:
    async with asyncio.timeout(limit_s):
        while not holds():  # noqa: ASYNC110 - what happens in other processes sets no event
            await asyncio.sleep(0.02)


def supervisor(
    said: list[str], *, worker_argv: tuple[str, ...] = STUB, with_envoy: bool = True, admin: Address = ANY
) -> Supervisor:
    options = EdgeOptions(listen=ANY, admin=admin, workers=2, with_envoy=with_envoy, drain_s=5)
    patience = Patience(every_s=0.2, looks=5)
    return Supervisor(options, b"{}", os.environ, announce=said.append, worker_argv=worker_argv, patience=patience)


async def get(http: aiohttp.ClientSession, url: str, stub: str = "tell") -> str:
    async with http.get(url, headers={"x-stub": stub}) as response:
        assert response.status == 200
        return await response.text()


async def test_a_run_from_start_to_drain():
    said: list[str] = []
    with reserved(ANY, "--admin") as address:
        admin = f"http://{address}"
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
        run = group.create_task(supervisor(said, admin=address).run())
        await eventually(lambda: said or run.done(), 60)
        (url,) = re.findall(r"http://\S+", said[0])

        healthy = await get(http, f"{admin}/healthz")
        metrics = await get(http, f"{admin}/metrics")
        in_flight = group.create_task(get(http, f"{url}/v1/models", "stream 15 0.1"))
        await asyncio.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)

    assert len(said) == 1
    assert healthy == "ok\n"
    assert 'isthmus_process_starts_total{process="envoy"} 1.0' in metrics
    assert in_flight.result().endswith("[DONE]\n\n")


async def test_a_run_without_envoy():
    said: list[str] = []
    async with asyncio.TaskGroup() as group:
        run = group.create_task(supervisor(said, with_envoy=False).run())
        await eventually(lambda: said or run.done(), 60)

        os.kill(os.getpid(), signal.SIGTERM)

    assert len(said) == 1
    assert said[0].startswith("isthmus ready at grpc://127.0.0.1:")


async def test_a_worker_that_stands_still_is_replaced():
    said: list[str] = []
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
        run = group.create_task(supervisor(said).run())
        await eventually(lambda: said or run.done(), 60)
        (url,) = re.findall(r"http://\S+", said[0])
        still = json.loads(await get(http, f"{url}/v1/models"))["pid"]

        os.kill(still, signal.SIGSTOP)

        await eventually(lambda: not Path(f"/proc/{still}").exists())
        answers = [json.loads(await get(http, f"{url}/v1/models")) for _ in range(20)]
        os.kill(os.getpid(), signal.SIGTERM)

    assert still not in {answer["pid"] for answer in answers}


async def test_a_signal_during_the_start_ends_it():
    said: list[str] = []
    async with asyncio.TaskGroup() as group:
        group.create_task(supervisor(said, worker_argv=FOR_EVER).run())
        await asyncio.sleep(0.5)

        os.kill(os.getpid(), signal.SIGINT)

    assert said == []


async def test_a_worker_that_cannot_start_is_named():
    with pytest.raises(ChildFailed, match=r"worker [01] cannot start"):
        await supervisor([], worker_argv=("false",)).run()


async def test_a_process_is_started_again_until_it_is_stopped():
    dead: list[int] = []
    kept = Kept(Command(name="test", argv=FOR_EVER, environ=os.environ, after_death=dead.append))
    running = asyncio.ensure_future(kept.run())
    await eventually(lambda: kept.pid)
    first = kept.pid

    os.kill(first, signal.SIGKILL)
    await eventually(lambda: kept.pid not in {None, first})
    second = kept.pid
    await kept.stop(5)
    await running

    assert dead == [first, second]
    assert kept.started_count == 2
    assert kept.pid is None


async def test_a_process_that_keeps_dying_is_given_up():
    kept = Kept(Command(name="test", argv=("sh", "-c", "exit 3"), environ=os.environ, deaths_allowed=2))

    with pytest.raises(ChildFailed, match="test keeps ending with exit code 3"):
        await kept.run()

    assert kept.started_count == 3


async def test_a_process_that_ignores_the_polite_way_is_killed():
    kept = Kept(Command(name="test", argv=STUBBORN, environ=os.environ))
    running = asyncio.ensure_future(kept.run())
    await eventually(lambda: kept.pid)
    await asyncio.sleep(0.5)
    started = time.monotonic()

    await kept.stop(0.3)
    await running

    assert 0.2 < time.monotonic() - started < 3


def test_without_setpriv_a_command_runs_as_it_is(tmp_path: Path):
    path = os.environ["PATH"]
    try:
        os.environ["PATH"] = str(tmp_path)
        assert process.bound_to_us(("a", "b")) == ["a", "b"]
    finally:
        os.environ["PATH"] = path


def test_a_reserved_port_is_real_and_can_still_be_listened_on():
    with reserved(ANY, "--listen") as address, socket.create_server((address.host, address.port)):
        assert address.port != 0


def test_a_port_that_somebody_listens_on_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address(host="127.0.0.1", port=taken.getsockname()[1])

        with pytest.raises(AddressInUse, match=r"--admin .* is in use"), reserved(address, "--admin"):
            pass


async def test_workers_know_their_place_and_their_peers(tmp_path: Path):
    folder = Folder(root=tmp_path)

    posts = workers.behind_envoy(folder, 2)

    assert [post.bind for post in posts] == [f"unix:{tmp_path}/w0.sock", f"unix:{tmp_path}/w1.sock"]
    assert {post.peers for post in posts} == {(f"unix:{tmp_path}/p0.sock", f"unix:{tmp_path}/p1.sock")}
    assert [post.peers for post in workers.behind_envoy(folder, 1)] == [()]
    assert all(post.edge for post in posts)
    assert not await workers.accepts(posts[0])
    assert [post.edge for post in workers.alone(FOLDER, ANY, False) + workers.alone(FOLDER, ANY, True)] == [False, True]


def test_settings_are_for_their_owner_only(tmp_path: Path):
    folder = Folder(root=tmp_path)

    folder.create(b"secret")

    assert folder.settings.read_bytes() == b"secret"
    assert folder.settings.stat().st_mode & 0o077 == 0
    assert folder.metrics.stat().st_mode & 0o077 == 0


def test_what_a_killed_run_left_goes_and_a_living_runs_stays(tmp_path: Path):
    left, living, foreign = (tmp_path / name for name in ("isthmus-left", "isthmus-living", "isthmus-foreign"))
    for folder in (left, living, foreign):
        folder.mkdir()
        (folder / "settings.json").write_text("secret")
    for folder in (left, living):
        (folder / "lock").touch()

    with (living / "lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sweep(tmp_path, settled_s=-1)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["isthmus-foreign", "isthmus-living"]


def test_a_pipe_in_a_locks_place_holds_nobody_up(tmp_path: Path):
    (tmp_path / "isthmus-trap").mkdir()
    os.mkfifo(tmp_path / "isthmus-trap" / "lock")

    sweep(tmp_path, settled_s=-1)

    assert (tmp_path / "isthmus-trap").exists()


def test_a_young_folder_is_left_alone(tmp_path: Path):
    (tmp_path / "isthmus-young").mkdir()
    (tmp_path / "isthmus-young" / "lock").touch()

    sweep(tmp_path)

    assert (tmp_path / "isthmus-young").exists()
