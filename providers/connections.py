"""Connections to the addresses that were judged, and to no others: a name is resolved once, and not again.

Knows urllib3 and sockets. What a certificate has to say is still the host's name: only the way there is settled here.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import urllib3
from urllib3 import connection, connectionpool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util import Timeout

if TYPE_CHECKING:
    from providers.egress import Egress

Resolve = Callable[[str, int], Sequence[str]]


def resolve(host: str, port: int) -> Sequence[str]:
    """Return every address of a host, in the order in which they are to be tried."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def manager(egress: Egress, resolve: Resolve, *, connections: int) -> urllib3.PoolManager:
    """Return a pool of connections, each to an address that `egress` allowed a moment before."""

    def opened(to: connection.HTTPConnection) -> socket.socket:
        try:
            found = resolve(to.host, to.port)
        except OSError as error:
            raise NameResolutionError(to.host, to, socket.gaierror(*error.args)) from error
        return _reached(to, egress.checked(to.host, found))

    class Plain(connection.HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return opened(self)

    class Secure(connection.HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return opened(self)

    class PlainPool(connectionpool.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(connectionpool.HTTPSConnectionPool):
        ConnectionCls = Secure

    made = urllib3.PoolManager(maxsize=connections)
    made.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
    return made


def _reached(to: connection.HTTPConnection, addresses: Sequence[str]) -> socket.socket:
    """Connect to the first address that answers."""
    last: OSError = OSError("no address")
    for address in addresses:
        try:
            return _connected(to, address)
        except OSError as error:
            last = error
    if isinstance(last, TimeoutError):
        raise ConnectTimeoutError(to, f"no connection to {to.host}") from last
    raise NewConnectionError(to, f"no connection to {to.host}") from last


def _connected(to: connection.HTTPConnection, address: str) -> socket.socket:
    made = socket.create_connection((address, to.port), Timeout.resolve_default_timeout(to.timeout))
    for option in to.socket_options or ():  # else a body waits for its head to be acknowledged
        made.setsockopt(*option)
    return made
