"""Connections to a Postgres that stands still are given up, others are not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from isthmusd.core.errors import Unavailable
from isthmusd.stores.changes import read_generation
from isthmusd.stores.database import Database
from isthmusd.stores.options import StoreOptions
from isthmusd.stores.patience import GRACE_S, connect

from tests.fakes.postgres import Postgres

TIMEOUT_S = 0.3
SLACK_S = 1.0
RECONNECT_S = 2.0
"""libpq waits no less for a connection."""


@pytest.fixture
def connection(postgres: Postgres) -> Iterator[psycopg.Connection]:
    with closing(connect(TIMEOUT_S, postgres.url(), autocommit=True)) as opened:
        yield opened


def test_what_is_answered_in_time_is_as_ever(connection: psycopg.Connection) -> None:
    for _ in range(3):
        assert connection.execute("SELECT generate_series(1, 1000)").fetchall()[-1] == (1000,)
    with pytest.raises(psycopg.errors.DivisionByZero):
        connection.execute("SELECT 1 / 0")

    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_each_wait_has_its_own_limit(connection: psycopg.Connection) -> None:
    began = time.monotonic()
    while time.monotonic() < began + TIMEOUT_S + GRACE_S + 0.3:
        assert connection.execute("SELECT pg_sleep(0.1)") is not None

    assert not connection.closed


def test_a_server_that_says_nothing_is_given_up(connection: psycopg.Connection) -> None:
    began = time.monotonic()
    with pytest.raises(psycopg.OperationalError, match="said nothing"):
        connection.execute("SELECT pg_sleep(30)")
    took = time.monotonic() - began

    assert TIMEOUT_S < took < TIMEOUT_S + GRACE_S + SLACK_S
    assert connection.closed


def test_r20_a_server_that_stands_still_is_unavailable_and_comes_back(postgres: Postgres, postgres_store: str) -> None:
    options = StoreOptions(url=postgres.url(postgres.database(like=postgres_store)), timeout_s=TIMEOUT_S)
    with closing(Database(options)) as database:
        with database.reading() as connection:
            before = read_generation(connection)
        postgres.pause()
        try:
            began = time.monotonic()
            with pytest.raises(Unavailable), database.reading() as connection:
                read_generation(connection)
            took = time.monotonic() - began
        finally:
            postgres.go_on()
        with database.reading() as connection:
            after = read_generation(connection)

    assert took < TIMEOUT_S + GRACE_S + RECONNECT_S + SLACK_S
    assert after == before
