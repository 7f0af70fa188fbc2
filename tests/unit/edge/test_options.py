"""Addresses are read strictly, and loopback is recognised."""

from pathlib import Path

import pytest
from isthmusd.edge.errors import InvalidAddress
from isthmusd.edge.options import Address, UnixAddress, admin_address


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


def test_the_admin_address_may_be_a_unix_socket():
    address = admin_address("unix:/run/isthmus/admin.sock")

    assert address == UnixAddress(path=Path("/run/isthmus/admin.sock"))
    assert address.is_loopback
    assert str(address) == "unix:/run/isthmus/admin.sock"


def test_the_admin_address_may_be_a_port():
    assert admin_address("127.0.0.1:9090") == Address(host="127.0.0.1", port=9090)


@pytest.mark.parametrize(
    "text", ["unix:", "unix:run/a.sock", "unix:/", "unix:/run/", "unix:/a\0b", "unix:/" + "x" * 107]
)
def test_a_path_that_no_socket_can_have_is_refused(text: str):
    with pytest.raises(InvalidAddress):
        admin_address(text)
