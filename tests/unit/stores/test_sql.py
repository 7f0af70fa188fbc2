"""Nothing that a caller says becomes SQL, and no secret is in the store's bytes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from isthmusd.core.administration import KeyWish, RecordQuery, Subject, TenantWish
from isthmusd.core.errors import CallerError, InvalidRequest
from isthmusd.core.tenants import Grants, Issuer, Project, ProviderKey
from isthmusd.stores.rows import read_credential, read_key, read_subject, read_tenant
from isthmusd.stores.tables import metadata

from tests.fakes.callers import KEYRING, SECRET
from tests.unit.stores.administered import NOW, Administered, administered

SERVER = Path(__file__).parents[3] / "server"
CALLED = frozenset({"execute", "executemany", "executescript", "exec_driver_sql", "text", "literal_column", "DDL"})
"""What takes SQL as text."""
PACKAGED = frozenset({"SNAPSHOT.read_text()", "insertion(connection.dialect).string"})
"""Text that is part of this package, or that SQLAlchemy makes of a statement in it, without any value."""
STATEMENT = re.compile(r"\s*(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|PRAGMA|CREATE|ALTER|DROP|SET|BEGIN)\s")

META = st.sampled_from([*"'\"`;%_\\?\0\nü", "--", "/*", ":a", "%s", "$1", "{x}", ") OR 1=1", "\ud800"])
KNOWN = ("' OR '1'='1", "'; DROP TABLE tenants; --", '" UNION SELECT sealed FROM provider_keys', "%", "\\'")
HOSTILE = st.one_of(
    st.sampled_from(KNOWN),
    st.tuples(META, st.lists(META | st.text(max_size=3), max_size=5)).map(lambda parts: parts[0] + "".join(parts[1])),
)
many = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def world(store_url: str) -> Iterator[Administered]:
    with administered(store_url) as opened:
        opened.tenant("bystander")
        opened.desk.set_provider_key("bystander", ProviderKey(provider="openai", secret="s"))
        opened.desk.set_project("bystander", Project(name="p"))
        yield opened


@given(text=HOSTILE, other=HOSTILE)
@many
def test_r1_hostile_text_finds_nothing(world: Administered, text: str, other: str) -> None:
    with world.database.reading() as connection:
        assert read_tenant(connection, KEYRING, text) is None
        assert read_key(connection, text) is None
        assert read_credential(connection, text) is None
        assert read_subject(connection, text, other) is None
    assert [tenant.id for tenant in world.desk.tenants(after=None, limit=10)] == ["bystander"]


@given(text=HOSTILE)
@many
def test_r1_hostile_text_is_refused_or_matches_nothing(world: Administered, text: str) -> None:
    desk = world.desk
    for ask in (
        lambda: desk.create_tenant(TenantWish(id=text)),
        lambda: desk.update_tenant(TenantWish(id=text, name=text)),
        lambda: desk.revoke_tenant(text),
        lambda: desk.reseal_tenant(text),
        lambda: desk.set_provider_key("bystander", ProviderKey(provider=text, secret="s")),
        lambda: desk.remove_provider_key("bystander", "openai", text),
        lambda: desk.remove_provider_key("bystander", text, None),
        lambda: desk.set_project("bystander", Project(name=text)),
        lambda: desk.remove_project("bystander", text),
        lambda: desk.subjects(text),
        lambda: desk.remove_subject(text, text),
        lambda: desk.create_key(KeyWish(tenant=text)),
        lambda: desk.revoke_key(text),
        lambda: desk.revoke_credential(text),
    ):
        with pytest.raises(CallerError):
            ask()

    assert list(desk.keys(tenant=text, after=None, limit=10)) == []
    assert list(desk.credentials(tenant=text, after=None, limit=10)) == []
    kept = desk.tenant("bystander")
    assert (kept.revoked_at, list(kept.provider_keys), list(kept.projects)) == (None, ["openai"], ["p"])


@given(text=HOSTILE)
@many
def test_r1_hostile_text_is_kept_as_it_is(world: Administered, text: str) -> None:
    subject = Subject(issuer=text, subject=text, tenant="bystander")
    wish = TenantWish(id="bystander", name=text, grants=Grants(models=frozenset({text})))
    try:
        changed = world.desk.update_tenant(wish)
    except InvalidRequest:
        assert "\0" in text or "\ud800" in text or any("\ud800" <= each <= "\udfff" for each in text)
        return
    world.desk.set_subject(subject)
    secret = ascii(text)  # what a header can hold of it
    world.desk.set_provider_key("bystander", ProviderKey(provider="openai", secret=secret))
    issued = world.desk.create_key(KeyWish(tenant="bystander", name=text))
    credential = world.credential(
        "bystander", model=text, project=text, issuer=Issuer(method="m", id=text), expires_at=NOW
    )

    kept = world.desk.tenant("bystander")

    assert (kept.name, kept.grants.models) == (text, frozenset({text}))
    assert changed.name == text
    assert kept.provider_keys["openai"][0].secret == secret
    assert world.desk.key(issued.key.id).name == text
    assert world.desk.credential(credential.id) == credential
    assert subject in world.desk.subjects("bystander")
    world.desk.remove_subject(text, text)


@given(text=HOSTILE.filter(lambda text: "\0" not in text and "\ud800" not in text))
@many
def test_r1_hostile_queries_for_records_find_nothing(world: Administered, text: str) -> None:
    for query in (
        RecordQuery(tenant=text),
        RecordQuery(project=text),
        RecordQuery(key_id=text),
        RecordQuery(before=(NOW, text)),
    ):
        assert list(world.desk.records(query)) == []


def test_r18_no_sql_is_built_from_text() -> None:
    complaints = [
        f"{path.relative_to(SERVER)}:{node.lineno}: {ast.unparse(node)[:80]}"
        for path in sorted(SERVER.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        # Nobody else knows the database; there are other methods of these names.
        if is_built(node) or ("stores" in path.parts and is_unknown_sql(node))
    ]

    assert complaints == []


@pytest.mark.parametrize(
    "code",
    [
        'text(f"SELECT {a}")',
        'connection.execute("SELECT " + a)',
        'connection.execute("SELECT %s" % a)',
        'connection.execute("SELECT {}".format(a))',
        'query = f"DELETE FROM tenants WHERE id = {a}"',
        "text(a)",
        "connection.exec_driver_sql(a + b)",
        'connection.execute(select(tenants).where(text(f"id = {a}")))',
    ],
)
def test_the_search_for_built_sql_finds_it(code: str) -> None:
    assert any(is_built(node) or is_unknown_sql(node) for node in ast.walk(ast.parse(code)))


def is_built(node: ast.AST) -> bool:
    """Whether text is put together to a statement, or for what takes one."""
    if isinstance(node, ast.Call) and called(node) in CALLED and node.args:
        return any(is_composed(part) for part in ast.walk(node.args[0]))
    return is_composed(node) and any(
        isinstance(part, ast.Constant) and isinstance(part.value, str) and STATEMENT.match(part.value)
        for part in ast.walk(node)
    )


def is_unknown_sql(node: ast.AST) -> bool:
    """Whether SQL comes from elsewhere than the place where it is used. Statements of SQLAlchemy are no text."""
    if not isinstance(node, ast.Call) or called(node) not in CALLED - {"execute", "executemany"} or not node.args:
        return False
    given = node.args[0]
    sides = [given.body, given.orelse] if isinstance(given, ast.IfExp) else [given]
    return not all(isinstance(side, ast.Constant) or ast.unparse(side) in PACKAGED for side in sides)


def is_composed(node: ast.AST) -> bool:
    match node:
        case ast.JoinedStr():
            return True
        case ast.BinOp(op=ast.Add() | ast.Mod()):
            return any(
                isinstance(side, ast.Constant) and isinstance(side.value, str) for side in (node.left, node.right)
            )
        case ast.Call(func=ast.Attribute(value=ast.Constant(), attr="format" | "join")):
            return True
        case _:
            return False


def called(node: ast.Call) -> str:
    match node.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""


def test_r16_no_token_and_no_secret_is_in_the_store(tmp_path: Path, store_url: str) -> None:
    with administered(store_url) as world:
        world.tenant()
        issued = world.desk.create_key(KeyWish(tenant="acme"))
        rotated = world.desk.rotate_key(issued.key.id, 60.0)
        world.desk.set_provider_key("acme", ProviderKey(provider="openai", secret="canary-provider-secret"))
        rows = written(world)
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

    assert issued.key.id.encode() in rows + files
    for token in (issued.token, rotated.token):
        signature = token.rpartition(".")[2]
        for secret in (token, token.split(".")[1], signature, "canary-provider-secret", SECRET):
            assert secret.encode() not in rows + files
    assert "canary-provider-secret" not in repr(ProviderKey(provider="openai", secret="canary-provider-secret"))
    assert issued.token not in repr(issued)


def written(world: Administered) -> bytes:
    """All that every table holds."""
    with world.database.reading() as connection:
        rows = [row for table in metadata.sorted_tables for row in connection.execute(table.select())]
    return b"\n".join(each if isinstance(each, bytes) else str(each).encode() for row in rows for each in row)
