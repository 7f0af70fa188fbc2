"""envoy.yaml, rewritten for a run on this machine. Not a second configuration: only what `RULES` lists may differ.

envoy.yaml is written for containers; the embedded run differs in addresses and paths, and in the two settings that
Envoy itself enforces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec
import yaml

from isthmusd.edge.errors import MissingFile
from isthmusd.edge.options import Address

Node: TypeAlias = "dict[str, Node] | list[Node] | str | int | float | bool | None"
Step: TypeAlias = str | int
"""A key, an index, or the `name` of a list's element."""

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]

CONNECTIONS: tuple[Step, ...] = ("static_resources", "listeners", "edge", "filter_chains", 0, "filters",
                                 "envoy.filters.network.http_connection_manager", "typed_config")  # fmt: skip
TRANSCODER: tuple[Step, ...] = (*CONNECTIONS, "http_filters", "envoy.filters.http.grpc_json_transcoder", "typed_config")
CORS: tuple[Step, ...] = (
    *CONNECTIONS,
    "route_config",
    "virtual_hosts",
    "edge",
    "typed_per_filter_config",
    "envoy.filters.http.cors",
)
CLUSTER: tuple[Step, ...] = ("static_resources", "clusters", "isthmusd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """What this run puts in place of the container's values."""

    listen: Address
    admin_socket: Path
    workers: Sequence[Path]
    """The workers' sockets."""
    descriptor: Path
    cors_origins: Sequence[str]
    request_bytes: int


def _listener(run: Embedding) -> Node:
    return {"socket_address": {"address": run.listen.host, "port_value": run.listen.port}}


def _pipe(path: Path) -> Node:
    return {"pipe": {"path": str(path)}}


def _endpoints(run: Embedding) -> Node:
    return [{"lb_endpoints": [{"endpoint": {"address": _pipe(path)}} for path in run.workers]}]


def _origins(run: Embedding) -> Node:
    return [{"safe_regex": {"regex": ".*"}} if origin == "*" else {"exact": origin} for origin in run.cors_origins]


RULES: tuple[tuple[tuple[Step, ...], Callable[[Embedding], Node]], ...] = (
    (("admin", "address"), lambda run: _pipe(run.admin_socket)),
    (("static_resources", "listeners", "edge", "address"), _listener),
    ((*TRANSCODER, "proto_descriptor"), lambda run: str(run.descriptor)),
    ((*TRANSCODER, "max_request_body_size"), lambda run: run.request_bytes),
    ((*CORS, "allow_origin_string_match"), _origins),
    ((*CLUSTER, "type"), lambda _: "STATIC"),
    ((*CLUSTER, "load_assignment", "endpoints"), _endpoints),
)


def embed(source: Mapping[str, Node], run: Embedding) -> dict[str, Node]:
    """Return a copy of the configuration with every rule applied, and nothing else changed."""
    config = deepcopy(dict(source))
    for path, value in RULES:
        _replace(config, path, value(run))
    return config


def render(run: Embedding) -> bytes:
    """Return this run's Envoy configuration as JSON, which Envoy reads as readily as YAML."""
    return msgspec.json.encode(embed(yaml.safe_load(packaged("envoy.yaml").read_bytes()), run))


def packaged(name: str) -> Path:
    """Find a file of the package; an editable checkout keeps envoy.yaml at its root."""
    for folder in (HERE, REPOSITORY):
        if (folder / name).is_file():
            return folder / name
    raise MissingFile(f"{name} is missing from the installation at {HERE}; install the package again")


def _replace(config: Node, path: Sequence[Step], value: Node) -> None:
    *parents, last = path
    node = config
    for step in parents:
        node = _child(node, step)
    match node:
        case dict() if isinstance(last, str) and last in node:
            node[last] = value
        case _:
            raise _missing(path)


def _child(node: Node, step: Step) -> Node:
    match node, step:
        case dict(), str() if step in node:
            return node[step]
        case list(), int() if step < len(node):
            return node[step]
        case list(), str():
            for element in node:
                if isinstance(element, dict) and element.get("name") == step:
                    return element
        case _:
            pass
    raise _missing([step])


def _missing(path: Sequence[Step]) -> MissingFile:
    return MissingFile(f"envoy.yaml has nothing at {'/'.join(map(str, path))}, which the embedded run must set")
