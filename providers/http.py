"""One POST with a total and an idle deadline and a size cap, and what its end means. No retries, no redirects.

A response counts when all of it is there, is JSON, and ends where it said. Whatever else comes back is NoAnswer, with
whether the provider may have done the work. A provider's words are never repeated: they may repeat the prompt's.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from providers.egress import Egress
from shared.core.completion import NoAnswer, Quota
from shared.errors import FabricError, Permanent, Throttled
from shared.events.strict import load_object

if TYPE_CHECKING:
    import urllib3

MOST_BYTES = 4 * 1024 * 1024
_CONNECT_SECONDS = 5.0
_CONNECTIONS = 16
_PIECE = 64 * 1024
_NOT_TOLD = 5.0  # seconds; a provider that throttles and does not say for how long
_LONGEST = 86_400.0
_NOT_SERVED = frozenset({500, 502, 503, 529})
_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")
_SPAN = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Request(NamedTuple):
    """What is posted: JSON."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class Response(NamedTuple):
    """What came back, whole; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Web(Protocol):
    """The way to the providers."""

    def post(self, request: Request, *, total: float, idle: float) -> Response:
        """Post and return the whole response; NoAnswer when it does not come whole, in time."""
        ...


@dataclass(slots=True)
class Pool:
    """`Web` over urllib3: connections are kept, proxies and redirects are not followed.

    A connection is made to an address that `egress` allows; `resolve` says which a host has, nothing asks twice.
    Without any `egress` it goes wherever it is told: for addresses that the deployment itself was given.
    """

    egress: Egress | None = field(default_factory=Egress)
    clock: Callable[[], float] = time.monotonic
    resolve: Callable[[str, int], Sequence[str]] | None = None
    _manager: urllib3.PoolManager | None = field(default=None, init=False)

    def post(self, request: Request, *, total: float, idle: float) -> Response:
        """Post and return the whole response."""
        import urllib3  # noqa: PLC0415  a process that asks nobody does not pay for it
        from urllib3 import exceptions as failures  # noqa: PLC0415

        if self.egress is not None:
            self.egress.check_url(request.url)
        if self._manager is None:
            self._manager = self._made()
        until = self.clock() + total
        timeout = urllib3.Timeout(connect=min(_CONNECT_SECONDS, total), read=total)
        try:
            response = self._manager.request(
                "POST",
                request.url,
                body=request.body,
                headers={"content-type": "application/json", "accept": "application/json", **request.headers},
                timeout=timeout,
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except (failures.NewConnectionError, failures.ConnectTimeoutError, failures.SSLError) as error:
            raise NoAnswer("the provider cannot be reached", code="unreachable", served=False) from error
        except failures.TimeoutError as error:
            raise NoAnswer(f"no answer within {total:.1f} s", code="too-slow", served=True) from error
        except failures.HTTPError as error:
            raise NoAnswer("the connection broke before an answer came", code="broken-stream", served=True) from error
        try:
            body = self._read(response, until, idle)
        except failures.TimeoutError as error:
            raise NoAnswer("the answer stopped coming", code="stalled", served=True) from error
        except failures.HTTPError as error:
            raise NoAnswer("the answer broke off", code="broken-stream", served=True) from error
        finally:
            response.close()  # gives back a connection whose response was read to its end, and cuts any other
        return Response(response.status, {name.lower(): value for name, value in response.headers.items()}, body)

    def _made(self) -> urllib3.PoolManager:
        import urllib3  # noqa: PLC0415

        from providers import connections  # noqa: PLC0415  it needs urllib3

        if self.egress is None:
            return urllib3.PoolManager(maxsize=_CONNECTIONS)
        return connections.manager(self.egress, self.resolve or connections.resolve, connections=_CONNECTIONS)

    def _read(self, response: urllib3.BaseHTTPResponse, until: float, idle: float) -> bytes:
        pieces: list[bytes] = []
        size = 0
        line = getattr(response.connection, "sock", None)
        while True:
            left = until - self.clock()
            if left <= 0:
                raise NoAnswer("the answer came too slowly", code="too-slow", served=True)
            if line is not None:
                line.settimeout(min(idle, left))
            piece = response.read1(_PIECE)
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
            size += len(piece)
            if size > MOST_BYTES:
                raise NoAnswer(f"the answer has more than {MOST_BYTES} bytes", code="oversize", served=True)


def content(response: Response) -> dict[str, Any]:
    """Return the JSON object of a good response; what any other means is raised."""
    if response.status != HTTPStatus.OK:
        raise verdict(response)
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise NoAnswer("the answer is no JSON by its type", code="wrong-content-type", served=True)
    try:
        return load_object(response.body)
    except Permanent as error:
        raise NoAnswer("the answer is no whole JSON object", code="truncated-json", served=True) from error


def verdict(response: Response) -> FabricError:
    """Say what a response that is no answer means."""
    status = response.status
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        wait = retry_after(response)
        return Throttled("the provider throttles", retry_after=_waiting(response, wait), code="provider-throttled")
    if status in _NOT_SERVED or status == HTTPStatus.REQUEST_TIMEOUT:
        wait = retry_after(response) or 0.0
        return NoAnswer(f"the provider answers {status}", code="provider-down", served=False, retry_after=wait)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Permanent(f"the provider refuses our credentials ({status})", code="provider-credentials")
    if status == HTTPStatus.NOT_FOUND:
        return Permanent("the provider knows no such deployment", code="unknown-deployment")
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return Permanent(f"the provider refuses the request ({status})", code="provider-refused")
    return NoAnswer(f"the provider answers {status}", code="strange-status", served=True)


def retry_after(response: Response) -> float | None:
    """Return the seconds until it is worth trying again, as far as the headers or Google's details tell."""
    headers = response.headers
    precise = _number(headers.get("retry-after-ms", ""))
    if precise is not None:
        return min(_LONGEST, precise / 1000)
    told = headers.get("retry-after", "").strip()
    seconds = _number(told)
    if seconds is None and told:
        seconds = _until(told, headers.get("date", ""))
    if seconds is None:
        seconds = _detailed(response.body)
    return None if seconds is None else min(_LONGEST, seconds)


