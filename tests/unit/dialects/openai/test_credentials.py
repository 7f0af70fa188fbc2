"""The body that asks for a temporary credential, and the answer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from isthmusd.core.credentials import CredentialWish, Issued
from isthmusd.core.errors import InvalidRequest
from isthmusd.core.tenants import Issuer, TemporaryCredential
from isthmusd.dialects.openai.credentials import decode_credential_wish, encode_issued

DEFAULT = CredentialWish(model=None, ttl_s=600, project=None, compress_audio=None)


@pytest.mark.parametrize(
    ("body", "wish"),
    [
        (b"{}", DEFAULT),
        (b' {"model": null, "logging": null} ', DEFAULT),
        (b'{"model":"gpt-4o"}', CredentialWish(model="gpt-4o")),
        (b'{"ttl_seconds":1}', CredentialWish(ttl_s=1)),
        (b'{"ttl_seconds":600.0}', DEFAULT),
        (b'{"ttl_seconds":1e2}', CredentialWish(ttl_s=100)),
        (b'{"ttl_seconds":86400}', CredentialWish(ttl_s=86_400)),
        (b'{"logging":{"project_name":"p"}}', CredentialWish(project="p")),
        (b'{"logging":{"project_name":"p","compress_audio":null}}', CredentialWish(project="p")),
        (
            b'{"logging":{"compress_audio":false,"project_name":"p q"},"ttl_seconds":60,"model":"m"}',
            CredentialWish(model="m", ttl_s=60, project="p q", compress_audio=False),
        ),
        (b'{"model":"say \\"ttl_seconds\\":NaN"}', CredentialWish(model='say "ttl_seconds":NaN')),
    ],
)
def test_wishes_are_read(body: bytes, wish: CredentialWish) -> None:
    read = decode_credential_wish(body)

    assert read == wish
    assert type(read.ttl_s) is int


NUMBERS = ("0", "-1", "0.5", "600.5", "86401", "1e400", "1" + "0" * 5000, "NaN", " NaN", "Infinity", "-Infinity")


@pytest.mark.parametrize("value", [*NUMBERS, "true", "false", '"600"', "null", "[600]", "{}"])
def test_other_lifetimes_are_refused_by_name(value: str) -> None:
    refused = refusal(f'{{"ttl_seconds":{value}}}'.encode())

    assert refused.param == "ttl_seconds"
    assert "ttl_seconds" in refused.message


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": ""}, "model"),
        ({"model": " "}, "model"),
        ({"model": 5}, "model"),
        ({"model": ["gpt"]}, "model"),
        ({"logging": "p"}, "logging"),
        ({"logging": []}, "logging"),
        ({"logging": {}}, "logging.project_name"),
        ({"logging": {"project_name": None}}, "logging.project_name"),
        ({"logging": {"project_name": ""}}, "logging.project_name"),
        ({"logging": {"project_name": 7}}, "logging.project_name"),
        ({"logging": {"project_name": "p", "compress_audio": "yes"}}, "logging.compress_audio"),
        ({"logging": {"project_name": "p", "compress_audio": 1}}, "logging.compress_audio"),
        ({"logging": {"project_name": "p", "parent": "x"}}, "logging.parent"),
        ({"ttl": 5}, "ttl"),
        ({"Model": "gpt"}, "Model"),
        ({"TTL_SECONDS": 5}, "TTL_SECONDS"),
    ],
)
def test_a_bad_field_is_named(body: Any, param: str) -> None:
    assert refusal(msgspec.json.encode(body)).param == param


def test_unknown_keys_are_all_named_with_those_that_are_known() -> None:
    refused = refusal(b'{"ttl":1,"models":["a"]}')

    assert all(name in refused.message for name in ("'ttl'", "'models'", "model", "ttl_seconds", "logging"))


def test_a_long_unknown_key_is_not_repeated_whole() -> None:
    refused = refusal(msgspec.json.encode({"k" * 5000: 1}))

    assert len(refused.message) < 300
    assert refused.param == "k" * 100


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"model":"a","model":"b"}', "model"),
        (b'{"ttl_seconds":1,"\\u0074tl_seconds":86400}', "ttl_seconds"),
        (b'{"logging":null,"logging":{"project_name":"p"}}', "logging"),
        (b'{"logging":{"project_name":"p","project_name":"q"}}', "project_name"),
    ],
)
def test_keys_that_repeat_are_refused(body: bytes, param: str) -> None:
    refused = refusal(body)

    assert "repeats" in refused.message
    assert refused.param == param


@pytest.mark.parametrize("body", [b"", b"  ", b"null", b"[]", b'"x"', b"{", b"{}{}", b"\xff", b'{"model":"\\ud800"}'])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    assert refusal(body).http_status == 400


def test_the_answer_has_the_key_its_id_and_its_end() -> None:
    credential = TemporaryCredential(
        id="tmp_1", tenant="acme", issuer=Issuer(method="gateway_key", id="k"), expires_at=1_700_000_600.0
    )

    answer = encode_issued(Issued(credential=credential, token="a.b.c"))

    assert answer == b'{"key":"a.b.c","id":"tmp_1","expires_at":1700000600}'


def refusal(body: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        decode_credential_wish(body)
    return refused.value
