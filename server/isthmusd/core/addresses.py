"""Which IP addresses are public: a gateway that dials what its callers name must not reach anything else for them.
Resolving names and dialling are `upstream/media.py`'s.

Lists of the IANA registries for special-purpose addresses, and not the properties of `ipaddress`: what those mean
differs between releases of Python. https://www.iana.org/assignments/iana-ipv4-special-registry,
https://www.iana.org/assignments/iana-ipv6-special-registry
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

NOT_PUBLIC: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        # Azure's wire server, a public address that every virtual machine reaches as its own host:
        # https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
        "168.63.129.16/32",
        # Protocol assignments, among them Teredo, which holds an IPv4 address.
        "2001::/23",
        "2001:db8::/32",
        # 6to4 holds an IPv4 address, too.
        "2002::/16",
        "3fff::/20",
    )
)
GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All of IPv6 that is given out. Outside are loopback, link-local, unique local (with AWS's metadata service),
multicast, and the forms that hold an IPv4 address: mapped, compatible, NAT64."""


def is_public(address: str) -> bool:
    """Tell whether an address is a public one; text that is no address is not."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if parsed.version == 6 and parsed not in GLOBAL_UNICAST:
        return False
    return not any(parsed in network for network in NOT_PUBLIC)


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """Tell whether an address lies in one of some networks."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)
