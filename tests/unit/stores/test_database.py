"""Transactions over both kinds of store, and what callers see of a store that does not answer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from isthmusd.core.errors import Unavailable
from isthmusd.stores.changes import announce, changes_since, read_generation
from isthmusd.stores.database import Database
from isthmusd.stores.news import Change, ChangeKind, Changes
from isthmusd.stores.options import StoreOptions
from isthmusd.stores.tables import changes, meta
from isthmusd.stores.urls import UnusableStore, sqlite_url
from sqlalchemy import exc, func, insert, select, update

from tests.fakes.postgres import Postgres

CHANGE = Change(ChangeKind.KEY, "a")


class Lost(Exception):
    """Something goes wrong within a transaction."""


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    with closing(Database(StoreOptions(url=store_url, timeout_s=5.0))) as opened:
        yield opened


def test_making_one_loads_nothing(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "absent.db")
    code = (
        "import sys\n"
        "from isthmusd.stores.administration import StoreAdministration\n"
        "from isthmusd.stores.database import Database\n"
        "from isthmusd.stores.options import StoreOptions\n"
        "from isthmusd.stores.provision import provision\n"
        f"Database(StoreOptions(url={url!r})).close()\n"
        "print(sorted({'sqlalchemy', 'alembic', 'psycopg'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
    assert not (tmp_path / "absent.db").exists()


def test_what_is_written_is_read(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(insert(meta).values(name="a", value="b"))

    with database.reading() as connection:
        assert connection.execute(select(meta.c.value).where(meta.c.name == "a")).scalar_one() == "b"


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    with pytest.raises(Lost), database.writing() as connection:
        connection.execute(insert(meta).values(name="a", value="b"))
        announce(connection, ChangeKind.KEY, "a")
        raise Lost

    with database.reading() as connection:
        assert connection.execute(select(meta.c.name).where(meta.c.name == "a")).first() is None
        assert read_generation(connection) == 0


def test_it_opens_again_after_it_was_closed(database: Database) -> None:
    database.close()

    with database.reading() as connection:
        assert read_generation(connection) == 0


def test_changes_are_told_in_their_order(database: Database) -> None:
    for subject in ("a", "b"):
        with database.writing() as connection:
            announce(connection, ChangeKind.KEY, subject)

    with database.reading() as connection:
        assert changes_since(connection, 0).changes == (CHANGE, Change(ChangeKind.KEY, "b"))
        assert changes_since(connection, 1).changes == (Change(ChangeKind.KEY, "b"),)
        assert changes_since(connection, 2).changes == ()
        assert changes_since(connection, 1).generation == 2


def test_who_was_away_for_long_is_told_to_forget_everything(database: Database) -> None:
    for subject in ("a", "b"):
        with database.writing() as connection:
            announce(connection, ChangeKind.KEY, subject)
            if subject == "a":
                connection.execute(update(changes).values(at=0.0))

    with database.reading() as connection:
        assert changes_since(connection, 0).changes is None
        assert changes_since(connection, 1).changes == (Change(ChangeKind.KEY, "b"),)


def test_a_reader_of_another_store_is_told_to_forget_everything(database: Database) -> None:
    with database.reading() as connection:
        assert changes_since(connection, 7).changes is None


def test_a_mark_tells_histories_of_the_same_numbers_apart(database: Database) -> None:
    for subject in ("a", "b"):
        with database.writing() as connection:
            announce(connection, ChangeKind.KEY, subject)

    with database.reading() as connection:
        first = connection.execute(select(changes.c.at).where(changes.c.generation == 1)).scalar_one()
        told = changes_since(connection, 1, first)
        assert told.changes == (Change(ChangeKind.KEY, "b"),)
        assert told.mark is not None
        assert changes_since(connection, 2, told.mark).changes == ()
        assert changes_since(connection, None) == Changes(2, None, told.mark)
        # Nobody says what was in another history.
        assert changes_since(connection, 1, first + 1).changes is None
        assert changes_since(connection, 2, told.mark + 1).changes is None


def test_writers_at_once_lose_no_change(database: Database) -> None:
    def write(number: int) -> None:
        with database.writing() as connection:
            connection.execute(insert(meta).values(name=str(number), value=""))
            announce(connection, ChangeKind.KEY, str(number))

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(write, range(40)))

    with database.reading() as connection:
        told = changes_since(connection, 0)
    assert told.generation == 40
    assert {change.subject for change in told.changes or ()} == {str(number) for number in range(40)}


def test_a_name_that_is_taken_is_no_outage(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(insert(meta).values(name="a", value="b"))

    with pytest.raises(exc.IntegrityError), database.writing() as connection:
        connection.execute(insert(meta).values(name="a", value="c"))


def test_errors_name_no_value(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(insert(meta).values(name="a", value="b"))

    with pytest.raises(exc.IntegrityError) as caught, database.writing() as connection:
        connection.execute(insert(meta).values(name="a", value="canary-in-a-row"))

    assert "canary-in-a-row" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["sqlite:////nowhere/at/all.db", "postgresql://somebody:canary-password@127.0.0.1:1/nothing"],
)
def test_r20_an_absent_store_is_unavailable_and_shows_nothing(url: str, caplog: pytest.LogCaptureFixture) -> None:
    database = Database(StoreOptions(url=url, timeout_s=0.5))

    for _ in range(2):
        with pytest.raises(Unavailable) as caught, database.reading():
            pass

    assert (caught.value.http_status, caught.value.code, caught.value.retry_after_s) == (503, "store_unavailable", 1)
    assert caught.value.message == "the store does not answer; try again in a moment"
    assert len(caplog.records) == 1
    assert "canary-password" not in caplog.text


def test_r20_a_writer_waits_for_another_only_so_long(store_url: str) -> None:
    options = StoreOptions(url=store_url, timeout_s=0.3)
    with closing(Database(options)) as first, closing(Database(options)) as second:
        with first.writing() as connection:
            announce(connection, ChangeKind.KEY, "a")

            with pytest.raises(Unavailable), second.writing() as other:
                announce(other, ChangeKind.KEY, "b")

        with second.reading() as connection:
            assert changes_since(connection, 0).changes == (CHANGE,)


def test_r18_a_statement_of_postgres_takes_only_so_long(postgres: Postgres) -> None:
    with closing(Database(StoreOptions(url=postgres.url(), timeout_s=0.2))) as database:
        with pytest.raises(Unavailable), database.reading() as connection:
            connection.execute(select(func.pg_sleep(10)))

        with database.reading() as connection:
            assert connection.execute(select(1)).scalar_one() == 1


def test_r20_a_postgres_that_was_restarted_is_found_again(postgres: Postgres, postgres_store: str) -> None:
    name = postgres.database(like=postgres_store)
    with closing(Database(StoreOptions(url=postgres.url(name), timeout_s=5.0))) as database:
        with database.reading() as connection:
            assert read_generation(connection) == 0
        with postgres.connected() as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))

        with database.writing() as connection:
            announce(connection, ChangeKind.KEY, "a")
            assert read_generation(connection) == 1


def test_sqlite_keeps_what_is_committed_through_a_power_cut(tmp_path: Path) -> None:
    with (
        closing(Database(StoreOptions(url=sqlite_url(tmp_path / "a.db")))) as database,
        database.reading() as connection,
    ):
        kept = {
            name: connection.exec_driver_sql(query).scalar_one()
            for name, query in (
                ("mode", "PRAGMA journal_mode"),
                ("synchronous", "PRAGMA synchronous"),
                ("references", "PRAGMA foreign_keys"),
            )
        }

    assert kept == {"mode": "wal", "synchronous": 2, "references": 1}


@pytest.mark.parametrize(
    "url",
    ["mysql://user:canary@host/name", "sqlite://", "sqlite:///:memory:", "canary", "postgresql+asyncpg://a/b", ""],
)
def test_urls_of_other_kinds_are_refused_without_being_shown(url: str) -> None:
    with pytest.raises(UnusableStore) as caught, Database(StoreOptions(url=url)).reading():
        pass

    assert "canary" not in str(caught.value)
