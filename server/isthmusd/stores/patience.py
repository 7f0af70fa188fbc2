"""Connections to Postgres that give up on a server that says nothing. The server's own limits are `database.py`'s: they
do not help where it stands still, or where what is between us and it swallows what is said.
"""

from __future__ import annotations

import time
from typing import Any, TypeVar

from psycopg import Connection, OperationalError
from psycopg.abc import PQGen

Result = TypeVar("Result")

GRACE_S = 0.5
"""The server's own limit comes first: what it says is better than our silence."""


def connect(timeout_s: float, *arguments: Any, **options: Any) -> Connection[Any]:
    """Connect as psycopg does; no wait for an answer on the connection is longer than the timeout and a grace."""
    connection = _Impatient.connect(*arguments, **options)
    connection.wait_s = timeout_s + GRACE_S
    return connection


class _Impatient(Connection[Any]):
    """psycopg looks every tenth of a second after what interrupts it: so does this."""

    wait_s: float | None = None

    def wait(self, gen: PQGen[Result], *arguments: Any, **options: Any) -> Result:
        if self.wait_s is None:
            return super().wait(gen, *arguments, **options)
        return super().wait(self._limited(gen, time.monotonic() + self.wait_s), *arguments, **options)

    def _limited(self, gen: PQGen[Result], until: float) -> PQGen[Result]:
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > until:
                    # Nobody knows what was done: the connection must not be used again.
                    self.pgconn.finish()
                    raise OperationalError("the server said nothing in time")
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value
