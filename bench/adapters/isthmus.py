"""Isthmus with one worker, in the server lane: the server's own key, no credentials from the caller.

It does not tune anything: what a user gets from `isthmus serve` is what is measured.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from bench.adapters.adapter import Adapter, Launch, own_python


def _find() -> Path | None:
    return own_python() if find_spec("isthmusd") and find_spec("isthmusd.cli") else None


def _launch(program: Path, mock_port: int, folder: Path) -> Launch:
    serve = ["-m", "isthmusd.cli", "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    return Launch(
        argv=[str(program), *serve, "--workers", "1", "--data", str(folder / "data")],
        env={"OPENAI_BASE_URL": f"http://127.0.0.1:{mock_port}/v1", "OPENAI_API_KEY": "sk-mock"},
        address=r"isthmus ready at (http://\S+)",
        speaks_grpc=True,
    )


ADAPTER: Final = Adapter(name="isthmus", find=_find, launch=_launch)
