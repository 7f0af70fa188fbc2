"""Addresses are read strictly, and loopback is recognised."""

import pytest
from isthmusd.edge.errors import InvalidAddress
from isthmusd.edge.options import Address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:8080", "127.0.0.1", 8080), ("[::1]:0", "::1", 0), ("gateway.example:65535", "gateway.example", 65535)],
)
def test_an_address_is_read_and_written_back(text: str, host: str, port: int):
    address = Address.parse(text)

    assert (address.host, address.port) == (host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["", "8080", ":8080", "host", "host:", "host:x", "host:65536", "::1:80", "[]:80", "h:-1", "h:\u0661"]
)
def test_what_is_no_address_is_refused(text: str):
    with pytest.raises(InvalidAddress):
        Address.parse(text)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("a.example", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(host: str, loopback: bool):
    assert Address(host=host, port=1).is_loopback is loopback
