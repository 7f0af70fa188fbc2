"""Stores of every kind that there is: a SQLite file, and a database of a real Postgres."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from isthmusd.stores.provision import provision
from isthmusd.stores.tables import metadata
from psycopg.sql import SQL, Identifier

from tests.fakes.callers import SECRET
from tests.fakes.postgres import Postgres, running_postgres
from tests.fakes.valkey import Valkey, running_valkey


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A Postgres server for all tests of the run."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """A Redis or Valkey server for all tests of the run."""
    with running_valkey() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_store(postgres: Postgres) -> str:
    """The name of a database whose tables are made, to take copies of."""
    made = postgres.database()
    with tempfile.TemporaryDirectory() as folder:
        provision(Path(folder), url=postgres.url(made), secret=SECRET)
    return made


@pytest.fixture(scope="session")
def postgres_copy(postgres: Postgres, postgres_store: str) -> str:
    """The name of a database that tests use one after another: making one for each would take most of their time."""
    return postgres.database(like=postgres_store)


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a fresh store of each kind is."""
    if request.param == "sqlite":
        return provision(tmp_path / "store", url=None, secret=SECRET).url
    server: Postgres = request.getfixturevalue("postgres")
    name: str = request.getfixturevalue("postgres_copy")
    empty(server, name)
    return server.url(name)


def empty(server: Postgres, name: str) -> None:
    """Throw out what the test before left, and whoever it left there."""
    with server.connected(name) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        for table in reversed(metadata.sorted_tables):
            if table.name not in ("meta", "generation"):
                connection.execute(SQL("DELETE FROM {}").format(Identifier(table.name)))
        connection.execute("DELETE FROM meta WHERE name <> 'instance'")
        connection.execute("UPDATE generation SET value = 0")
