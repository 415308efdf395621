"""How a state fails, and what its Retry and Catch make of it.

Knows error names and who matches whom; knows nothing of paths, clocks or handlers. The names are the
service's own: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import NAMESPACE_URL, uuid5

from shared.errors import Permanent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

# JSON data of any shape: definitions and payloads are checked by what is done with them.
Json: TypeAlias = Any

ALL = "States.ALL"
DATA_LIMIT = "States.DataLimitExceeded"
INTRINSIC = "States.IntrinsicFailure"
NO_CHOICE = "States.NoChoiceMatched"
RESULT_PATH = "States.ResultPathMatchFailure"
RUNTIME = "States.Runtime"
TASK_FAILED = "States.TaskFailed"
TIMEOUT = "States.Timeout"

_RESERVED = frozenset({
    ALL, DATA_LIMIT, INTRINSIC, NO_CHOICE, RESULT_PATH, RUNTIME, TASK_FAILED, TIMEOUT,
    "States.BranchFailed", "States.ExceedToleratedFailureThreshold", "States.HeartbeatTimeout",
    "States.ItemReaderFailed", "States.ParameterPathFailure", "States.Permissions", "States.QueryEvaluationError",
    "States.ResultWriterFailed",
})  # fmt: skip
_FRAMES_KEPT = 20
_CAUSE_LIMIT = 32_768


class StateError(Exception):
    """An error a state reports: a name that Retry and Catch can match, and a cause for people."""

    def __init__(self, error: str | None, cause: str | None = None) -> None:
        super().__init__(error, cause)
        self.error = error
        self.cause = cause

    def locate(self, state: str) -> None:
        """Say which state an interpreter's own error came from; errors of handlers stay as they are."""
        prefix = "An error occurred while executing the state "
        if self.error == RUNTIME and not (self.cause or "").startswith(prefix):
            self.cause = f"{prefix}'{state}'. {self.cause or ''}".rstrip()

    def output(self) -> Json:
        """What a catcher hands to the next state."""
        return {"Error": self.error or "", "Cause": self.cause or ""}


def broken(where: str, message: str) -> Permanent:
    """Refuse a definition, saying where."""
    return Permanent(message, code="asl-definition", where=where)


def from_exception(error: Exception, identity: str) -> StateError:
    """Report a handler's exception as Lambda does; `identity` names the attempt and yields its request id."""
    inside = error.__traceback__ and error.__traceback__.tb_next  # the first frame is ours
    return lambda_failure(type(error).__name__, str(error), identity, [*_frames(inside)])


def lambda_failure(kind: str, message: str, identity: str, frames: list[str]) -> StateError:
    """Build the error document of the Lambda runtime."""
    document = {
        "errorMessage": message,
        "errorType": kind,
        "requestId": str(uuid5(NAMESPACE_URL, identity)),
        "stackTrace": frames[-_FRAMES_KEPT:],
    }
    return StateError(kind, json.dumps(document, ensure_ascii=False)[:_CAUSE_LIMIT])


def _frames(traceback: TracebackType | None) -> Iterator[str]:
    """Yield the handler's frames; file names only, for a machine's paths are nobody's business."""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        yield f'  File "{PurePath(code.co_filename).name}", line {traceback.tb_lineno}, in {code.co_name}\n'
        traceback = traceback.tb_next


def matches(names: frozenset[str], error: str | None) -> bool:
    """Whether a retrier or catcher with these names takes this error."""
    if error == RUNTIME:  # always ends the execution, even when named
        return False
    if error in names:
        return True
    if error == DATA_LIMIT:  # terminal: only its own name takes it
        return False
    return ALL in names or (TASK_FAILED in names and error != TIMEOUT)


@dataclass(frozen=True, slots=True)
class Retrier:
    """One entry of Retry; `retries` counts retries, not attempts."""

    names: frozenset[str]
    retries: int
    interval: float
    backoff: float
    longest: float

    def delay(self, retried: int) -> float:
        """Seconds to wait before the next attempt after `retried` earlier retries."""
        return min(self.interval * self.backoff**retried, self.longest)


@dataclass(frozen=True, slots=True)
class Catcher:
    """One entry of Catch."""

    names: frozenset[str]
    put: Callable[[Json, Json], Json]
    next: str


@dataclass(frozen=True, slots=True)
class Recovery:
    """A state's Retry and Catch, in their order."""

    retriers: tuple[Retrier, ...] = ()
    catchers: tuple[Catcher, ...] = ()

    def delay(self, error: StateError, spent: dict[Retrier, int]) -> float | None:
        """Seconds until the next attempt, or None when the first matching retrier is used up."""
        for retrier in self.retriers:
            if matches(retrier.names, error.error):
                retried = spent.get(retrier, 0)
                spent[retrier] = retried + 1
                return retrier.delay(retried) if retried < retrier.retries else None
        return None

    def catcher(self, error: StateError) -> Catcher | None:
        """Return the first catcher that takes the error."""
        return next((c for c in self.catchers if matches(c.names, error.error)), None)


def error_names(entries: Json, index: int, where: str) -> frozenset[str]:
    """Read ErrorEquals of one entry; States.ALL stands alone and last."""
    names = entries[index].get("ErrorEquals")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise broken(f"{where}/ErrorEquals", "must be a list of error names")
    for name in names:
        if name.startswith("States.") and name not in _RESERVED:
            raise broken(f"{where}/ErrorEquals", f"{name} is not a name the service knows")
    if ALL in names and (len(names) > 1 or index < len(entries) - 1):
        raise broken(f"{where}/ErrorEquals", "States.ALL must stand alone and in the last entry")
    return frozenset(names)
