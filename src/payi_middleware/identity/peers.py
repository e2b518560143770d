"""Which direct peers may vouch for a user."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from payi_middleware.settings import Network

_REMEMBERED = 1024
"""Peers whose verdict is kept; proxies are few, and strangers push each other out."""


def peer_check(networks: tuple[Network, ...]) -> Callable[[str | None], bool]:
    """Return the check whether a direct peer is in one of the networks; what is no IP address never is.

    An IPv4 address that a dual-stack socket shows as IPv6 (`::ffff:127.0.0.1`, RFC 4291 section 2.5.5.2) counts as
    the IPv4 address.
    """

    @lru_cache(maxsize=_REMEMBERED)
    def trusts(peer: str | None) -> bool:
        try:
            address = ip_address(peer or "")
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return any(address in network or (mapped is not None and mapped in network) for network in networks)

    return trusts
