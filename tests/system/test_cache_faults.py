"""Whatever happens to the store of cached answers, every call is answered, hardly later, and it is counted."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.answers import chat_body as chat_answer
from tests.fakes.answers import whole
from tests.fakes.valkey import Valkey, running_valkey
from tests.system.caching import HIT, chat_body, faults, fresh_text, holds, metric, post, status_of
from tests.system.pair import Pair, closed_port, eventually, running_pair
from tests.system.wire import Response

pytestmark = pytest.mark.edge
DEADLINE_S = 0.05
SLACK_S = 0.1
"""For a machine that has other things to do: what hangs would take seconds."""
CALLS = 15
NEVER = ("x-isthmus-cache", "never")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Calls, each for itself, and what half of them took at most."""

    answers: list[Response]
    median_s: float
    longest_s: float


async def calls(pair: Pair, *more: tuple[str, str], text: str | None = None) -> Timed:
    """Ask for new answers, or for one again and again."""
    answers, times = list[Response](), list[float]()
    for _ in range(CALLS):
        body = chat_body(text or fresh_text())
        began = time.perf_counter()
        answers.append(await post(pair, body, *more))
        times.append(time.perf_counter() - began)
    return Timed(answers=answers, median_s=statistics.median(times), longest_s=max(times))


async def assert_unharmed(pair: Pair, *, counted: bool = True, text: str | None = None) -> None:
    """Ask while the store is broken, and beside it without the cache: a machine that is slow is slow for both."""
    before = faults(pair)
    plain = await calls(pair, NEVER)
    broken = await calls(pair, text=text)
    seen = not counted or await asyncio.to_thread(eventually, lambda: faults(pair) > before)

    assert {each.status for each in broken.answers} == {200}
    assert {each.headers["x-isthmus-cache"] for each in broken.answers} <= {"MISS", "HIT"}
    assert broken.median_s < plain.median_s + DEADLINE_S
    assert broken.longest_s < plain.longest_s + 2 * DEADLINE_S + SLACK_S
    assert seen


async def works(pair: Pair) -> bool:
    """Whether what is asked twice is a hit, whatever became of what was kept before."""
    text = fresh_text()
    return status_of(await post(pair, chat_body(text))) == (200, "MISS") and (
        status_of(await post(pair, chat_body(text))) == HIT
    )


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    with running_valkey(port=True) as server:
        yield server


@contextmanager
def before_valkey(url: str, **cache: Any) -> Generator[Pair]:
    """Two workers that keep nothing themselves."""
    with running_pair(2, cache={"url": url, "memory_bytes": 0, **cache}) as pair:
        yield pair


async def test_a_server_that_is_away_at_the_start_harms_nobody() -> None:
    with before_valkey(f"redis://127.0.0.1:{closed_port()}") as pair:
        await assert_unharmed(pair)


@pytest.mark.parametrize(
    ("breaks", "mends"), [(Valkey.stop, Valkey.start), (Valkey.pause, Valkey.go_on)], ids=["killed", "standing still"]
)
async def test_a_server_that_breaks_harms_nobody_and_is_used_again(
    valkey: Valkey, breaks: Callable[[Valkey], None], mends: Callable[[Valkey], None]
) -> None:
    with before_valkey(valkey.url) as pair:
        before = await becomes(pair, keeps=True)
        breaks(valkey)
        try:
            await assert_unharmed(pair)
        finally:
            mends(valkey)
        after = await becomes(pair, keeps=True)

    assert before
    assert after


async def test_a_server_that_forgets_everything_only_misses(valkey: Valkey) -> None:
    with before_valkey(valkey.url) as pair:
        for _ in range(5):
            assert await becomes(pair, keeps=True)
            valkey.say("FLUSHALL")
        plain = await calls(pair, NEVER)
        flushed = await calls(pair)

    assert {status_of(each) for each in flushed.answers} == {(200, "MISS")}
    assert flushed.median_s < plain.median_s + DEADLINE_S


