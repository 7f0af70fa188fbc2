"""From journals into the store: each record once, whatever dies between."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from isthmusd.core.record import Bodies
from isthmusd.core.usage import Usage
from isthmusd.stores import recording
from isthmusd.stores.segments import Unreadable, read_line

from tests.unit.observe.sample import RECORD
from tests.unit.stores.kept import SAMPLE_END, Kept, kept_in, numbered

DAY = 86_400.0


@pytest.fixture
def kept(tmp_path: Path, store_url: str) -> Iterator[Kept]:
    with kept_in(tmp_path, store_url) as made:
        yield made


@pytest.fixture
def in_file(tmp_path: Path) -> Iterator[Kept]:
    """With a store in a file, where a test takes the file itself in hand."""
    with kept_in(tmp_path) as made:
        yield made


def ids(*numbers: int) -> list[str]:
    return [f"record-{number:06d}" for number in numbers]


def test_what_an_ended_writer_left_is_stored_and_its_file_removed(kept: Kept) -> None:
    kept.write(numbered(1), numbered(2))

    kept.sweep()

    assert kept.ids() == ids(2, 1)
    assert kept.segments() == []


def test_the_file_of_a_living_writer_is_followed_and_stays(kept: Kept) -> None:
    with kept.journal() as journal, closing(kept.recorder()) as recorder:
        journal.write(numbered(1))
        recorder.sweep()
        first = kept.ids()
        journal.write(numbered(2))
        waits = recorder.sweep()

        assert (first, kept.ids()) == (ids(1), ids(2, 1))
        assert len(kept.segments()) == 1
        assert waits


def test_nothing_is_left_when_nothing_waits(kept: Kept) -> None:
    kept.write(numbered(1))

    with closing(kept.recorder()) as recorder:
        recorder.sweep()

        assert recorder.sweep() is False


def test_r19_a_journal_that_is_replayed_twice_gives_one_row(kept: Kept) -> None:
    kept.write(numbered(1), numbered(2))
    (segment,) = kept.segments()
    left = segment.read_bytes()

    for _ in range(3):
        segment.write_bytes(left + left)
        kept.sweep()

    assert kept.ids() == ids(2, 1)


def test_r19_a_recorder_that_died_before_it_removed_a_file_stores_it_once(kept: Kept) -> None:
    with kept.journal() as journal:
        journal.write(numbered(1))
        kept.sweep()
        kept.sweep()
        journal.write(numbered(2))
    kept.sweep()

    assert kept.ids() == ids(2, 1)


def test_more_than_a_transaction_takes_is_stored(kept: Kept) -> None:
    kept.write(*(numbered(number) for number in range(recording.BATCH + 7)))

    kept.sweep()

    assert len(kept.ids()) == recording.BATCH + 7


def test_a_torn_last_line_is_told_and_skipped(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    kept.write(numbered(1))
    (segment,) = kept.segments()
    with segment.open("ab") as file:
        file.write(b'{"record":{"id":"to')

    kept.sweep()

    assert kept.ids() == ids(1)
    assert kept.segments() == []
    assert "19 bytes of a record are left" in caplog.text


def test_a_line_that_grows_is_read_once_it_is_whole(kept: Kept) -> None:
    with kept.journal() as journal, closing(kept.recorder()) as recorder:
        journal.write(numbered(1))
        (segment,) = kept.segments()
        whole = segment.read_bytes()
        segment.write_bytes(whole[:50])
        recorder.sweep()
        before = kept.ids()
        segment.write_bytes(whole)
        recorder.sweep()

    assert (before, kept.ids()) == ([], ids(1))


@pytest.mark.parametrize(
    "line", [b"garbage", b'{"record":{"id":1}}', b"{}", b'{"record":null}', b"\xff\xfe", b"[" * 100_000]
)
def test_a_line_that_is_no_record_holds_up_nobody(kept: Kept, line: bytes, caplog: pytest.LogCaptureFixture) -> None:
    kept.write(numbered(1))
    (segment,) = kept.segments()
    with segment.open("ab") as file:
        file.write(line + b"\n")
    kept.write(numbered(2))

    kept.sweep()

    assert kept.ids() == ids(2, 1)
    assert (kept.options.journal / "rejected.jsonl").read_bytes() == line + b"\n"
    assert "is no record" in caplog.text


def test_what_is_no_file_holds_up_nobody(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    (kept.options.journal / "0-0-0.jsonl").mkdir(parents=True)
    kept.write(numbered(1))

    kept.sweep(times=3)

    assert kept.ids() == ids(1)
    assert caplog.text.count("0-0-0.jsonl cannot be read") == 1


def test_two_recorders_of_one_folder_store_each_record_once(kept: Kept) -> None:
    with kept.journal() as journal, closing(kept.recorder()) as one, closing(kept.recorder()) as other:
        for number in range(5):
            journal.write(numbered(number))
            one.sweep()
            other.sweep()
    kept.sweep()

    assert kept.ids() == ids(4, 3, 2, 1, 0)
    assert kept.segments() == []


def test_what_is_rejected_is_bounded(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    kept.options.journal.mkdir()
    rejected = kept.options.journal / "rejected.jsonl"
    rejected.touch()
    os.truncate(rejected, recording.REJECTED_BYTES)
    (kept.options.journal / "1-1-1.jsonl").write_bytes(b"garbage\n")

    kept.sweep()

    assert rejected.stat().st_size == recording.REJECTED_BYTES
    assert kept.segments() == []
    assert "is full; the line is lost" in caplog.text


def test_numbers_and_names_that_databases_do_not_take_are_bounded() -> None:
    kept = read_line(b'{"record":%s}' % b"".join(
        (b'{"id":"a","started_at":1,"duration_s":2,"operation":"chat","status":200,"end":"complete",',
         b'"model":"a\\u0000b","project":"%s",' % (b"p" * 5000),
         b'"usage":{"prompt_tokens":%d,"completion_tokens":-5}}' % 10**18)
    ))  # fmt: skip

    assert (kept["model"], len(kept["project"])) == ("ab", 500)
    assert (kept["prompt_tokens"], kept["completion_tokens"]) == (10**18, 0)
    with pytest.raises(Unreadable):
        read_line(b"")


def test_a_provider_that_counts_beyond_all_bounds_loses_its_count_only(kept: Kept) -> None:
    kept.write(numbered(1, usage=Usage(prompt_tokens=2**63)), numbered(2))

    kept.sweep()

    assert kept.ids() == ids(2, 1)


def lock(path: Path) -> sqlite3.Connection:
    """Hold the store as a process does that stands still in a transaction."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    return connection


