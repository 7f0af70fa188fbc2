"""The migrations, the snapshot of them and the tables of the code say the same."""

from __future__ import annotations

import ast
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from isthmusd.stores.database import open_engine
from isthmusd.stores.migrating import Foreign, main, migrate, snapshot
from isthmusd.stores.options import StoreOptions
from isthmusd.stores.provision import provision
from isthmusd.stores.schema import MIGRATIONS, SNAPSHOT, NewerStore, revisions
from isthmusd.stores.tables import metadata
from isthmusd.stores.urls import sqlite_url
from sqlalchemy import Engine

from tests.fakes.callers import SECRET
from tests.fakes.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgres"])
def migrated(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty database of each kind, migrated by Alembic."""
    url = sqlite_url(tmp_path / "a.db")
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        url = server.url(server.database())
    migrate(url)
    engine = open_engine(StoreOptions(url=url))
    yield engine
    engine.dispose()


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def test_the_migrations_make_the_tables_that_the_code_uses(migrated: Engine) -> None:
    with migrated.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})

        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == revisions()[-1]


def test_the_snapshot_is_what_the_migrations_make() -> None:
    assert SNAPSHOT.read_text() == snapshot(), "make it again: python -m isthmusd.stores.migrating --snapshot"


def test_a_fresh_store_is_what_a_migrated_one_is(tmp_path: Path) -> None:
    provision(tmp_path, url=None, secret=SECRET)
    migrate(sqlite_url(tmp_path / "migrated.db"))

    fresh, migrated = (dump(tmp_path / name) for name in ("isthmus.db", "migrated.db"))

    named = re.compile(r"(?<='instance',)'[0-9a-f]{16}'")
    assert [named.sub("", line) for line in fresh] == [named.sub("", line) for line in migrated]


def test_migrating_again_changes_nothing(store_url: str) -> None:
    assert migrate(store_url) == migrate(store_url)


def test_each_revision_is_called_as_its_file_and_follows_the_one_before() -> None:
    found: dict[str, tuple[object, object]] = {}
    for path in sorted((MIGRATIONS / "versions").iterdir(), key=lambda path: path.name):
        if path.name.endswith(".py"):
            given = {
                node.targets[0].id: ast.literal_eval(node.value)
                for node in ast.parse(path.read_text()).body
                if isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Name)
                and node.targets[0].id in ("revision", "down_revision")
            }
            found[path.name[:4]] = given["revision"], given["down_revision"]

    numbers = revisions()
    assert found == dict(zip(numbers, zip(numbers, [None, *numbers], strict=False), strict=True))
    assert [int(number) for number in numbers] == list(range(1, len(numbers) + 1))


def test_references_that_lead_nowhere_stop_a_migration(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "a.db")
    migrate(url)
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection, connection:
        connection.execute("INSERT INTO projects VALUES ('nobody', 'p', 0)")

    with pytest.raises(Foreign, match="do not fit together"):
        migrate(url)


def test_somebody_elses_file_and_a_newer_store_are_refused(tmp_path: Path) -> None:
    theirs, newer = (tmp_path / name for name in ("theirs.db", "newer.db"))
    with closing(sqlite3.connect(theirs)) as connection, connection:
        connection.execute("CREATE TABLE theirs (a)")
    migrate(sqlite_url(newer))
    with closing(sqlite3.connect(newer)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(Foreign):
        migrate(sqlite_url(theirs))
    with pytest.raises(NewerStore):
        migrate(sqlite_url(newer))


def test_the_snapshot_is_printed_for_developers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--snapshot"]) == 0

    assert capsys.readouterr().out == SNAPSHOT.read_text()


def test_the_url_is_read_from_standard_input_and_errors_are_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "isthmusd.stores.migrating"],
        input="mysql://user:canary-password@host/name",
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "must be of the form" in done.stderr
    assert "canary-password" not in done.stdout + done.stderr
