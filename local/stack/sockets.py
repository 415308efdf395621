"""Ports of this machine: picked so that nobody has them, and asked whether somebody answers there."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from http import HTTPStatus

HOST = "127.0.0.1"
_SECONDS = 2.0


def free_ports(count: int) -> list[int]:
    """Return so many ports that nobody has, all different."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind((HOST, 0))
        return [int(one.getsockname()[1]) for one in held]


def is_free(port: int) -> bool:
    """Tell whether a port can be had: some servers share one without an error, so ask who answers, too."""
    if listens(port):
        return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what ended a moment ago is not in the way
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def listens(port: int) -> bool:
    """Tell whether somebody accepts connections."""
    with socket.socket() as probe:
        probe.settimeout(_SECONDS)
        return probe.connect_ex((HOST, port)) == 0


def answers(port: int, path: str = "/", *, accept: Sequence[int] = (HTTPStatus.OK,)) -> bool:
    """Tell whether an HTTP server answers a GET with one of these statuses."""
    try:
        status, _ = ask(port, "GET", path)
    except (OSError, http.client.HTTPException):
        return False
    return status in accept


def ask(port: int, method: str, path: str, body: str | None = None, *, seconds: float = _SECONDS) -> tuple[int, bytes]:
    """Send a request with a JSON body to this machine and return status and answer; no proxy is in between."""
    connection = http.client.HTTPConnection(HOST, port, timeout=seconds)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
