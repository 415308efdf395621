"""What Azure's storage refuses, as verdicts."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError

from shared.errors import Transient

if TYPE_CHECKING:
    from collections.abc import Iterator

# https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes
_PASSING = frozenset({408, 429, 500, 502, 503, 504})


@contextmanager
def verdicts(what: str) -> Iterator[None]:
    """Turn throttling and outages into Transient; anything else is a fault of ours and stays as it is."""
    try:
        yield
    except (ServiceRequestError, ServiceResponseError) as error:
        raise Transient(f"{what} cannot be reached: {type(error).__name__}") from error
    except HttpResponseError as error:
        if error.status_code not in _PASSING:
            raise
        raise Transient(f"{what} is busy: {error.status_code}", retry_after=_asked(error)) from error


def _asked(error: HttpResponseError) -> float:
    """Return the seconds the service asked for; 1 when it asked for none."""
    headers = getattr(error.response, "headers", None) or {}
    asked = headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() else 1.0