def test_while_the_store_answers_nothing_records_wait(in_file: Kept, caplog: pytest.LogCaptureFixture) -> None:
    in_file.write(numbered(1))
    with closing(in_file.recorder()) as recorder, closing(lock(in_file.folder / "isthmus.db")) as holder:
        assert recorder.sweep()
        assert len(in_file.segments()) == 1
        in_file.write(numbered(2))
        assert recorder.sweep(), "it does not try again at once"

        holder.execute("ROLLBACK")
        recorder._paused_until = 0.0  # pyright: ignore[reportPrivateUsage] - later
        recorder.sweep()

    assert in_file.ids() == ids(2, 1)
    assert in_file.segments() == []
    assert caplog.text.count("records wait in their journals") == 1


def test_the_pause_grows_to_a_bound(in_file: Kept) -> None:
    in_file.write(numbered(1))
    (in_file.folder / "isthmus.db").rename(in_file.folder / "gone")
    (in_file.folder / "isthmus.db").mkdir()

    pauses = list[float]()
    with closing(in_file.recorder()) as recorder:
        for _ in range(8):
            recorder._paused_until = 0.0  # pyright: ignore[reportPrivateUsage] - later
            recorder.sweep()
            pauses.append(recorder._pause_s)  # pyright: ignore[reportPrivateUsage] - see above

    assert pauses[0] == recording.FIRST_PAUSE_S
    assert pauses == sorted(pauses)
    assert pauses[-1] == recording.LONGEST_PAUSE_S


def test_records_past_their_time_are_deleted(kept: Kept) -> None:
    kept.write(*(numbered(number) for number in range(5)))
    kept.now = SAMPLE_END + DAY + 2.5

    kept.sweep(retention_s=DAY)

    assert kept.ids() == ids(4, 3)


def test_of_too_many_records_the_oldest_are_deleted(kept: Kept) -> None:
    kept.write(*(numbered(number) for number in range(50)))

    kept.sweep(max_count=3)

    assert kept.ids() == ids(49, 48, 47)


def test_a_deletion_that_is_large_is_done_in_parts(kept: Kept) -> None:
    kept.write(*(numbered(number) for number in range(2500)))
    kept.now = SAMPLE_END + DAY + 2400

    kept.sweep(retention_s=DAY)

    assert kept.ids() == ids(*range(2499, 2399, -1))


def test_records_are_looked_through_once_a_minute(kept: Kept) -> None:
    kept.write(numbered(1))
    with closing(kept.recorder(retention_s=DAY)) as recorder:
        recorder.sweep()
        kept.now += DAY + 100
        kept.write(numbered(2, started_at=kept.now))
        recorder.sweep()
        at_first = kept.ids()
        kept.now += 61
        recorder.sweep()

    assert at_first == ids(2)


def test_an_idle_recorder_loads_no_database_library(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from isthmusd import recorder\n"
        "from isthmusd.stores.database import Database\n"
        "from isthmusd.stores.options import RecordsOptions, StoreOptions\n"
        "from isthmusd.stores.recording import Recorder\n"
        "r = Recorder(RecordsOptions(journal=Path(sys.argv[1])), Database(StoreOptions(url='sqlite:////nowhere')))\n"
        "assert r.sweep() is False\n"
        "print(sorted({'sqlalchemy', 'grpc', 'cryptography', 'aiohttp'} & set(sys.modules)))\n"
    )

    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_bodies_come_into_the_store_sealed(in_file: Kept) -> None:
    in_file.write(replace(RECORD, bodies=Bodies(asked=b"the question", answered=b"the answer")))

    in_file.sweep()

    with sqlite3.connect(in_file.folder / "isthmus.db") as connection:
        (row,) = connection.execute("SELECT asked, answered, data FROM records").fetchall()
    connection.close()
    assert all(b"the question" not in bytes(value) and b"the answer" not in bytes(value) for value in row)
    assert b'"bodies":"kept"' in row[2]