def quota(headers: Mapping[str, str]) -> Quota | None:
    """Return what OpenAI's and Azure's headers tell about limits."""
    requests = _whole(headers.get("x-ratelimit-remaining-requests", ""))
    tokens = _whole(headers.get("x-ratelimit-remaining-tokens", ""))
    if requests is None and tokens is None:
        return None
    return Quota(
        requests_left=requests,
        requests_reset=span(headers.get("x-ratelimit-reset-requests", "")),
        requests_limit=_whole(headers.get("x-ratelimit-limit-requests", "")),
        tokens_left=tokens,
        tokens_reset=span(headers.get("x-ratelimit-reset-tokens", "")),
    )


def span(text: str) -> float:
    """Return the seconds of a span such as `6m0s`, `1.5s`, `20ms` or `30`; 0 for what is none."""
    plain = _number(text)
    if plain is not None:
        return plain
    found = _SPAN.findall(text)
    if not found or "".join(number + unit for number, unit in found) != text:
        return 0.0
    return min(_LONGEST, sum(float(number) * _UNITS[unit] for number, unit in found))


def _waiting(response: Response, told: float | None) -> float:
    if told is not None:
        return told
    known = quota(response.headers)
    return (known.requests_reset if known and known.requests_left == 0 else 0.0) or _NOT_TOLD


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text.strip()) else None


def _whole(text: str) -> int | None:
    number = _number(text)
    return None if number is None else int(number)


def _until(moment: str, date: str) -> float | None:
    """Return the seconds from the provider's own time to a moment; its clock, not ours, says how long that is."""
    from email.utils import parsedate_to_datetime  # noqa: PLC0415  15 ms for what hardly any provider sends

    try:
        seconds = (parsedate_to_datetime(moment) - parsedate_to_datetime(date)).total_seconds()
    except (ValueError, TypeError):
        return None
    return max(0.0, seconds)


def _detailed(body: bytes) -> float | None:
    try:
        told = load_object(body)
    except Permanent:
        return None
    error = told.get("error")
    details = error.get("details") if isinstance(error, dict) else None
    delays = (one.get("retryDelay") for one in details if isinstance(one, dict)) if isinstance(details, list) else ()
    return next((span(delay) for delay in delays if isinstance(delay, str)), None)
