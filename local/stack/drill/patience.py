"""A client that asks again while a part of the stack is away, as every client of a fabric should.

All it sends may be sent twice: a submission has its key, a decision its approval. May know statuses, as clients do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from local.entrance import held_up
from local.stack.client import Client, Json
from shared.errors import Throttled, Transient

if TYPE_CHECKING:
    from shared.events.document import DocumentRef
    from shared.ports import Documents

_PAUSE_SECONDS = 0.5
# An authorizer that cannot fetch the keys to check a token with lets nobody in.
_PASSING = (HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS)
_Answer = TypeVar("_Answer")


class PatientClient(Client):
    """A client that gives up after `patience` seconds of trying one thing."""

    def __init__(
        self,
        facts: Mapping[str, str],
        *,
        patience: float = 180.0,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(facts)
        self._patience = patience
        self._clock = clock
        self._wait = wait

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
        """Send a request to the API on the local AWS until it is taken or refused."""
        send = super().call_api
        return self._answered(lambda: send(method, path, person=person, roles=roles, body=body, headers=headers))

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
        """Send a request to the Functions host until it is taken or refused."""
        send = super().call
        return self._answered(lambda: send(method, path, person=person, roles=roles, body=body, query=query))

    def ask(self, path: str, query: Mapping[str, str]) -> tuple[int, Json]:
        """Ask the record until it answers."""
        send = super().ask
        return self._answered(lambda: send(path, query))

    @contextmanager
    def documents(self) -> Iterator[Documents]:
        """Open the bucket of documents; writing is tried until it succeeds."""
        with super().documents() as documents:
            yield _PatientDocuments(documents, self)

    def insist(self, do: Callable[[], _Answer]) -> _Answer:
        """Do something until it does not fail for a passing reason; the last failure is raised."""
        deadline = self._clock() + self._patience
        while True:
            try:
                return do()
            except Transient as passing:
                if self._clock() >= deadline:
                    raise
                told = passing.retry_after if isinstance(passing, Throttled) else 0.0
                self._wait(max(told, _PAUSE_SECONDS))

    def _answered(self, send: Callable[[], tuple[int, Json]]) -> tuple[int, Json]:
        def once() -> tuple[int, Json]:
            status, answer = send()
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _PASSING:
                refusal = held_up(status, answer)
                raise refusal or Transient(f"answered {status}: {answer.get('detail', '')}")
            return status, answer

        return self.insist(once)


class _PatientDocuments:
    """The `Documents` port, as patient as its client."""

    def __init__(self, documents: Documents, client: PatientClient) -> None:
        self._documents = documents
        self._client = client

    def read(self, ref: DocumentRef) -> bytes:
        """Return the bytes."""
        return self._client.insist(lambda: self._documents.read(ref))

    def write(self, content: bytes, media_type: str, name: str = "") -> DocumentRef:
        """Store bytes under their own hash."""
        return self._client.insist(lambda: self._documents.write(content, media_type, name))
