"""The gateway's processes around the stub worker; the argument is JSON for EdgeOptions. Not the command line."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path

import msgspec
from isthmusd.edge.errors import EdgeError
from isthmusd.edge.options import Address, EdgeOptions
from isthmusd.edge.supervisor import Supervisor

STUB = (sys.executable, str(Path(__file__).with_name("stub_worker.py")))


def announce(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    given = msgspec.json.decode(sys.argv[1])
    addresses = {name: Address.parse(given.pop(name)) for name in ("listen", "admin") if name in given}
    options = EdgeOptions(**addresses, **given)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    supervisor = Supervisor(options, b"{}", os.environ, announce=announce, worker_argv=STUB)
    try:
        asyncio.run(supervisor.run())
    except EdgeError as error:
        sys.exit(f"isthmus: {error}")


if __name__ == "__main__":
    main()
