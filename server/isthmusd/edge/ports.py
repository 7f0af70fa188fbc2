"""Ports held before anybody listens on them. Not a listener itself.

A reservation is a bound socket that does not listen: it finds a busy port before anything is started, turns port 0 into
a real one, and, having SO_REUSEADDR like those who will listen, does not stand in their way.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Generator
from contextlib import contextmanager

from isthmusd.edge.errors import AddressInUse
from isthmusd.edge.options import Address

REASONS = {
    errno.EADDRINUSE: "is in use by another process",
    errno.EACCES: "needs more rights than this user has",
    errno.EADDRNOTAVAIL: "is not an address of this machine",
}


@contextmanager
def reserved(address: Address, flag: str) -> Generator[Address]:
    """Hold the address, with its real port, while the block runs; errors name the flag that chooses another."""
    try:
        family, _, _, _, target = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise AddressInUse(f"{flag} {address}: the host is unknown ({error.strerror})") from error
    with socket.socket(family, socket.SOCK_STREAM) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind(target)
        except OSError as error:
            reason = REASONS.get(error.errno or 0, error.strerror)
            raise AddressInUse(f"{flag} {address} {reason}; choose another with {flag} HOST:PORT") from error
        host, port = holder.getsockname()[:2]
        yield Address(host=host, port=port)
