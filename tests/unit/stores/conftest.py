"""Stores of every kind that there is: a SQLite file, and a database of a real Postgres."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from isthmusd.stores.provision import provision

from tests.fakes.callers import SECRET
from tests.fakes.postgres import Postgres, postgres_programs, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A Postgres server for all tests of the run."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip("no Postgres server is installed")
    with running_postgres(programs) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_store(postgres: Postgres) -> str:
    """The name of a database whose tables are made; tests take copies of it."""
    made = postgres.database()
    with tempfile.TemporaryDirectory() as folder:
        provision(Path(folder), url=postgres.url(made), secret=SECRET)
    return made


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a fresh store of each kind is."""
    if request.param == "sqlite":
        return provision(tmp_path / "store", url=None, secret=SECRET).url
    server: Postgres = request.getfixturevalue("postgres")
    return server.url(server.database(like=request.getfixturevalue("postgres_store")))
