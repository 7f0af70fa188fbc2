"""TensorZero's gateway as its Python wheel embeds it, without its databases: they would only add work."""

from pathlib import Path
from typing import Final

from bench.adapters.adapter import Adapter, Launch, find_peer, write
from bench.canned import MODEL

_CONFIG: Final = """
[gateway]
observability.enabled = false
[models."{model}"]
routing = ["mock"]
[models."{model}".providers.mock]
type = "openai"
model_name = "{model}"
api_base = "http://127.0.0.1:{mock_port}/v1/"
api_key_location = "none"
"""
# The wheel has no command: it embeds the gateway in a Python process, which then only waits.
_HOST: Final = """
import sys, threading, tensorzero
gateway = tensorzero._start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False)
print("serving at", gateway.base_url, flush=True)
threading.Event().wait()
"""


def _launch(program: Path, mock_port: int, folder: Path) -> Launch:
    config = write(folder / "tensorzero.toml", _CONFIG.format(model=MODEL, mock_port=mock_port))
    return Launch(
        argv=[str(program), write(folder / "host.py", _HOST), config],
        address=r"serving at (http://\S+)",
        path="/chat/completions",
        model=f"tensorzero::model_name::{MODEL}",
    )


ADAPTER: Final = Adapter(name="tensorzero", find=lambda: find_peer("tensorzero", "bin/python"), launch=_launch)