@pytest.mark.parametrize("words", [("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "requirepass", "changed")])
async def test_a_server_that_refuses_harms_nobody(valkey: Valkey, words: tuple[str, ...]) -> None:
    with before_valkey(valkey.url) as pair:
        assert await becomes(pair, keeps=True)
        valkey.say("CONFIG", "SET", "maxmemory-policy", "noeviction")
        valkey.say(*words)
        if "requirepass" in words:
            valkey.stop()
            valkey.options = ("--requirepass", "changed")
            valkey.start()

        await assert_unharmed(pair)


async def becomes(pair: Pair, *, keeps: bool) -> bool:
    """Wait until the store keeps answers, or does not: a worker rests a while after a fault."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        text = fresh_text()
        await post(pair, chat_body(text))
        await asyncio.sleep(0.1)
        kept = {status_of(await post(pair, chat_body(text))) for _ in range(6)} == {HIT}
        if kept is keeps:
            return True
    return False


@contextmanager
def before_file(data: Path, **cache: Any) -> Generator[Pair]:
    """Two workers that keep nothing themselves."""
    with running_pair(2, data=str(data), cache={"memory_bytes": 0, **cache}) as pair:
        yield pair


async def test_a_file_that_is_deleted_is_made_anew(tmp_path: Path) -> None:
    with before_file(tmp_path) as pair:
        before = await becomes(pair, keeps=True)
        delete(tmp_path)
        await assert_unharmed(pair, counted=False)
        after = await becomes(pair, keeps=True)

    assert before
    assert after
    assert (tmp_path / "cache.db").exists()


async def test_a_file_that_another_process_holds_harms_nobody(tmp_path: Path) -> None:
    with before_file(tmp_path) as pair:
        assert await becomes(pair, keeps=True)
        with closing(sqlite3.connect(tmp_path / "cache.db", timeout=10, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            began = time.monotonic()
            await assert_unharmed(pair)
            await asyncio.sleep(max(0.0, 5 - (time.monotonic() - began)))
            other.execute("ROLLBACK")
        after = await becomes(pair, keeps=True)

    assert after


async def test_a_file_in_which_others_lock_readers_out_harms_nobody(tmp_path: Path) -> None:
    """Without WAL a writer shuts out who reads."""
    with before_file(tmp_path) as pair:
        assert await becomes(pair, keeps=True)
        with closing(sqlite3.connect(tmp_path / "cache.db", timeout=10, isolation_level=None)) as other:
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
            with suppress(sqlite3.OperationalError):
                other.execute("BEGIN EXCLUSIVE")
            await assert_unharmed(pair, counted=False)
        after = await becomes(pair, keeps=True)

    assert after


def delete(data: Path) -> None:
    for path in data.glob("cache.db*"):
        path.unlink()


GARBAGE: dict[str, Callable[[Path], None]] = {
    "no database": lambda path: path.write_bytes(os.urandom(8192)),
    "cut": lambda path: os.truncate(path, 5000),
    "empty": lambda path: os.truncate(path, 0),
    "holes": lambda path: _overwrite(path, 4096, b"\xff" * 4096),
    "head": lambda path: _overwrite(path, 0, b"\0" * 100),
    "end": lambda path: _overwrite(path, path.stat().st_size - 2048, os.urandom(2048)),
}


def _overwrite(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


@pytest.mark.parametrize("damage", GARBAGE)
async def test_a_file_that_is_damaged_harms_nobody_and_is_replaced(tmp_path: Path, damage: str) -> None:
    with before_file(tmp_path) as pair:
        text = fresh_text()
        pair.provider.reply_with(whole(chat_answer("ok", "kept")))
        await post(pair, chat_body(text))
        assert await becomes(pair, keeps=True)
        checkpoint(tmp_path)
        GARBAGE[damage](tmp_path / "cache.db")
        await assert_unharmed(pair, counted=False)
        again = await post(pair, chat_body(text))
        after = await becomes(pair, keeps=True)

    assert after
    assert status_of(again) in {HIT, (200, "MISS")}
    assert again.json()["choices"][0]["message"]["content"] in {"kept", "Hello, wörld 🌍"}


def checkpoint(data: Path) -> None:
    """Bring everything into the file itself."""
    with closing(sqlite3.connect(data / "cache.db", timeout=10)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def test_a_file_that_may_not_be_written_is_still_read(tmp_path: Path) -> None:
    """Root may write everywhere: a foreign file in its place is as good."""
    with before_file(tmp_path) as pair:
        assert await becomes(pair, keeps=True)
        delete(tmp_path)
        (tmp_path / "cache.db").mkdir()
        await assert_unharmed(pair)
        (tmp_path / "cache.db").rmdir()
        after = await becomes(pair, keeps=True)

    assert after


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of two megabytes, where this machine lets us mount one; else the smallest room that can be set."""
    folder = Path(tempfile.mkdtemp(prefix="isthmus-disk-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "isthmus-test", str(folder)], capture_output=True, check=False
        )
        if done.returncode == 0:
            stack.callback(subprocess.run, ["umount", "-l", str(folder)], capture_output=True, check=False)
        yield folder


async def test_a_disk_that_is_full_harms_nobody(small_disk: Path) -> None:
    place = small_disk / "cache.db"
    with running_pair(2, cache={"url": f"sqlite:///{place}", "memory_bytes": 0}) as pair:
        assert await becomes(pair, keeps=True)
        is_small = fill(small_disk)
        pair.provider.reply_always(whole(chat_answer("ok", "word " * 20_000)))
        await assert_unharmed(pair, counted=is_small)
        pair.provider.reply_always(None)
        (small_disk / "filler").unlink()
        after = await becomes(pair, keeps=True)

    assert after


def fill(folder: Path) -> bool:
    """Take all the room there is, where it is little; tells whether it is."""
    is_small = folder.is_mount()
    with (folder / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while is_small and filler.write(bytes(4096)):
            pass
    return is_small


async def test_what_is_kept_in_memory_is_served_while_the_store_is_away(valkey: Valkey) -> None:
    with running_pair(1, cache={"url": valkey.url}) as pair:
        text = fresh_text()
        await post(pair, chat_body(text))
        valkey.stop()
        hits = await calls(pair, text=text)

    assert {status_of(each) for each in hits.answers} == {HIT}


def misses(pair: Pair) -> float:
    return metric(pair, "isthmus_cache_calls_total", operation="chat", result="miss")


async def test_metrics_tell_what_the_store_did(tmp_path: Path) -> None:
    with before_file(tmp_path) as pair:
        before = metric(pair, "isthmus_cache_store_seconds_count", operation="get")
        await calls(pair)
        kept = await asyncio.to_thread(holds, tmp_path, CALLS)

        assert kept
        assert metric(pair, "isthmus_cache_store_seconds_count", operation="get") >= before + CALLS
        assert await asyncio.to_thread(eventually, lambda: misses(pair) == CALLS)
        assert faults(pair) == 0
