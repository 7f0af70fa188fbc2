"""The embedded run's Envoy configuration differs from envoy.yaml exactly where it must."""

from pathlib import Path

import pytest
import yaml
from isthmusd.edge.bootstrap import RULES, Embedding, embed, packaged, render
from isthmusd.edge.errors import MissingFile
from isthmusd.edge.options import Address

RUN = Embedding(
    listen=Address(host="127.0.0.1", port=4321),
    admin_socket=Path("/tmp/r/envoy.sock"),
    workers=[Path("/tmp/r/w0.sock"), Path("/tmp/r/w1.sock")],
    descriptor=Path("/lib/isthmus.binpb"),
    cors_origins=("https://app.example",),
    request_bytes=7,
)

EXPECTED = {
    "/admin/address/pipe/path": "/tmp/r/envoy.sock",
    "/static_resources/listeners/edge/address/socket_address/address": "127.0.0.1",
    "/static_resources/listeners/edge/address/socket_address/port_value": 4321,
    "/proto_descriptor": "/lib/isthmus.binpb",
    "/max_request_body_size": 7,
    "/allow_origin_string_match/0/exact": "https://app.example",
    "/static_resources/clusters/isthmusd/type": "STATIC",
    "/endpoints/0/lb_endpoints/0/endpoint/address/pipe/path": "/tmp/r/w0.sock",
    "/endpoints/0/lb_endpoints/1/endpoint/address/pipe/path": "/tmp/r/w1.sock",
}


def source() -> dict:
    return yaml.safe_load(packaged("envoy.yaml").read_bytes())


def leaves(node: object, path: str = "") -> dict[str, object]:
    match node:
        case dict():
            pairs = [(f"{path}/{key}", value) for key, value in node.items()]
        case list():
            names = [(value.get("name") if isinstance(value, dict) else None) or i for i, value in enumerate(node)]
            pairs = [(f"{path}/{name}", value) for name, value in zip(names, node, strict=True)]
        case _:
            return {path: node}
    return {leaf: value for key, child in pairs for leaf, value in leaves(child, key).items()}


def test_only_the_listed_places_change():
    before = leaves(source())

    after = leaves(embed(source(), RUN))

    changed = {path: value for path, value in after.items() if before.get(path, "absent") != value}
    assert {suffix: [value for path, value in changed.items() if path.endswith(suffix)] for suffix in EXPECTED} == {
        suffix: [value] for suffix, value in EXPECTED.items()
    }
    assert len(changed) == len(EXPECTED)
    gone = set(before) - set(after)
    assert all("/socket_address/" in path and "/endpoints/" in path for path in gone)


def test_source_is_untouched():
    original = source()

    embed(original, RUN)

    assert original == source()


def test_no_origin_means_no_cors_and_a_star_means_all():
    (path,) = [path for path, _ in RULES if path[-1] == "allow_origin_string_match"]
    rule = dict(RULES)[path]

    nobody = rule(Embedding(**{**fields(), "cors_origins": ()}))
    everybody = rule(Embedding(**{**fields(), "cors_origins": ("*",)}))

    assert nobody == []
    assert everybody == [{"safe_regex": {"regex": ".*"}}]


def fields() -> dict:
    return {name: getattr(RUN, name) for name in Embedding.__dataclass_fields__}


def test_a_configuration_without_a_place_to_set_is_refused():
    broken = source()
    del broken["static_resources"]["clusters"][0]["load_assignment"]["endpoints"]

    with pytest.raises(MissingFile, match="load_assignment/endpoints"):
        embed(broken, RUN)


def test_rendered_configuration_is_json_with_the_descriptor_in_place():
    assert b'"proto_descriptor":"/lib/isthmus.binpb"' in render(RUN)


def test_container_configuration_needs_no_rewriting_for_compose():
    listed = leaves(source())

    assert listed["/static_resources/clusters/isthmusd/type"] == "STRICT_DNS"
    assert listed["/static_resources/listeners/edge/address/socket_address/port_value"] == 8080
    assert [
        value
        for path, value in listed.items()
        if path.endswith("/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/port_value")
    ] == [50051]
    assert [value for path, value in listed.items() if path.endswith("/proto_descriptor")] == [
        "/etc/envoy/isthmus.binpb"
    ]
