"""What is asked and answered in no protocol's words, and what goes over the wire. Values only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Finish = Literal["stop", "length"]
Ending = Literal["whole", "broken", "silence"]


@dataclass(frozen=True, slots=True)
class Call:
    """An HTTP request. The path is as it came, its segments still quoted; header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Question:
    """What a deployment is asked: the system's instruction and the user's text.

    An answer must satisfy `schema` if there is one, and is given as input of `tool` if that is named. `events`: a
    stream of server-sent events is wanted, where the protocol knows another kind.
    """

    deployment: str
    text: str
    instruction: str = ""
    schema: Mapping[str, Any] | None = None
    tool: str = ""
    max_tokens: int | None = None
    stream: bool = False
    events: bool = True
    wants_usage: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says; `length` means that it was cut off at the question's `max_tokens`."""

    text: str
    tokens_in: int
    tokens_out: int
    finish: Finish = "stop"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no answer; `retry_after` is in seconds, None where trying again is no use or nothing is said."""

    status: int
    message: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Meter:
    """A quota: so much a minute, so much left now, and the seconds until all of it is back."""

    limit: int
    left: float
    reset: float

    @property
    def remaining(self) -> int:
        """What is left, in whole units."""
        return max(0, math.floor(self.left))


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a protocol may tell about a request beside its answer."""

    request_id: str
    now: float
    seconds: float = 0.0
    requests: Meter | None = None
    tokens: Meter | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """A response as a protocol words it, before anything goes wrong; `streamed` ones promise no length."""

    status: int
    headers: Mapping[str, str]
    chunks: tuple[bytes, ...]
    streamed: bool = False

    @property
    def size(self) -> int:
        """The bytes of all chunks."""
        return sum(map(len, self.chunks))


@dataclass(frozen=True, slots=True)
class Reply:
    """What the client gets and when.

    `first_byte` is in seconds. `length` is what Content-Length promises, None when the response is chunked.
    `broken`: the connection is cut behind the chunks; `silence`: nothing ever comes.
    """

    status: int
    headers: Mapping[str, str]
    chunks: tuple[bytes, ...]
    first_byte: float = 0.0
    length: int | None = None
    bytes_per_second: float | None = None
    ending: Ending = "whole"

    @property
    def content(self) -> bytes:
        """All that is sent."""
        return b"".join(self.chunks)

    @property
    def seconds(self) -> float:
        """From the request to the last byte; infinite when nothing comes."""
        if self.ending == "silence":
            return math.inf
        return self.first_byte + (sum(map(len, self.chunks)) / self.bytes_per_second if self.bytes_per_second else 0.0)
