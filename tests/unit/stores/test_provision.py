"""What is made before a run starts: who can read it, what happens when several start at once, what is refused."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from isthmusd.core.keyring import Keyring
from isthmusd.core.tenants import ProviderKey
from isthmusd.stores.provision import Provisioned, ProvisionError, provision
from isthmusd.stores.schema import NewerStore, is_current, revisions
from isthmusd.stores.urls import checked_url, sqlite_url

from tests.fakes.callers import SECRET
from tests.fakes.postgres import Postgres
from tests.unit.stores.administered import administered

NODES = 3


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def at_once(start: Callable[[], Provisioned]) -> set[Provisioned]:
    with ThreadPoolExecutor(NODES) as threads:
        return {made.result() for made in [threads.submit(start) for _ in range(NODES)]}


def execute(path: Path, statement: str, *values: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def test_what_is_made_is_its_owners_only(tmp_path: Path) -> None:
    data = tmp_path / "deep" / "data"

    made = provision(data, url=None, secret=None)

    with administered(made.url) as world:
        world.tenant()
    assert mode(data) == 0o700
    assert {path.name: mode(path) for path in data.iterdir()} == {"isthmus.db": 0o600, "secret": 0o600}
    assert Keyring.parse(made.secret).signer.kid


def test_files_that_sqlite_adds_are_its_owners_only(tmp_path: Path) -> None:
    with administered(provision(tmp_path, url=None, secret=SECRET).url) as world:
        world.tenant()

        assert {mode(path) for path in tmp_path.glob("isthmus.db*")} == {0o600}
        assert len(list(tmp_path.glob("isthmus.db*"))) == 3


def test_the_second_start_finds_what_the_first_one_made(tmp_path: Path) -> None:
    assert provision(tmp_path, url=None, secret=None) == provision(tmp_path, url=None, secret=None)


def test_installations_differ(tmp_path: Path) -> None:
    one, other = (provision(tmp_path / name, url=None, secret=None) for name in "ab")

    assert one.secret != other.secret
    assert one.instance != other.instance


def test_starting_at_once_makes_one_secret_and_one_store(tmp_path: Path) -> None:
    assert len(at_once(lambda: provision(tmp_path, url=None, secret=None))) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["isthmus.db", "secret"]


def test_starting_at_once_makes_one_store_in_postgres(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.url(postgres.database())

    assert len(at_once(lambda: provision(tmp_path, url=url, secret=SECRET))) == 1


def test_a_secret_that_is_given_is_kept_nowhere(tmp_path: Path) -> None:
    made = provision(tmp_path, url=None, secret=SECRET)

    assert made.secret == SECRET
    assert [path.name for path in tmp_path.iterdir()] == ["isthmus.db"]


@pytest.mark.parametrize("held", ["keys", "provider keys"])
def test_a_store_in_use_is_not_given_another_secret(tmp_path: Path, held: str) -> None:
    url = provision(tmp_path / "first", url=None, secret=None).url
    with administered(url) as world:
        world.tenant()
        if held == "keys":
            world.key()
        else:
            world.desk.set_provider_key("acme", ProviderKey(provider="openai", secret="sk-x"))

    with pytest.raises(ProvisionError, match="ISTHMUS_SECRET"):
        provision(tmp_path / "second", url=url, secret=None)

    assert not (tmp_path / "second" / "secret").exists()
    assert provision(tmp_path / "second", url=url, secret=SECRET).secret == SECRET


def test_a_node_without_the_secret_of_the_others_does_not_start(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.url(postgres.database())
    with administered(provision(tmp_path / "first", url=url, secret=SECRET).url) as world:
        world.tenant()
        assert provision(tmp_path / "second", url=url, secret=None).secret
        world.key()

    with pytest.raises(ProvisionError, match="ISTHMUS_SECRET"):
        provision(tmp_path / "third", url=url, secret=None)


def test_what_was_made_is_told(tmp_path: Path) -> None:
    assert provision(tmp_path, url=None, secret=None).made == (tmp_path / "secret", tmp_path / "isthmus.db")
    assert provision(tmp_path, url=None, secret=None).made == ()


@pytest.mark.parametrize(
    "rest",
    ["u:p@ss@host/db", "u:pa/ss@host/db", "u:pa?ss@host/db", "u:pa#ss@host/db", "u:pass@host:pass/db", "u:pass@a:b/db"],
)
def test_r12_a_url_that_would_be_misread_is_refused_with_the_way_to_write_it(tmp_path: Path, rest: str) -> None:
    with pytest.raises(ProvisionError, match="%40 for @") as caught:
        provision(tmp_path, url=f"postgresql://{rest}", secret=SECRET)

    assert "ss" not in str(caught.value).replace("password", "").replace("PASSWORD", "")


@pytest.mark.parametrize(
    "rest",
    [
        "u:p%40ss@host:5432/db",
        "host/db",
        "u@/db?host=/run/pg",
        "/db",
        "u:p@[::1]:5432/db",
        "u@one:1,two:2/db",
        "u:p:q@h/db",
    ],
)
def test_urls_of_servers_are_taken(rest: str) -> None:
    assert checked_url(f"postgresql://{rest}") == f"postgresql+psycopg://{rest}"


def test_several_secrets_may_stand_in_the_file(tmp_path: Path) -> None:
    provision(tmp_path, url=None, secret=None)
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n{path.read_text()}")

    made = provision(tmp_path, url=None, secret=None)

    assert len(Keyring.parse(made.secret).public) == 2
    assert Keyring.parse(made.secret).signer.kid == Keyring.parse(SECRET).signer.kid


@pytest.mark.parametrize("others", [0o640, 0o604, 0o620])
def test_r5_a_secret_that_others_can_reach_is_refused(tmp_path: Path, others: int) -> None:
    path = tmp_path / "secret"
    path.write_text(SECRET)
    path.chmod(others)

    with pytest.raises(ProvisionError, match=f"chmod 600 {path}"):
        provision(tmp_path, url=None, secret=None)


@pytest.mark.parametrize("weak", ["", "\n", "short", "changeme" * 8, "a" * 64])
def test_r5_a_weak_secret_is_refused_and_not_shown(tmp_path: Path, weak: str) -> None:
    path = tmp_path / "secret"
    path.write_text(weak)
    path.chmod(0o600)

    with pytest.raises(ProvisionError) as from_file:
        provision(tmp_path, url=None, secret=None)

    assert not weak.strip() or weak not in str(from_file.value)
    assert not (tmp_path / "isthmus.db").exists()


def test_r5_a_weak_secret_that_is_given_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProvisionError, match="fewer than 32"):
        provision(tmp_path, url=None, secret="canary")


def test_nothing_of_it_is_shown_by_accident(tmp_path: Path) -> None:
    made = provision(tmp_path, url=None, secret=SECRET)

    assert SECRET not in repr(made)
    assert "sqlite" not in repr(made)


def test_a_start_that_was_killed_halfway_is_finished(tmp_path: Path) -> None:
    (tmp_path / "isthmus.db").touch(0o600)

    made = provision(tmp_path, url=None, secret=SECRET)

    with administered(made.url) as world:
        assert world.desk.tenants(after=None, limit=1) == ()


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    provision(tmp_path, url=None, secret=SECRET)
    execute(tmp_path / "isthmus.db", "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(ProvisionError, match="newer version"):
        provision(tmp_path, url=None, secret=SECRET)


def test_somebody_elses_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    execute(path, "CREATE TABLE theirs (a)")
    before = path.read_bytes()

    with pytest.raises(ProvisionError, match="not a store of this gateway"):
        provision(tmp_path, url=sqlite_url(path), secret=SECRET)

    assert path.read_bytes() == before


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "isthmus.db").mkdir()

    with pytest.raises(ProvisionError, match=r"isthmus\.db: Is a directory; be the user whose it is"):
        provision(tmp_path, url=None, secret=SECRET)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "isthmus.db").write_bytes(b"not a database, but long enough to be looked at" * 100)

    with pytest.raises(ProvisionError, match="cannot be opened"):
        provision(tmp_path, url=None, secret=SECRET)


def test_a_store_without_its_version_is_refused(tmp_path: Path) -> None:
    provision(tmp_path, url=None, secret=SECRET)
    execute(tmp_path / "isthmus.db", "DELETE FROM alembic_version")

    with pytest.raises(ProvisionError, match="half made"):
        provision(tmp_path, url=None, secret=SECRET)


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ProvisionError, match="file"):
        provision(tmp_path / "file" / "data", url=None, secret=SECRET)


def test_somebody_elses_postgres_database_is_refused(tmp_path: Path, postgres: Postgres) -> None:
    name = postgres.database()
    with postgres.connected(name) as connection:
        connection.execute("CREATE TABLE theirs (a int)")

    with pytest.raises(ProvisionError, match="not empty and not this gateway's"):
        provision(tmp_path, url=postgres.url(name), secret=SECRET)


def test_a_postgres_store_of_a_newer_version_is_refused(
    tmp_path: Path, postgres: Postgres, postgres_store: str
) -> None:
    name = postgres.database(like=postgres_store)
    with postgres.connected(name) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(ProvisionError, match="newer version"):
        provision(tmp_path, url=postgres.url(name), secret=SECRET)


def test_r12_a_postgres_that_is_away_is_told_in_one_line_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(ProvisionError) as caught:
        provision(tmp_path, url="postgresql://isthmus:canary-password@127.0.0.1:1/isthmus", secret=SECRET)

    assert "cannot be brought up to date" in str(caught.value)
    assert "canary-password" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_newest_revision_is_current_and_an_unknown_one_is_refused() -> None:
    assert is_current(revisions()[-1])
    with pytest.raises(NewerStore):
        is_current("canary")


@pytest.mark.parametrize("name", ["a b", "100%", "a%20b", "who?", "ü#1"])
def test_paths_mean_what_they_say(tmp_path: Path, name: str) -> None:
    data = tmp_path / name

    made = provision(data, url=None, secret=SECRET)

    with administered(made.url) as world:
        world.tenant()
    assert [path.name for path in data.iterdir()] == ["isthmus.db"]
    assert provision(data, url=made.url, secret=SECRET) == made


def test_a_relative_path_is_the_same_file_from_everywhere(tmp_path: Path) -> None:
    above = "../" * len(Path.cwd().parts)

    made = provision(tmp_path / "data", url=f"sqlite:///{above}{tmp_path}/store/a.db", secret=SECRET)

    assert made.url.startswith("sqlite:////")
    assert (tmp_path / "store" / "a.db").stat().st_mode & 0o777 == 0o600


def test_r10_the_migration_loads_no_code_from_where_it_is_started(tmp_path: Path) -> None:
    (tmp_path / "sqlalchemy.py").write_text("raise SystemExit('canary')")

    with pytest.raises(ProvisionError) as caught, contextlib.chdir(tmp_path):
        provision(tmp_path, url="postgresql://127.0.0.1:1/nothing", secret=SECRET)

    assert "canary" not in str(caught.value)
