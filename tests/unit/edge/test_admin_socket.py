"""The operators' unix socket is private, replaces one that is dead, and never one that lives."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest
from isthmusd.edge.admin_socket import listening
from isthmusd.edge.errors import AddressInUse
from isthmusd.edge.options import UnixAddress


@pytest.fixture
def address(tmp_path: Path) -> UnixAddress:
    return UnixAddress(path=tmp_path / "admin.sock")


def left_behind(path: Path) -> None:
    """A socket whose process was killed."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


def test_it_is_there_for_this_user_only_and_gone_afterwards(address: UnixAddress) -> None:
    umask = os.umask(0)
    try:
        with listening(address):
            mode = stat.S_IMODE(address.path.lstat().st_mode)
    finally:
        os.umask(umask)

    assert mode == 0o600
    assert not address.path.exists()


def test_a_dead_runs_socket_is_replaced(address: UnixAddress) -> None:
    left_behind(address.path)

    with listening(address), socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(address.path))
        peer = caller.getpeername()

    assert peer == str(address.path)


def test_a_living_runs_socket_is_refused_and_stays(address: UnixAddress) -> None:
    with listening(address):
        with pytest.raises(AddressInUse, match="in use"), listening(address):
            pytest.fail("two listen")
        still_there = address.path.exists()

    assert still_there


def test_a_file_is_never_replaced(address: UnixAddress) -> None:
    address.path.write_text("precious")

    with pytest.raises(AddressInUse, match="something else"), listening(address):
        pytest.fail("it listens")

    assert address.path.read_text() == "precious"


def test_a_link_is_never_followed(address: UnixAddress, tmp_path: Path) -> None:
    left_behind(tmp_path / "other.sock")
    address.path.symlink_to(tmp_path / "other.sock")

    with pytest.raises(AddressInUse), listening(address):
        pytest.fail("it listens")

    assert (tmp_path / "other.sock").exists()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    address = UnixAddress(path=tmp_path / "missing" / "admin.sock")

    with pytest.raises(AddressInUse, match="No such file"), listening(address):
        pytest.fail("it listens")


def test_what_another_run_put_there_meanwhile_stays(address: UnixAddress) -> None:
    with listening(address):
        address.path.unlink()
        left_behind(address.path)

    assert address.path.exists()
