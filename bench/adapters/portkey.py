"""Portkey's open gateway on Node, pointed at the mock by its request headers. Its console is off."""

from pathlib import Path
from typing import Final

from bench.adapters.adapter import Adapter, Launch, find_peer, free_port


def _launch(program: Path, mock_port: int, folder: Path) -> Launch:
    port = free_port()
    return Launch(
        argv=["node", str(program), f"--port={port}", "--headless"],
        env={"NODE_ENV": "production"},
        address=port,
        headers={
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"http://127.0.0.1:{mock_port}/v1",
            "authorization": "Bearer sk-mock",
        },
    )


ADAPTER: Final = Adapter(
    name="portkey",
    find=lambda: find_peer("portkey", "node_modules/@portkey-ai/gateway/build/start-server.js"),
    launch=_launch,
)
