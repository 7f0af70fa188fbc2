"""`isthmus secret`: which master secrets are in use, and a new one. None of them is ever shown: each goes by the `kid`
of the signing key that it makes. What they protect is in docs/security.md.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import typer

from isthmusd import settings
from isthmusd.cli.printing import print_json, print_table, report
from isthmusd.cli.store import Config, Data, Json, every, fail, load, opened
from isthmusd.core.administration import MAX_LISTED
from isthmusd.stores.provision import SECRET

secret = typer.Typer(no_args_is_help=True, help="The master secrets: what signs keys and seals what is stored.")

SECRET_BYTES = 48
NEXT = """\
What to do next, in this order:
1. Restart every gateway that uses {file}; until then it does not know what the new secret makes.
2. isthmus tenants rotate --all
3. isthmus keys rotate ID, for every key that the old secret signed (column KID of `isthmus keys list`).
4. A day later, when `isthmus secret status` counts nothing of the old secret any more, delete its line from the file
   and restart. Recorded bodies and kept answers that it sealed cannot be read after that."""


def register(app: typer.Typer) -> None:
    """Add this group of commands to the application."""
    app.add_typer(secret, name="secret")


@secret.command()
def status(*, config: Config = None, data: Data = None, json: Json = False) -> None:
    """Show the secrets by kid, the newest first, and what still needs each."""
    from isthmusd.stores.sealing import count_provider_keys  # noqa: PLC0415 loads the database, as in store.py

    with opened(config, data) as store:
        administration, database = store.administration, store.database
        keys = every(lambda after: administration.keys(tenant=None, after=after, limit=MAX_LISTED), lambda key: key.id)
        sealed = count_provider_keys(database, store.keyring)
        loaded = tuple(store.keyring.public)
    now = time.time()
    opening = [key for key in keys if key.revoked_at is None and (key.expires_at is None or key.expires_at > now)]
    rows = list(_rows(loaded, Counter(key.kid if key.kid in loaded else None for key in opening), sealed))
    if json:
        print_json(rows)
        return
    print_table(("KID", "SIGNS", "KEYS", "PROVIDER KEYS"), [tuple(row.values()) for row in rows])


@secret.command()
def rotate(*, config: Config = None, data: Data = None, json: Json = False) -> None:
    """Put a new secret before the others in the file of the data directory, and say what to do next."""
    try:
        written = load(config, os.environ, data)
    except settings.SettingsError as error:
        fail(str(error))
    if written.secret:
        fail(
            "the secret is a setting (`secret`, ISTHMUS_SECRET), not a file of the gateway's: put a new one before it "
            "there, separated by a space; make one with: openssl rand -base64 48"
        )
    with opened(config, data):
        file = written.data / SECRET
        try:
            _put_first(file, secrets.token_urlsafe(SECRET_BYTES))
        except OSError as error:
            fail(f"{file} cannot be written: {error.strerror}")
    with opened(config, data) as store:
        kids = list(store.keyring.public)
    report({"file": str(file), "kids": kids}, f"kid of the new secret: {kids[0]}\n{NEXT.format(file=file)}", json=json)


def _rows(loaded: Iterable[str], keys: Counter[str | None], sealed: Counter[str | None]) -> Generator[dict[str, Any]]:
    for place, kid in enumerate(loaded):
        yield {"kid": kid, "signs": place == 0, "keys": keys[kid], "provider_keys": sealed[kid]}
    if keys[None] or sealed[None]:
        # Their secret was taken away: they are refused, and cannot be read.
        yield {"kid": None, "signs": False, "keys": keys[None], "provider_keys": sealed[None]}


def _put_first(file: Path, new: str) -> None:
    """Write a secret before those of a file: whoever reads it sees the old file or the new one."""
    fresh = file.with_name(f"{file.name}.new")
    with _alone_in(file.parent):
        with suppress(FileNotFoundError):
            fresh.unlink()
        was, text = file.stat(), file.read_text(encoding="utf-8")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as written:
            # Root may do this for a gateway that runs as somebody else.
            if (was.st_uid, was.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(handle, was.st_uid, was.st_gid)
            written.write(f"{new}\n{text}")
            written.flush()
            os.fsync(handle)
        fresh.replace(file)


@contextmanager
def _alone_in(folder: Path) -> Generator[None]:
    """Hold a folder's lock, and make what happened in it outlive the machine's power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
        os.fsync(handle)
    finally:
        os.close(handle)
