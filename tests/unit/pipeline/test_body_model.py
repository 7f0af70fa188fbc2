"""Which model a forwarded body names: guessed for those who may use any, never for those who may use some."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from isthmusd.core.call import AuthMethod, Principal
from isthmusd.core.errors import GatewayError
from isthmusd.core.tenants import Grants
from isthmusd.pipeline.body_model import named_model
from isthmusd.pipeline.uploads import PREFIX_BYTES, Upload

from tests.unit.pipeline.world import headers_of, play

JSON = "application/json"
FREE = Grants()
BOUND = Grants(models=frozenset({"m"}))


def found(body: bytes, content_type: str = JSON, grants: Grants = FREE, **headers: str) -> str | None:
    async def scene() -> str | None:
        async def pieces() -> AsyncIterator[bytes]:
            yield body

        upload = Upload(pieces(), len(body), 1.0)
        await upload.begin()
        caller = Principal(tenant="t", key_id="k", method=AuthMethod.GATEWAY_KEY, grants=grants)
        named = named_model(headers_of(content_type=content_type, **headers), upload, caller)
        return None if named is None else named[0]

    return play(scene())


def refused(body: bytes, content_type: str = JSON, **headers: str) -> tuple[int, str | None]:
    with pytest.raises(GatewayError) as refusal:
        found(body, content_type, BOUND, **headers)
    return refusal.value.http_status, refusal.value.code


@pytest.mark.parametrize("grants", [FREE, BOUND])
def test_a_json_body_names_its_model(grants: Grants) -> None:
    assert found(b'{"x":[1], "model": "m"}', grants=grants) == "m"
    assert found(b'{"model":"m"}', "Application/JSON ; charset=UTF-8", grants) == "m"
    assert found(b'{"model":"m"}', JSON, grants, content_encoding="identity") == "m"


@pytest.mark.parametrize("content_type", ["", "text/plain", "multipart/form-data; boundary=x", "application/x-ndjson"])
def test_what_is_no_json_names_none(content_type: str) -> None:
    assert found(b'{"model":"m"}', content_type) is None
    assert refused(b'{"model":"m"}', content_type) == (403, "model_not_allowed")


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-7", "application/json;, text/plain", "a/b+json"]
)
def test_a_bound_callers_json_has_one_reading(content_type: str) -> None:
    assert refused(b'{"model":"m"}', content_type) == (403, "model_not_allowed")


def test_a_bound_callers_body_is_not_compressed() -> None:
    assert refused(b'{"model":"m"}', content_encoding="gzip") == (403, "model_not_allowed")


def test_a_bound_callers_body_is_seen_whole() -> None:
    filling = b" " * PREFIX_BYTES

    assert found(b'{"model":"m"' + filling) == "m"
    # After the first mebibyte another model could be named.
    assert refused(b'{"model":"m"' + filling + b',"model":"x"}') == (403, "model_not_allowed")


@pytest.mark.parametrize("body", [b"", b"{", b'{"model":"m"', b'["model","m"]', b'{"model":"m"} {}', b'{"model":"m",}'])
def test_a_bound_callers_body_is_valid(body: bytes) -> None:
    assert refused(body)[0] == 400


@pytest.mark.parametrize("body", [b"{}", b'{"model":1}', b'{"model":null}', b'{"model":["m"]}', b'{"x":{"model":"m"}}'])
def test_a_bound_callers_body_names_a_model(body: bytes) -> None:
    assert refused(body) == (403, "model_not_allowed")
    assert found(body) is None


@pytest.mark.parametrize("body", [b'{"model":"m","model":"x"}', b'{"model":"m","Model":"x"}', b'{"MODEL":"m"}'])
@pytest.mark.parametrize("grants", [FREE, BOUND])
def test_two_names_are_refused_for_everybody(body: bytes, grants: Grants) -> None:
    with pytest.raises(GatewayError) as refusal:
        found(body, grants=grants)

    assert refusal.value.http_status == 400


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":2,"model":"m"}',
        b'{"Input":1,"model":"m"}',
        b'{"model":"m",}',
        b'{"model":"m","x":"\xff"}',
        b'{"model":"m"',
    ],
)
def test_what_else_is_odd_in_a_body_is_the_providers_to_refuse(body: bytes) -> None:
    assert found(body) == "m"


@pytest.mark.parametrize("other", ["models", "fallbacks", "Models", "model_id"])
def test_a_bound_callers_body_names_no_model_elsewhere(other: str) -> None:
    body = b'{"model":"m","%s":["x"]}' % other.encode()

    assert refused(body) == (403, "model_not_allowed")
    assert found(body) == "m"
