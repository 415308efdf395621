"""A client of the deployed fabric: what anybody can do who has its addresses and a token.

May know HTTP, the tokens' issuer and the documents' bucket; must not know stores, nor what becomes of a task.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from local.clouds.azure import principal
from local.entrance import with_patience
from local.wiring import TENANT
from shared.errors import Permanent, Transient

if TYPE_CHECKING:
    from shared.ports import Documents

Json = dict[str, Any]
_SECONDS = 60.0  # a function's first call starts its process
_JSON = "application/json"


class Client:
    """Speaks with the stack whose parts said these facts, as people of the laptop's tenant."""

    def __init__(self, facts: Mapping[str, str]) -> None:
        self._facts = facts
        self._tokens: dict[tuple[str, str], str] = {}

    @property
    def address(self) -> str:
        """Where the Functions host is."""
        return self._fact("FUNCTIONS_URL")

    def call_api(
        self,
        method: str,
        path: str,
        *,
        person: str,
        roles: Sequence[str] = (),
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Json]:
        """Send a request to the API on the local AWS; return the status and the JSON answer."""
        bearer = {"Authorization": f"Bearer {self._token(person, ' '.join(roles))}"}
        return _sent(method, self._fact("API_URL") + path, body, bearer | dict(headers or {}))

    def call(
        self,
        method: str,
        path: str,
        *,
        person: str,
        roles: Sequence[str],
        body: str = "",
        query: Mapping[str, str] | None = None,
    ) -> tuple[int, Json]:
        """Send a request to the Functions host, as App Service would let a signed-in person's through."""
        url = f"{self._fact('FUNCTIONS_URL')}{path}{_asked(query)}"
        return _sent(method, url, body or None, {"X-MS-CLIENT-PRINCIPAL": principal(person, roles)})

    def ask(self, path: str, query: Mapping[str, str]) -> tuple[int, Json]:
        """Ask the record; return the status and the JSON answer."""
        return _sent("GET", f"{self._fact('QUERY_URL')}{path}{_asked(query)}", None, {"X-Agentfabric-Tenant": TENANT})

    def settle(self, decision: Json, person: str) -> tuple[int, Json]:
        """Tell the record to go on without a number, as an operator of it."""
        who = {"X-Agentfabric-Tenant": TENANT, "X-Agentfabric-User": person}
        return _sent("POST", f"{self._fact('QUERY_URL')}/skip", json.dumps(decision), who)

    def history(self, **of: str) -> list[Json]:
        """Return the recorded events of a task or an entity, in their order."""
        found: list[Json] = []
        query = {"limit": "1000"} | of
        while True:
            status, answer = self.ask("/events", query)
            if status != http.HTTPStatus.OK:
                raise Transient(f"the record answered {status}")
            found += [row["event"] for row in answer["events"]]
            if answer["next"] is None:
                return found
            query["after"] = str(answer["next"])

    @contextmanager
    def documents(self) -> Iterator[Documents]:
        """Open the bucket of documents, where what is written lies under its own hash."""
        import boto3  # noqa: PLC0415  a third of a second, for those who write documents

        from aws.adapters.documents import S3Documents  # noqa: PLC0415  likewise

        keys = (self._fact("AWS_ACCESS_KEY_ID"), self._fact("AWS_SECRET_ACCESS_KEY"))
        session = boto3.Session(*keys, region_name=self._fact("AWS_REGION"))
        client = session.client("s3", endpoint_url=self._fact("AWS_ENDPOINT_URL"))
        try:
            yield S3Documents(client, self._fact("DOCUMENTS_BUCKET"))
        finally:
            client.close()

    def _fact(self, name: str) -> str:
        if name not in self._facts:
            raise Permanent(f"nothing that runs here says {name}; `agentfabric up` starts the stack", code="not-up")
        return self._facts[name]

    def _token(self, person: str, roles: str) -> str:
        if (person, roles) not in self._tokens:
            claims = {"tenant": TENANT, "sub": person} | ({"roles": roles} if roles else {})
            _, self._tokens[person, roles], _ = _exchanged(
                "GET", f"{self._fact('ISSUER_URL')}/token?{urlencode(claims)}", None, {}
            )
        return self._tokens[person, roles]


def _asked(query: Mapping[str, str] | None) -> str:
    return f"?{urlencode(query)}" if query else ""


def _sent(method: str, url: str, body: str | None, headers: Mapping[str, str]) -> tuple[int, Json]:
    status, text, said = _exchanged(method, url, body, {"Content-Type": _JSON, **headers})
    try:
        answer = json.loads(text or "{}")
    except ValueError:
        answer = {"detail": f"answered {status}, and not with JSON"}
    return status, with_patience(answer, said)


def _exchanged(method: str, url: str, body: str | None, headers: Mapping[str, str]) -> tuple[int, str, Json]:
    """Send a request to this machine, with no proxy in between; Transient when nobody answers."""
    to = urlsplit(url)
    connection = http.client.HTTPConnection(to.hostname or "", to.port, timeout=_SECONDS)
    try:
        connection.request(method, f"{to.path}?{to.query}" if to.query else to.path, body, headers)
        response = connection.getresponse()
        return response.status, response.read().decode(), dict(response.headers)
    except (OSError, http.client.HTTPException) as error:
        raise Transient(f"{to.netloc} does not answer: {type(error).__name__}; see `agentfabric up`") from error
    finally:
        connection.close()
