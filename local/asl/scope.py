"""What an execution carries from state to state: time, the context object, sizes and the steps taken.

Knows the limits of Express (five minutes, 256 KiB of state) and measures against them. Reads no clock but
the one it is given, and knows neither state types nor handlers.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from local.asl.failures import DATA_LIMIT, RUNTIME, Json, StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

EXPRESS_SECONDS = 300
STATE_BYTES = 262_144
# Standard's history ends there; Express only by its clock, but a virtual clock may stand still.
MOST_STEPS = 25_000

_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
).encode


class Clock(Protocol):
    """Time as the engine has it: virtual in tests, the machine's own otherwise."""

    def now(self) -> datetime:
        """Return the time, with its zone."""
        ...

    def wait(self, seconds: float) -> None:
        """Return once that much time has passed."""
        ...


class TimedOut(Exception):  # noqa: N818  how the execution ended, not an error a state could catch
    """The execution ran into its deadline."""


class Step:
    """A state that was entered, and how often it was attempted."""

    __slots__ = ("attempts", "state")

    def __init__(self, state: str) -> None:
        self.state = state
        self.attempts = 1


def encode(value: Json) -> str:
    """Write JSON the way it travels; whatever is no JSON raises TypeError, ValueError or RecursionError."""
    return _encode(value)


def size_of(text: str) -> int:
    """Count the bytes of a JSON text."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def within_limit(size: int, state: str) -> int:
    """Return the size, or report that the state's data grew too large."""
    if size > STATE_BYTES:
        message = "returned a result with a size exceeding the maximum number of bytes service limit."
        raise StateError(DATA_LIMIT, f"The state/task '{state}' {message}")
    return size


def measure(value: Json, state: str) -> int:
    """Measure data exactly, within the limit."""
    return within_limit(size_of(encode(value)), state)


def timestamp(moment: datetime) -> str:
    """Write a moment as the context object does."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Scope:
    """One execution, or one branch or iteration of it.

    `size` is an upper bound of the bytes of the data in hand. Keeping a bound instead of measuring again
    after every state is what keeps the overhead of a state in microseconds.
    """

    __slots__ = ("_base", "_clock", "_deadline", "context", "identity", "invoke", "size", "steps")

    def __init__(
        self,
        clock: Clock,
        deadline: datetime,
        invoke: Callable[[str, Json], object],
        identity: str,
        context: Mapping[str, Json] | None,
    ) -> None:
        self._clock = clock
        self._deadline = deadline
        self._base = context
        self.invoke = invoke
        self.identity = identity
        self.context: Json = context
        self.size = 0
        self.steps: list[Step] = []

    def child(self, size: int, **context: Json) -> Scope:
        """Open a scope for a branch or an iteration; time and the list of steps are shared."""
        base = None if self._base is None else {**self._base, **context}
        scope = Scope(self._clock, self._deadline, self.invoke, self.identity, base)
        scope.steps = self.steps
        scope.size = size
        return scope

    def enter(self, state: str, *, retries: bool) -> Step:
        """Note the entry into a state, within the deadline."""
        moment = self.now()
        if len(self.steps) >= MOST_STEPS:
            raise StateError(RUNTIME, f"The execution took more than {MOST_STEPS} steps.")
        step = Step(state)
        self.steps.append(step)
        if self._base is not None:
            entered: dict[str, Json] = {"EnteredTime": timestamp(moment), "Name": state}
            self.context = {**self._base, "State": {**entered, "RetryCount": 0} if retries else entered}
        return step

    def retry(self, step: Step, seconds: float) -> None:
        """Wait for the next attempt and count it."""
        self.wait(seconds)
        step.attempts += 1
        if self._base is not None:
            state = {**self.context["State"], "RetryCount": step.attempts - 1}
            self.context = {**self.context, "State": state}

    def now(self) -> datetime:
        """Read the clock; past the deadline the execution is over, whatever it was doing."""
        moment = self._clock.now()
        if moment >= self._deadline:
            raise TimedOut
        return moment

    def wait(self, seconds: float) -> None:
        """Let time pass, but no longer than until the deadline."""
        left = (self._deadline - self.now()).total_seconds()
        if seconds > 0:
            self._clock.wait(min(seconds, left))
        self.now()
