"""Isthmus as in `isthmus.py`, called with a key of its own: what the store, the check and the tenant's record cost.

The load over gRPC brings no key, so there is no such lane here.
"""

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench.adapters import isthmus
from bench.adapters.adapter import Adapter, Launch

_TENANT: Final = "bench"


def _launch(program: Path, mock_port: int, folder: Path) -> Launch:
    _run(program, folder, "tenants", "create", _TENANT)
    key = _run(program, folder, "keys", "create", "--tenant", _TENANT)
    launch = isthmus.ADAPTER.launch(program, mock_port, folder)
    return replace(launch, headers={"authorization": f"Bearer {key}"}, speaks_grpc=False)


def _run(program: Path, folder: Path, *arguments: str) -> str:
    argv = [str(program), "-m", "isthmusd.cli", *arguments, "--data", str(folder / "data")]
    ended = subprocess.run(argv, cwd=folder, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return ended.stdout.strip()


ADAPTER: Final = Adapter(name="isthmus-key", find=isthmus.ADAPTER.find, launch=_launch)
