"""The store's connections and transactions. What is read and written is in the modules named for it; the schema is
`migrations/`'s.

SQLAlchemy takes a second and 30 MB to load: it is loaded here, at the first use, in the thread that uses it. Everything
here blocks.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Generator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

from isthmusd.core.errors import Unavailable
from isthmusd.stores.options import StoreOptions
from isthmusd.stores.urls import checked_url, sqlite_path

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

LOG = logging.getLogger(__name__)
POOL_SIZE = 4
POOL_OVERFLOW = 4
"""Connections for a burst, closed after it."""
SQLITE_SETTINGS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA trusted_schema=OFF",
)
WRITES = "isthmus_writes"
LOG_S = 10.0
"""A store that is away is not told of more often."""


class Database:
    """One store, for all threads of a process. Making it does nothing; after `close` the next use opens it again."""

    def __init__(self, options: StoreOptions) -> None:
        self._options = options
        self._engine: Engine | None = None
        self._lock = Lock()
        self._logged_at = -math.inf

    def load(self) -> None:
        """Load what speaks to the store, without speaking to it. Raises UnusableStore."""
        self._opened()

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """Read in one transaction. Raises Unavailable."""
        with self._told(), self._opened().connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Generator[Connection]:
        """Write in one transaction, kept when the context is left without an error. Raises Unavailable.

        In SQLite the only writer from its start on: what is read in it stays true until it ends.
        """
        with (
            self._told(),
            self._opened().connect().execution_options(**{WRITES: True}) as connection,
            connection.begin(),
        ):
            yield connection

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    def _opened(self) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = open_engine(self._options)
                if sqlite_path(self._options.url) is None:
                    # Not where the engine is made: a migration takes what it takes.
                    _give_up_in_time(self._engine, self._options.timeout_s)
            return self._engine

    @contextmanager
    def _told(self) -> Generator[None]:
        """Translate what drivers raise. What a statement itself got wrong, a name that is taken, is its caller's."""
        from sqlalchemy import exc  # noqa: PLC0415 as below

        try:
            yield
        except (exc.IntegrityError, exc.DataError):
            raise
        except (exc.DBAPIError, exc.TimeoutError) as error:
            self._log(getattr(error, "orig", None) or error)
            raise Unavailable(
                "the store does not answer; try again in a moment", code="store_unavailable", retry_after_s=1
            ) from error

    def _log(self, error: BaseException) -> None:
        now = time.monotonic()
        if now - self._logged_at >= LOG_S:
            self._logged_at = now
            LOG.warning("the store does not answer: %s: %s", type(error).__name__, error)


def open_engine(options: StoreOptions) -> Engine:
    """Make SQLAlchemy's engine; it connects at its first use. Raises UnusableStore."""
    from sqlalchemy import URL, create_engine, event  # noqa: PLC0415 no worker's start shall take its second

    url = checked_url(options.url)
    path = sqlite_path(url)
    is_file = path is not None
    engine = create_engine(
        # Versions of SQLAlchemy differ in whether the path in a URL is quoted.
        url if path is None else URL.create("sqlite", database=str(path)),
        connect_args=_sqlite_arguments(options) if is_file else _postgres_arguments(options),
        pool_pre_ping=not is_file,
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=options.timeout_s,
        # An error's text goes to logs: it names no value.
        hide_parameters=True,
    )
    if is_file:
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _sqlite_arguments(options: StoreOptions) -> dict[str, Any]:
    # Python's own transactions are off: they begin late, and as readers.
    return {"timeout": options.timeout_s, "isolation_level": None, "check_same_thread": False}


def _postgres_arguments(options: StoreOptions) -> dict[str, Any]:
    milliseconds = math.ceil(options.timeout_s * 1000)
    return {
        "connect_timeout": max(2, math.ceil(options.timeout_s)),  # libpq takes no less
        "tcp_user_timeout": milliseconds,
        "options": f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}",
        # Poolers between us and the database do not keep prepared statements apart.
        "prepare_threshold": None,
    }


def _give_up_in_time(engine: Engine, timeout_s: float) -> None:
    from sqlalchemy import event  # noqa: PLC0415 as above

    from isthmusd.stores.patience import connect  # noqa: PLC0415 it loads psycopg, which is there for Postgres only

    def on_connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
        return connect(timeout_s, *arguments, **options)

    event.listen(engine, "do_connect", on_connect)


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    try:
        for setting in SQLITE_SETTINGS:
            cursor.execute(setting)
    finally:
        cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
