"""Requests to the neighbours over kept connections, each made once: whoever called decides whether to try again."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import urllib3

from shared.errors import Permanent, Transient

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONNECT_SECONDS = 5.0
_CONNECTIONS = 4  # a function handles one batch at a time


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Web:
    """A pool of connections; `seconds` bounds the wait for one answer."""

    def __init__(self, seconds: float) -> None:
        timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=seconds)
        self._pool = urllib3.PoolManager(maxsize=_CONNECTIONS, timeout=timeout, retries=False)

    def ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """Return the answer, whatever its status; Transient when there is none."""
        parts = urlsplit(url)
        if parts.scheme != "https" and not _is_here(parts.hostname or ""):
            raise Permanent(f"{parts.hostname} is asked by https alone: requests carry tokens", code="not-configured")
        try:
            told = self._pool.request(method, url, headers=dict(headers), body=body, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            raise Transient(f"{parts.hostname} does not answer: {type(error).__name__}") from error
        return Answer(told.status, dict(told.headers.items()), told.data)


def _is_here(host: str) -> bool:
    """Tell whether a host is this machine, or its platform's own service beside it."""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_link_local
