"""What Spanner's failures mean: those listed here pass by themselves; any other is a fault of ours and stays."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from google.api_core import exceptions

from shared.errors import Transient

if TYPE_CHECKING:
    from collections.abc import Iterator

_PASSING = (
    exceptions.Aborted,
    exceptions.DeadlineExceeded,
    exceptions.ServiceUnavailable,
    exceptions.ResourceExhausted,
    exceptions.InternalServerError,
    exceptions.RetryError,
)


@contextmanager
def verdicts() -> Iterator[None]:
    """Turn failures that pass by themselves into Transient."""
    try:
        yield
    except _PASSING as error:
        raise Transient(f"Spanner: {type(error).__name__}") from error
