"""Where tokens come from that open another cloud's door: the platform's identity, or a place that was named.

No key is kept here; a token is kept until shortly before it expires.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from shared.errors import Transient

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from azure.fabric.adapters.web import Web

_MARGIN_SECONDS = 300.0
_API = "2019-08-01"


@dataclass
class Kept:
    """Keeps a token while it is good; `fetch` returns one and when it expires, `clock` the time, in Unix seconds."""

    fetch: Callable[[], tuple[str, float]]
    clock: Callable[[], float]
    _token: str = ""
    _until: float = field(default=0.0)

    def __call__(self) -> str:
        """Return a token."""
        if self.clock() >= self._until:
            self._token, expires = self.fetch()
            self._until = expires - _MARGIN_SECONDS
        return self._token


@dataclass(frozen=True, slots=True)
class ManagedIdentity:
    """The function app's own identity, as the platform hands its tokens out.

    https://learn.microsoft.com/azure/app-service/overview-managed-identity
    """

    web: Web
    endpoint: str
    header: str
    resource: str

    def __call__(self) -> tuple[str, float]:
        """Return a token for the resource, and when it expires."""
        query = urlencode({"resource": self.resource, "api-version": _API})
        told = json.loads(_fetched(self.web, f"{self.endpoint}?{query}", {"X-IDENTITY-HEADER": self.header}))
        return told["access_token"], float(told["expires_on"])


@dataclass(frozen=True, slots=True)
class Place:
    """A file, or an address that answers with a token; whoever writes there keeps it fresh."""

    web: Web
    url: str

    def __call__(self) -> str:
        """Return the token that is there now."""
        parts = urlsplit(self.url)
        if parts.scheme == "file":
            return Path(parts.path).read_text(encoding="ascii").strip()
        return _fetched(self.web, self.url, {}).decode("ascii").strip()


def _fetched(web: Web, url: str, headers: Mapping[str, str]) -> bytes:
    answer = web.ask("GET", url, headers)
    if answer.status != HTTPStatus.OK:
        raise Transient(f"no token from {urlsplit(url).hostname}: {answer.status}", retry_after=5)
    return answer.body
