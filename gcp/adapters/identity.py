"""Who is calling: OIDC tokens that Google signed, or, only where somebody said so, what the request claims.

https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from google.auth import exceptions, jwt, transport
from google.oauth2 import id_token

from shared.errors import Forbidden, Transient

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

TENANT_HEADER = "X-Agentfabric-Tenant"
USER_HEADER = "X-Agentfabric-User"
GOOGLE = ("https://accounts.google.com", "accounts.google.com")
GOOGLE_CERTS = "https://www.googleapis.com/oauth2/v1/certs"
_CERTS_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody, the tenant they may read, and whether they may also decide on what is parked."""

    name: str
    tenant: str
    operator: bool


class Gate(Protocol):
    """Decides who comes in, by a request's headers, whose names are in lower case."""

    def admit_push(self, headers: Mapping[str, str]) -> None:
        """Return when this is the subscription's own push; Forbidden otherwise."""
        ...

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Return who asks and for which tenant; Forbidden when that cannot be told."""
        ...


class OpenGate:
    """Lets everybody in, as an operator, and believes what they say: for one machine, behind no network."""

    def admit_push(self, headers: Mapping[str, str]) -> None:
        """Admit it."""

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Return the tenant and user that the headers name."""
        tenant = headers.get(TENANT_HEADER.lower(), "")
        if not tenant:
            raise _unauthenticated(f"say whose record you ask for in {TENANT_HEADER}")
        return Caller(headers.get(USER_HEADER.lower(), "") or "local", tenant, operator=True)


class OidcGate:
    """Lets in what Google vouches for: the subscription's service account, and callers with a tenant."""

    def __init__(self, tokens: Tokens, *, pusher: str, callers: Mapping[str, str], operators: Collection[str]) -> None:
        """`pusher` is the subscription's account; `callers` says which tenant each account may read.

        `operators` are those callers that may decide on what is parked, too.
        """
        self._tokens = tokens
        self._pusher = pusher
        self._callers = callers
        self._operators = operators

    def admit_push(self, headers: Mapping[str, str]) -> None:
        """Admit the subscription's account alone."""
        email = self._tokens.email(headers)
        if email != self._pusher:
            raise Forbidden(f"{email} may not push")

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Return the account and its tenant."""
        email = self._tokens.email(headers)
        if email not in self._callers:
            raise Forbidden(f"{email} belongs to no tenant")
        return Caller(email, self._callers[email], operator=email in self._operators)


class Tokens:
    """Reads bearer tokens: RS256, signed by a current key, from a known issuer, for this audience."""

    def __init__(self, *, audience: str, issuers: tuple[str, ...] = GOOGLE, certs_url: str = GOOGLE_CERTS) -> None:
        self._audience = audience
        self._issuers = issuers
        self._certs_url = certs_url
        self._request = _RememberedCerts()

    def email(self, headers: Mapping[str, str]) -> str:
        """Return the verified address that the token names; Forbidden says what is wrong with it."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _unauthenticated("a bearer token is needed")
        claims = self._claims(token.strip())
        if claims.get("iss") not in self._issuers:
            raise _unauthenticated("the token comes from another issuer")
        email = claims.get("email")
        if not isinstance(email, str) or claims.get("email_verified") is not True:
            raise Forbidden("the token names no verified address")
        return email

    def _claims(self, token: str) -> Mapping[str, Any]:
        try:
            header = jwt.decode_header(token)
            if not isinstance(header, dict) or header.get("alg") != "RS256":
                raise _unauthenticated("the token is not signed with RS256")
            return id_token.verify_token(token, self._request, audience=self._audience, certs_url=self._certs_url)
        except exceptions.TransportError as error:
            raise Transient("the keys that sign tokens cannot be fetched", retry_after=5) from error
        except (exceptions.GoogleAuthError, ValueError) as error:
            raise _unauthenticated(
                "the token does not hold: malformed, expired, unsigned or for another audience"
            ) from error


def _unauthenticated(message: str) -> Forbidden:
    return Forbidden(message, code="unauthenticated")


class _RememberedCerts(transport.Request):
    """google-auth fetches the signing keys for every token; this keeps each answer for some minutes."""

    def __init__(self) -> None:
        self._answers: dict[str, tuple[float, transport.Response]] = {}
        self._fetch: transport.Request | None = None

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: object = None,
        headers: object = None,
        timeout: float | None = 10,
        **kwargs: object,
    ) -> transport.Response:
        fetched, answer = self._answers.get(url, (0.0, None))
        if answer is None or time.monotonic() - fetched > _CERTS_SECONDS:
            answer = self._request()(url, method, body, headers, timeout, **kwargs)
            if answer.status == HTTPStatus.OK:
                self._answers[url] = (time.monotonic(), answer)
        return answer

    def _request(self) -> transport.Request:
        if self._fetch is None:
            from google.auth.transport import requests  # noqa: PLC0415  where no token is checked, nothing is fetched

            self._fetch = requests.Request()
        return self._fetch
