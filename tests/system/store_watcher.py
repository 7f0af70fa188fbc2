"""A worker's directory in a process of its own: `python -m tests.system.store_watcher URL KEY_ID` says when it first
saw a key and when it first saw it revoked, in Unix seconds. It asserts nothing.
"""

from __future__ import annotations

import asyncio
import sys
import time

from isthmusd.clock import SystemClock
from isthmusd.stores.database import Database
from isthmusd.stores.directory import CachedDirectory
from isthmusd.stores.options import StoreOptions

from tests.fakes.callers import KEYRING

LOOK_S = 0.005


async def watch(url: str, key_id: str) -> None:
    """Look up until the key is revoked."""
    options = StoreOptions(url=url)
    async with CachedDirectory(Database(options), KEYRING, SystemClock(), options) as directory:
        key = await directory.key(key_id)
        say()
        while key is not None and key.revoked_at is None:
            await asyncio.sleep(LOOK_S)
            key = await directory.key(key_id)
        say()


def say() -> None:
    sys.stdout.write(f"{time.time()}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(watch(sys.argv[1], sys.argv[2]))
