"""LiteLLM's proxy with one worker, in its own production mode. Its database features are not used."""

import secrets
from pathlib import Path
from typing import Final

from bench.adapters.adapter import Adapter, Launch, find_peer, free_port, write

_CONFIG: Final = """
model_list:
- model_name: "*"
  litellm_params: {{model: "openai/*", api_base: "http://127.0.0.1:{mock_port}/v1", api_key: sk-mock, max_retries: 0}}
general_settings: {{master_key: os.environ/LITELLM_MASTER_KEY}}
litellm_settings: {{telemetry: false, num_retries: 0, request_timeout: 60}}
"""


def _launch(program: Path, mock_port: int, folder: Path) -> Launch:
    port = free_port()
    key = f"sk-{secrets.token_hex(16)}"
    config = write(folder / "litellm.yaml", _CONFIG.format(mock_port=mock_port))
    flags = ["--config", config, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    return Launch(
        argv=[str(program), *flags],
        env={
            "LITELLM_MASTER_KEY": key,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
        },
        address=port,
        headers={"authorization": f"Bearer {key}"},
    )


ADAPTER: Final = Adapter(
    name="litellm", find=lambda: find_peer("litellm", "bin/litellm"), launch=_launch, start_limit_s=120
)
