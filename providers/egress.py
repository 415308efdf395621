"""Where a request may go whose address came from a policy: judged by what the name resolves to, not by the name.

Knows addresses; opens nothing. `providers.connections` connects to exactly the addresses that were judged here.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shared.errors import Permanent

if TYPE_CHECKING:
    from collections.abc import Iterable

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
# What tells a machine its own secrets, or who it is: never, whatever else is allowed.
_NEVER: tuple[Network, ...] = (
    ip_network("169.254.0.0/16"),  # link-local: 169.254.169.254, 169.254.170.2
    ip_network("fe80::/10"),
    ip_network("168.63.129.16/32"),  # Azure's wire server: a public address by its number
    ip_network("fd00:ec2::/32"),  # AWS's metadata
    ip_network("fd20:ce::254/128"),  # Google's
    ip_network("100.100.100.200/32"),
)
_NAT64 = ip_network("64:ff9b::/96")
_6TO4 = ip_network("2002::/16")
_V4 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Egress:
    """The public internet over https, and beyond that the networks that were named; loopback needs no https."""

    networks: tuple[Network, ...] = ()

    def check_url(self, url: str) -> None:
        """Raise Permanent (`egress-refused`) for what is no plain address of a host by https."""
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname or "", parts.port
        except ValueError as error:
            raise _refused("the address cannot be read") from error
        if parts.username is not None or not host or not url.isascii() or not url.isprintable():
            raise _refused("the address names no host, or more than one")
        if parts.scheme != "https" and not (parts.scheme == "http" and self._is_here(host)):
            raise _refused(f"{host} is asked by https alone")

    def checked(self, host: str, found: Iterable[str]) -> tuple[str, ...]:
        """Return the addresses a host resolved to; Permanent when a single one of them is not allowed."""
        addresses = tuple(found)
        for address in addresses:
            if not self._allows(_meant(ip_address(address.partition("%")[0]))):
                raise _refused(f"{host} leads to {address}, where nothing may be asked")
        return addresses

    def _allows(self, address: Address) -> bool:
        if any(address in network for network in _NEVER):
            return False
        if any(address in network for network in self.networks):
            return True
        return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)

    def _is_here(self, host: str) -> bool:
        """Tell whether a host is this machine by its number, and this machine was named."""
        try:
            address = ip_address(host)
        except ValueError:
            return False
        return address.is_loopback and any(address in network for network in self.networks)


def egress(named: str) -> Egress:
    """Return what a setting allows: networks such as `10.1.0.0/16,127.0.0.0/8`, and the internet without any."""
    try:
        return Egress(tuple(ip_network(one.strip()) for one in named.split(",") if one.strip()))
    except ValueError as error:
        raise Permanent(f"these are no networks: {error}", code="not-configured") from error


def _meant(address: Address) -> Address:
    """Return the address that is reached in the end: IPv6 has ways to write one of IPv4."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & _V4)
    if address in _6TO4:
        return IPv4Address((int(address) >> 80) & _V4)
    return address


def _refused(why: str) -> Permanent:
    return Permanent(why, code="egress-refused")
