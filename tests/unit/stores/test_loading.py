"""The first use of the store in a process, by many threads at the same moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.fakes.callers import SECRET

PATIENCE_S = 0.8
"""Of callers; what they need takes longer than that to load."""
FIRST_USES = """
import asyncio, sys
from pathlib import Path
from isthmusd.clock import SystemClock
from isthmusd.core.keyring import Keyring
from isthmusd.stores.administration import StoreAdministration
from isthmusd.stores.credentials import StoredCredentials
from isthmusd.stores.database import Database
from isthmusd.stores.directory import CachedDirectory
from isthmusd.stores.options import StoreOptions
from isthmusd.stores.provision import provision

data, secret, timeout_s = sys.argv[1:]
options = StoreOptions(url=provision(Path(data), url=None, secret=secret).url, timeout_s=float(timeout_s))
database, keyring = Database(options), Keyring.parse(secret)
desk = StoreAdministration(database, keyring, "isthmus:tests", SystemClock())
page = dict(tenant=None, after=None, limit=1)


class Slow:  # a module takes its time
    def find_spec(self, name, path, target=None):
        import time
        time.sleep(0.01 if name.startswith("sqlalchemy") else 0)


async def main():
    async with CachedDirectory(database, keyring, SystemClock(), options) as directory, StoredCredentials(
        database, options
    ) as credentials:
        print(await asyncio.gather(
            credentials.find("c"), directory.key("k"), asyncio.to_thread(lambda: desk.keys(**page)),
            directory.tenant("t"), asyncio.to_thread(lambda: desk.credentials(**page)), credentials.find("d"),
        ))

sys.meta_path.insert(0, Slow())
asyncio.run(main())
"""


def test_what_must_be_loaded_first_is_loaded_once_and_counts_to_nobodys_wait(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", FIRST_USES, str(tmp_path / "data"), SECRET, str(PATIENCE_S)]

    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("[None, None, [], None, [], None]\n", "")
