"""The state types that only move data, and the flow every state shares.

Knows paths, templates and rules in compiled form; parses nothing and validates nothing (`parse` does).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from local.asl.choice import instant
from local.asl.failures import NO_CHOICE, RUNTIME, Json, StateError
from local.asl.scope import STATE_BYTES, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from local.asl.choice import Test
    from local.asl.paths import Reader, Writer
    from local.asl.scope import Scope, Step


class State(Protocol):
    """What a graph asks of a state."""

    @property
    def retries(self) -> bool:
        """Whether the state can be attempted again."""
        ...

    def run(self, scope: Scope, raw: Json, step: Step) -> tuple[Json, str | None]:
        """Return the output and the next state, or None at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Graph:
    """States and where to start: a state machine, a branch, or a Map's item processor."""

    start: str
    states: Mapping[str, State]

    def run(self, scope: Scope, data: Json) -> Json:
        """Follow the states to the end."""
        following: str | None = self.start
        while following is not None:
            name, state = following, self.states[following]
            step = scope.enter(name, retries=state.retries)
            try:
                data, following = state.run(scope, data, step)
            except StateError as error:
                error.locate(name)
                raise
        return data


@dataclass(frozen=True, slots=True)
class Template:
    """A payload template with a bound of its growth: `fixed` bytes and `times` the size of the data."""

    fill: Reader
    fixed: int
    times: int

    def apply(self, scope: Scope, data: Json, size: int, state: str) -> tuple[Json, int]:
        """Return the filled template and its size, measured only where the bound does not tell enough."""
        value = self.fill(data, scope.context)
        bound = self.fixed + self.times * size
        return value, bound if bound <= STATE_BYTES else measure(value, state)


@dataclass(frozen=True, slots=True)
class Flow:
    """InputPath, Parameters, ResultSelector, ResultPath and OutputPath; None stands for the default."""

    state: str
    next: str | None = None
    input_path: Reader | None = None
    parameters: Template | None = None
    selector: Template | None = None
    result_path: Writer | None = None
    result_path_size: int = 0
    output_path: Reader | None = None
    remeasure: bool = False  # a path leads into the context object: no bound holds

    def effective(self, scope: Scope, raw: Json) -> tuple[Json, int]:
        """Return what the state works on, and its size."""
        data = raw if self.input_path is None else self.input_path(raw, scope.context)
        size = measure(data, self.state) if self.remeasure else scope.size
        return (data, size) if self.parameters is None else self.parameters.apply(scope, data, size, self.state)

    def settle(self, scope: Scope, raw: Json, result: Json, size: int) -> Json:
        """Return the state's output; `size` bounds the result, `scope.size` the raw input."""
        if self.selector is not None:
            result, size = self.selector.apply(scope, result, size, self.state)
        if self.result_path is not None:
            result = self.result_path(raw, result)
            size += scope.size + self.result_path_size
        if self.output_path is not None:
            result = self.output_path(result, scope.context)
        if self.remeasure or size > STATE_BYTES:
            size = measure(result, self.state)
        scope.size = size
        return result

    def through(self, scope: Scope, raw: Json) -> Json:
        """Apply InputPath and OutputPath alone, for states without a result."""
        return self.settle(scope, raw, *self.effective(scope, raw))


@dataclass(frozen=True, slots=True)
class Pass:
    """Hands on its input, or a fixed result."""

    retries: ClassVar[bool] = False
    flow: Flow
    result: Json = None
    has_result: bool = False

    def run(self, scope: Scope, raw: Json, step: Step) -> tuple[Json, str | None]:
        """Return the result where one is given, else the effective input."""
        result, size = self.flow.effective(scope, raw)
        if self.has_result:
            result, size = self.result, measure(self.result, step.state)
        return self.flow.settle(scope, raw, result, size), self.flow.next


@dataclass(frozen=True, slots=True)
class Succeed:
    """Ends the graph."""

    retries: ClassVar[bool] = False
    flow: Flow

    def run(self, scope: Scope, raw: Json, _step: Step) -> tuple[Json, str | None]:
        """Return the output; nothing follows."""
        return self.flow.through(scope, raw), None


@dataclass(frozen=True, slots=True)
class Fail:
    """Ends the graph with an error."""

    retries: ClassVar[bool] = False
    error: Reader | None = None
    cause: Reader | None = None

    def run(self, scope: Scope, raw: Json, _step: Step) -> tuple[Json, str | None]:
        """Raise the error."""
        raise StateError(self._text(self.error, scope, raw), self._text(self.cause, scope, raw))

    @staticmethod
    def _text(read: Reader | None, scope: Scope, raw: Json) -> str | None:
        if read is None:
            return None
        text = read(raw, scope.context)
        if not isinstance(text, str):
            raise StateError(RUNTIME, "ErrorPath and CausePath must lead to strings.")
        return text


@dataclass(frozen=True, slots=True)
class Choice:
    """Goes where the first rule that holds points."""

    retries: ClassVar[bool] = False
    flow: Flow
    rules: tuple[tuple[Test, str], ...]
    default: str | None = None

    def run(self, scope: Scope, raw: Json, _step: Step) -> tuple[Json, str | None]:
        """Test the rules in their order."""
        data, size = self.flow.effective(scope, raw)
        following = next((goal for test, goal in self.rules if test(data, scope.context)), self.default)
        if following is None:
            # By the specification and the developer guide; executions on the service were seen to say States.Runtime.
            raise StateError(NO_CHOICE, "The state does not point to a next state: no rule holds.")
        return self.flow.settle(scope, raw, data, size), following


@dataclass(frozen=True, slots=True)
class Wait:
    """Lets time pass: so many seconds, or until a timestamp."""

    retries: ClassVar[bool] = False
    flow: Flow
    until: Callable[[Json, Json, datetime], float]

    def run(self, scope: Scope, raw: Json, _step: Step) -> tuple[Json, str | None]:
        """Wait on the execution's clock."""
        data, size = self.flow.effective(scope, raw)
        scope.wait(self.until(data, scope.context, scope.now()))
        return self.flow.settle(scope, raw, data, size), self.flow.next


def seconds_of(read: Reader) -> Callable[[Json, Json, datetime], float]:
    """Read a delay from the data: whole seconds, not negative."""

    def seconds(data: Json, context: Json, _now: datetime) -> float:
        value = read(data, context)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise StateError(RUNTIME, "The SecondsPath parameter must lead to whole, positive seconds.")
        return value

    return seconds


def seconds_until(read: Reader) -> Callable[[Json, Json, datetime], float]:
    """Read a timestamp from the data; one that has passed is not waited for."""

    def seconds(data: Json, context: Json, now: datetime) -> float:
        moment = instant(read(data, context))
        if moment is None:
            raise StateError(RUNTIME, "The TimestampPath parameter must lead to a timestamp with its offset.")
        return (moment - now).total_seconds()

    return seconds
