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

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")).encode
_decode = json.JSONDecoder().raw_decode
_LEAVES = frozenset({str, int, float, bool, type(None)})


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


def decode(text: str) -> Json:
    """Read what `encode` wrote."""
    return _decode(text)[0]


def duplicate(value: Json) -> Json:
    """Copy JSON data, so that a handler may do with it what it likes."""
    if isinstance(value, dict):
        return {key: item if item.__class__ in _LEAVES else duplicate(item) for key, item in value.items()}
    if isinstance(value, list):
        return [item if item.__class__ in _LEAVES else duplicate(item) for item in value]
    return value


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
    after every state is what keeps the overhead of a state in microseconds. `reads_state` is false where no
    path asks the context object for more than the execution knows from its start.
    """

    __slots__ = ("_base", "_clock", "_deadline", "_reads_state", "context", "invoke", "name", "size", "steps")

    def __init__(
        self,
        clock: Clock,
        deadline: datetime,
        invoke: Callable[[str, Json], object],
        name: str,
        context: Mapping[str, Json],
        *,
        reads_state: bool,
    ) -> None:
        self._clock = clock
        self._deadline = deadline
        self._base = context
        self._reads_state = reads_state
        self.invoke = invoke
        self.name = name
        self.context: Json = context
        self.size = 0
        self.steps: list[Step] = []

    def child(self, size: int, **context: Json) -> Scope:
        """Open a scope for a branch or an iteration; time and the list of steps are shared."""
        base = {**self.context, **context}
        reads = self._reads_state
        scope = Scope(self._clock, self._deadline, self.invoke, self.name, base, reads_state=reads)
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
        if self._reads_state:
            entered: dict[str, Json] = {"EnteredTime": timestamp(moment), "Name": state}
            self.context = {**self._base, "State": {**entered, "RetryCount": 0} if retries else entered}
        return step

    def retry(self, step: Step, seconds: float) -> None:
        """Wait for the next attempt and count it."""
        self.wait(seconds)
        step.attempts += 1
        if self._reads_state:
            state = {**self.context["State"], "RetryCount": step.attempts - 1}
            self.context = {**self.context, "State": state}

    def identity(self, step: Step) -> str:
        """Name this attempt of this step; a repeated execution names it the same."""
        return f"{self.name}/{len(self.steps)}/{step.state}/{step.attempts}"

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
