"""What a complete body must be before anyone parses it."""

from __future__ import annotations

from typing import Any

import pytest
from isthmusd.core.errors import RequestTooLarge, UnsupportedMediaType
from isthmusd.pipeline.bodies import check_body

from tests.unit.pipeline.world import arrival_of, headers_of


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/vnd.api+json",
        " application/json ",
        "",
    ],
)
def test_json_passes(content_type: str) -> None:
    check_body(arrival_of(headers_of(content_type=content_type), body=b"{}"), 2)
    check_body(arrival_of(body=b"{}"), 2)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "multipart/form-data; boundary=x", "application/jsonp", "application/xml", "json"]
)
def test_other_media_types_are_refused(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaType) as refused:
        check_body(arrival_of(headers_of(content_type=content_type), body=b"{}"), 10)

    assert refused.value.http_status == 415


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
def test_compressed_bodies_are_refused(encoding: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        check_body(arrival_of(headers_of(content_encoding=encoding), body=b"{}"), 10)

    check_body(arrival_of(headers_of(content_encoding="Identity"), body=b"{}"), 10)


def test_a_body_over_the_limit_is_refused() -> None:
    with pytest.raises(RequestTooLarge) as refused:
        check_body(arrival_of(body=b"x" * 11), 10)

    assert refused.value.http_status == 413


@pytest.mark.parametrize("body", [None, object(), "text"])
def test_messages_of_typed_calls_are_left_to_grpc(body: Any) -> None:
    headers = headers_of(content_type="application/grpc")

    assert check_body(arrival_of(headers, body=body), 0) is None  # type: ignore[func-returns-value]
