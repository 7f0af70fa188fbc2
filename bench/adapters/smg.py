"""SMG, the Rust router of the SGLang project, with its OpenAI back end and no retries. Its engines are not used."""

from pathlib import Path
from typing import Final

from bench.adapters.adapter import Adapter, Launch, find_peer, free_port


def _launch(program: Path, mock_port: int, folder: Path) -> Launch:
    port, metrics_port = free_port(), free_port()
    argv = [str(program), "launch", "--host", "127.0.0.1", "--port", str(port)]
    argv += ["--worker-urls", f"http://127.0.0.1:{mock_port}", "--backend", "openai", "--policy", "round_robin"]
    argv += ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(metrics_port)]
    return Launch(argv=[*argv, "--disable-retries", "--log-level", "warn"], address=port)


ADAPTER: Final = Adapter(name="smg", find=lambda: find_peer("smg", "bin/smg"), launch=_launch)
