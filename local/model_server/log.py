"""What was asked and what became of it, without a word of what was said."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

_KEPT = 100_000
# By which headers clients name a request, an attempt at it, or both.
_TELLING = (
    "idempotency-key",
    "x-idempotency-key",
    "x-request-id",
    "x-client-request-id",
    "x-ms-client-request-id",
    "amz-sdk-invocation-id",
    "amz-sdk-request",
    "x-stainless-retry-count",
    "x-goog-request-id",
    "traceparent",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One request. `time` is in the scenario's seconds; tokens are those that a provider would charge for.

    `kind` is what the scenario made of it: ok, a misbehaviour, or the status with which it was refused.
    `status` is None when nothing was ever sent. `told` are the headers by which the client named its request,
    `prompt` is a hash by which equal ones are found.
    """

    number: int
    time: float
    protocol: str
    deployment: str
    kind: str
    status: int | None
    request_id: str
    stream: bool = False
    tokens_in: int = 0
    tokens_out: int = 0
    first_byte: float | None = 0.0
    retry_after: float | None = None
    prompt: str = ""
    told: Mapping[str, str] = field(default_factory=dict)


class Log:
    """The latest requests, in the order in which they came."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._entries: deque[Entry] = deque(maxlen=kept)

    def add(self, entry: Entry) -> None:
        """Keep an entry; the oldest makes room for it."""
        self._entries.append(entry)

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()

    def entries(self, *, deployment: str = "", after: int = 0, limit: int | None = None) -> list[Entry]:
        """Return the entries numbered above `after`, of one deployment or of all."""
        found = (one for one in self._entries if one.number > after and deployment in {"", one.deployment})
        return list(islice(found, limit))


def telling(headers: Mapping[str, str]) -> dict[str, str]:
    """Return what a client says about its request beside the question."""
    return {name: headers[name] for name in _TELLING if name in headers}
