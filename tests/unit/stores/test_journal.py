"""A worker's journal: what is in its files, and that nothing in the world makes it raise."""

from __future__ import annotations

import base64
import fcntl
import os
import resource
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from isthmusd.core.record import Bodies
from isthmusd.stores import journal as journals

from tests.fakes.callers import KEYRING
from tests.unit.observe.sample import RECORD
from tests.unit.stores.kept import Kept, kept_in, numbered


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    with kept_in(tmp_path) as made:
        yield made


def test_a_record_is_in_the_file_when_write_returns(kept: Kept) -> None:
    with kept.journal() as journal:
        journal.write(RECORD)

        (line,) = kept.lines()

    assert line["record"]["id"] == RECORD.id
    assert line["record"]["usage"]["prompt_tokens"] == 7
    assert "bodies" not in line["record"]
    assert kept.drops == []


def test_a_worker_without_calls_makes_no_file(kept: Kept) -> None:
    with kept.journal():
        pass

    assert not kept.options.journal.exists()


def test_only_the_owner_reads_journals(kept: Kept) -> None:
    kept.write(RECORD)

    (segment,) = kept.segments()
    assert stat.S_IMODE(segment.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.options.journal.stat().st_mode) == 0o700
    assert f"-{os.getpid()}-" in segment.name


def test_bodies_are_sealed_each_for_its_own_place(kept: Kept) -> None:
    bodies = Bodies(asked=b"the question", answered=b"the answer \xff", cut=True)

    kept.write(replace(RECORD, bodies=bodies))

    (line,) = kept.lines()
    written = kept.segments()[0].read_bytes()
    assert line["record"]["bodies"] == "cut"
    assert b"the question" not in written
    assert base64.b64encode(b"the question") not in written
    for side, plain in (("asked", bodies.asked), ("answered", bodies.answered)):
        sealed = base64.b64decode(line[side])
        assert KEYRING.open(sealed, purpose="bodies", owner=f"{RECORD.id}/{side}") == plain


def test_a_living_writer_holds_the_lock_of_its_file(kept: Kept) -> None:
    with kept.journal() as journal:
        journal.write(RECORD)
        with kept.segments()[0].open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    with kept.segments()[0].open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_file_that_is_full_is_followed_by_another(tmp_path: Path) -> None:
    with kept_in(tmp_path, segment_bytes=2000) as kept:
        kept.write(*(numbered(number) for number in range(10)))

        assert len(kept.segments()) > 3
        assert all(path.stat().st_size <= 2000 for path in kept.segments())
        assert [line["record"]["id"] for line in kept.lines()] == [f"record-{number:06d}" for number in range(10)]


def test_a_file_that_is_old_is_followed_by_another(kept: Kept) -> None:
    with kept.journal() as journal:
        journal.write(numbered(1))
        journal._opened_at -= journals.SEGMENT_S + 1  # pyright: ignore[reportPrivateUsage] - ten minutes later
        journal.write(numbered(2))

        assert len(kept.segments()) == 2


def test_a_full_journal_drops_and_counts_until_files_go(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with kept_in(tmp_path, journal_bytes=4000) as kept, kept.journal() as journal:
        for number in range(20):
            journal.write(numbered(number))
        held = len(kept.lines())
        size = sum(path.stat().st_size for path in kept.segments())

        assert 0 < held < 20
        assert size <= 4000
        assert len(kept.drops) == 20 - held
        assert caplog.text.count("records of calls are lost") == 1, "once in a minute is enough"

        for path in kept.segments():
            path.unlink()
        journal._looked_at -= journals.LOOK_AGAIN_S  # pyright: ignore[reportPrivateUsage] - a moment later
        journal.write(numbered(99))

        assert [line["record"]["id"] for line in kept.lines()] == ["record-000099"]
        assert len(kept.drops) == 20 - held


def test_a_folder_that_cannot_be_made_costs_records_and_nothing_else(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    kept.options.journal.write_bytes(b"a file where the folder should be")

    kept.write(RECORD, RECORD)

    assert len(kept.drops) == 2
    assert "cannot be written: File exists" in caplog.text

    kept.options.journal.unlink()
    kept.write(RECORD)

    assert len(kept.lines()) == 1


def test_a_record_that_no_json_can_hold_is_dropped(kept: Kept) -> None:
    kept.write(replace(RECORD, request_id="\udce9"), numbered(2))

    assert len(kept.drops) == 1
    assert [line["record"]["id"] for line in kept.lines()] == ["record-000002"]


def test_a_part_of_a_line_that_the_disk_took_is_taken_back(kept: Kept) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with kept.journal() as journal:
        journal.write(numbered(1))
        full = kept.segments()[0].stat().st_size + 100
        resource.setrlimit(resource.RLIMIT_FSIZE, (full, hard))
        try:
            journal.write(numbered(2))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        journal.write(numbered(3))

    assert [line["record"]["id"] for line in kept.lines()] == ["record-000001", "record-000003"]
    assert len(kept.drops) == 1


def test_a_file_that_its_reader_saw_too_early_is_left_to_it(kept: Kept) -> None:
    """Between making and locking: the reader takes the lock, and removes what it thinks is nobody's."""
    path = kept.folder / "made"
    mine = os.open(path, journals.FLAGS, mode=0o600)
    path.unlink()

    locked = journals._locked(mine)  # pyright: ignore[reportPrivateUsage] - the moment cannot be met from outside

    os.close(mine)
    assert not locked
