"""The store that the settings name, opened for a command, whether or not the gateway runs. What it can do is
`pipeline/ports.py`'s `Administration`; a worker opens its own.

What reaches the database is imported when a store is opened: it takes most of a second to load, and `isthmus serve`,
which shares this package, needs none of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer

from isthmusd import settings
from isthmusd.cli.posture import place_of_store
from isthmusd.cli.printing import tell
from isthmusd.core.administration import MAX_LISTED
from isthmusd.core.errors import GatewayError, NotFound
from isthmusd.stores.provision import ProvisionError, provision
from isthmusd.stores.urls import UnusableStore

if TYPE_CHECKING:
    from isthmusd.core.keyring import Keyring
    from isthmusd.pipeline.ports import Administration
    from isthmusd.stores.database import Database

Config = Annotated[Path | None, typer.Option("--config", help="Settings file (YAML).")]
Data = Annotated[Path | None, typer.Option("--data", help="Directory for what outlives a run.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """An open store."""

    settings: settings.Settings
    """Provisioned."""
    keyring: Keyring
    database: Database
    administration: Administration


@contextmanager
def opened(config: Path | None, data: Path | None) -> Generator[Store]:
    """Open the store of a run with these settings, a new one too. What goes wrong ends the command, with a message."""
    from isthmusd.clock import SystemClock  # noqa: PLC0415 see above
    from isthmusd.core.keyring import Keyring, WeakSecret  # noqa: PLC0415 see above
    from isthmusd.stores.administration import StoreAdministration  # noqa: PLC0415 see above
    from isthmusd.stores.database import Database  # noqa: PLC0415 see above

    where = ""
    try:
        read = load(config, os.environ, data)
        where = place_of_store(read)
        found = provisioned(read, told=tell)
        keyring = Keyring.parse(found.secret)
        with closing(Database(found.store)) as database:
            yield Store(
                settings=found,
                keyring=keyring,
                database=database,
                administration=StoreAdministration(database, keyring, found.token_issuer, SystemClock()),
            )
    except NotFound as error:
        fail(f"{error.message} (store: {where})")
    except GatewayError as error:
        fail(error.message)
    except (settings.SettingsError, ProvisionError, UnusableStore, WeakSecret) as error:
        fail(str(error))


def load(config: Path | None, environ: Mapping[str, str], data: Path | None) -> settings.Settings:
    """Read the settings that a run would have. Raises SettingsError."""
    # Commands serve nobody: whether a run needed the flag is no reason to refuse them.
    return settings.load(config, environ, {"data": data and str(data), "allow_public_anonymous": True})


def provisioned(read: settings.Settings, *, told: Callable[[str], None]) -> settings.Settings:
    """Find or make the secret and the store of a run, and tell what was made. Raises ProvisionError."""
    made = provision(read.data, url=read.store.url or None, secret=read.secret or None)
    if made.made:
        # Whoever makes keys with other settings than the gateway's wonders why it knows none of them.
        files = " and ".join(map(str, made.made))
        told(f"made {files}, not there before; commands reach a gateway that has the same --data and store")
    return read.provisioned(secret=made.secret, instance=made.instance, store_url=made.url)


def every(page: Callable[[str | None], Sequence[Item]], name: Callable[[Item], str]) -> list[Item]:
    """Give all that a paged query knows; `page` gets the name after which it goes on."""
    items: list[Item] = []
    after: str | None = None
    while True:
        found = page(after)
        items += found
        if len(found) < MAX_LISTED:
            return items
        after = name(found[-1])


def fail(message: str) -> NoReturn:
    """End the command."""
    typer.echo(f"isthmus: {message}", err=True)
    raise typer.Exit(1) from None
