"""Where tokens come from that open another cloud's door: AWS vouches for the function, the other cloud believes it.

No key is kept here; a token is kept until shortly before it expires.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from aws.adapters.verdicts import verdicts
from shared.errors import Transient

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aws.adapters.web import Web

_MARGIN_SECONDS = 300.0
_VOUCHED_SECONDS = 300  # it is exchanged at once
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True)
class WebIdentity:
    """What STS says about the function's role, signed for one audience.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound.html
    """

    sts: Any  # boto3 makes its clients' types at run time
    audience: str

    def __call__(self) -> str:
        """Return a fresh token."""
        asked = {"Audience": [self.audience], "SigningAlgorithm": "RS256", "DurationSeconds": _VOUCHED_SECONDS}
        with verdicts("vouch for this function"):
            token: str = self.sts.get_web_identity_token(**asked)["WebIdentityToken"]
        return token


@dataclass(frozen=True, slots=True)
class Exchange:
    """Gives a vouched token for one of the other cloud's own: OAuth 2.0, without a client's secret."""

    web: Web
    url: str
    form: Mapping[str, str]
    into: str  # the form's field for the token
    vouched: Callable[[], str]

    def __call__(self) -> tuple[str, float]:
        """Return a token, and for how many seconds it is good."""
        body = urlencode({**self.form, self.into: self.vouched()}).encode()
        told = json.loads(_answered(self.web, "POST", self.url, _FORM, body))
        return told["access_token"], float(told["expires_in"])


def entra(web: Web, vouched: Callable[[], str], tenant: str, client: str, scope: str) -> Exchange:
    """Return the exchange at Entra ID, for an application that trusts the role.

    https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
    """
    form = {
        "grant_type": "client_credentials",
        "client_id": client,
        "scope": scope,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }
    url = f"https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"
    return Exchange(web, url, form, "client_assertion", vouched)


def google(web: Web, vouched: Callable[[], str], provider: str) -> Exchange:
    """Return the exchange at Google's STS, for a workload identity provider that trusts the role.

    https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token
    """
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": provider,
        "scope": "https://www.googleapis.com/auth/pubsub",
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    }
    return Exchange(web, "https://sts.googleapis.com/v1/token", form, "subject_token", vouched)


@dataclass
class Kept:
    """Keeps a token while it is good; `fetch` returns one and its seconds, `clock` the time in seconds."""

    fetch: Callable[[], tuple[str, float]]
    clock: Callable[[], float]
    _token: str = ""
    _until: float = field(default=float("-inf"))

    def __call__(self) -> str:
        """Return a token."""
        now = self.clock()
        if now >= self._until:
            self._token, seconds = self.fetch()
            self._until = now + max(seconds - _MARGIN_SECONDS, seconds / 2)
        return self._token


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
        return _answered(self.web, "GET", self.url, {}, None).decode("ascii").strip()


def _answered(web: Web, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    answer = web.ask(method, url, headers, body)
    if answer.status != HTTPStatus.OK:
        raise Transient(f"no token from {urlsplit(url).hostname}: {answer.status}", retry_after=15)
    return answer.body
