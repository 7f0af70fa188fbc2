"""Which master secrets the store still needs. Sealing anew is `administration.py`'s."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import select

from isthmusd.core.keyring import Keyring
from isthmusd.stores.database import Database
from isthmusd.stores.tables import provider_keys


def count_provider_keys(database: Database, keyring: Keyring) -> Counter[str | None]:
    """Count tenants' provider keys by the `kid` of the secret that sealed each; None: one that is not here."""
    with database.reading() as connection:
        return Counter(
            keyring.sealed_by(sealed) for sealed in connection.execute(select(provider_keys.c.sealed)).scalars()
        )
