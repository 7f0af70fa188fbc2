"""Every adapter, in the order they are measured. Adding a gateway adds a file beside this one and a name here."""

from typing import Final

from bench.adapters import envoy, isthmus, isthmus_key, litellm, portkey, smg, tensorzero
from bench.adapters.adapter import Adapter

ADAPTERS: Final[dict[str, Adapter]] = {
    adapter.name: adapter
    for adapter in (
        envoy.ADAPTER,
        isthmus.ADAPTER,
        isthmus_key.ADAPTER,
        litellm.ADAPTER,
        portkey.ADAPTER,
        tensorzero.ADAPTER,
        smg.ADAPTER,
    )
}
