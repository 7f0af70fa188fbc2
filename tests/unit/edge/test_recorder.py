"""The recorder's process: what it is told, when it ends, and what of its work is shown."""

from __future__ import annotations

import signal
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from isthmusd import recorder as process
from isthmusd.edge.admin import merged
from isthmusd.edge.recorder import command, journal_bytes
from isthmusd.edge.workers import Folder
from isthmusd.stores.options import RecordingOptions, RecordsOptions, StoreOptions
from isthmusd.stores.recording import Recorder

OPTIONS = RecordingOptions(
    store=StoreOptions(url="postgresql://u:the-password@h/n", timeout_s=3.0),
    records=RecordsOptions(journal=Path("/data/journal"), retention_s=60.0, max_count=5),
    log_level="warning",
)


def test_what_it_is_told_is_in_a_file_of_its_owner_and_not_in_the_environment(tmp_path: Path) -> None:
    started = command(OPTIONS, Folder(root=tmp_path), {"PATH": "/bin"})

    for _ in range(2):  # as often as it is started
        started.before_start()

    told = Path(started.environ["ISTHMUS_RECORDER"])
    assert stat.S_IMODE(told.stat().st_mode) == 0o600
    assert process.read_options(told.read_bytes()) == OPTIONS
    assert "the-password" not in str(started)
    assert started.environ["PATH"] == "/bin"


@dataclass(slots=True)
class Sweeps(Recorder):
    """Counts sweeps instead of making them; something is left until the last one."""

    left: int
    count: int = 0

    def sweep(self) -> bool:
        self.count += 1
        if self.count == 2:
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        return self.count < self.left


@pytest.fixture
def held_signals() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, process.STOPS)
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.mark.usefixtures("held_signals")
@pytest.mark.parametrize(("left", "count"), [(0, 3), (5, 5)], ids=["nothing left", "something left"])
def test_it_ends_when_it_is_told_to_and_nothing_is_left(left: int, count: int) -> None:
    sweeps = Sweeps(left)

    process.run(sweeps)

    assert sweeps.count == count


def test_files_of_the_journal_are_measured(tmp_path: Path) -> None:
    (tmp_path / "1-1-1.jsonl").write_bytes(b"x" * 100)
    (tmp_path / "2-1-1.jsonl").write_bytes(b"x" * 50)
    (tmp_path / "rejected.jsonl").write_bytes(b"x" * 1000)

    shown = merged(tmp_path, dict, tmp_path).decode()

    assert journal_bytes(tmp_path) == 150
    assert journal_bytes(tmp_path / "nothing") == 0
    assert journal_bytes(tmp_path / "rejected.jsonl") == 0
    assert "isthmus_records_journal_bytes 150.0" in shown
    assert "isthmus_records_journal_bytes" not in merged(tmp_path, dict).decode()
