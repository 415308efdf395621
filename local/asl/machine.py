"""A compiled state machine and what running it yields.

Knows how an execution starts, what it may cost in time, and how it ends. Whom the tasks call and what time
it is, the caller brings along; the same input, answers and times give the same execution.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from local.asl.failures import TIMEOUT, Json, StateError, broken
from local.asl.parse import graph, whole
from local.asl.scope import (
    EXPRESS_SECONDS,
    Clock,
    Scope,
    TimedOut,
    decode,
    encode,
    size_of,
    timestamp,
    within_limit,
)
from shared.errors import Permanent

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from local.asl.states import Graph

_ARN = "arn:aws:states:local:000000000000"
# A path into the context object that needs more than the execution knows from its start.
_STATE = re.compile(r"\$\$(?!\.(Execution|StateMachine|Map)\b)")


@dataclass(frozen=True, slots=True)
class Execution:
    """How an execution ended; `steps` are the states in the order they were entered, with their attempts."""

    status: Literal["SUCCEEDED", "FAILED", "TIMED_OUT"]
    output: Json = None
    error: str | None = None
    cause: str | None = None
    steps: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Machine:
    """A definition, ready to run any number of times."""

    name: str
    graph: Graph
    seconds: int
    reads_state: bool

    def run(self, data: Json, *, name: str, invoke: Callable[[str, Json], object], clock: Clock) -> Execution:
        """Run to the end; what a handler raises is an error of its state unless it is no Exception."""
        text = _json(data)
        began = clock.now()
        deadline = began + timedelta(seconds=self.seconds)
        execution = f"{_ARN}:execution:{self.name}:{name}"
        context = self._context(execution, name, text, began)
        scope = Scope(clock, deadline, invoke, execution, context, reads_state=self.reads_state)
        try:
            scope.size = within_limit(size_of(text), self.graph.start)
            output = self.graph.run(scope, decode(text))
        except StateError as error:
            return Execution("FAILED", error=error.error, cause=error.cause, steps=_steps(scope))
        except TimedOut:
            return Execution("TIMED_OUT", error=TIMEOUT, steps=_steps(scope))
        return Execution("SUCCEEDED", output, steps=_steps(scope))

    def _context(self, execution: str, name: str, text: str, began: datetime) -> dict[str, Json]:
        return {
            "Execution": {
                "Id": execution,
                "Input": decode(text),
                "Name": name,
                "RoleArn": "arn:aws:iam::000000000000:role/local",
                "StartTime": timestamp(began),
            },
            "StateMachine": {"Id": f"{_ARN}:stateMachine:{self.name}", "Name": self.name},
        }


def compile(definition: Json, *, name: str = "machine") -> Machine:  # noqa: A001  callers write asl.compile
    """Check a definition and compile it; Permanent says what is wrong and where."""
    if not isinstance(definition, dict):
        raise broken("/", "a definition is a JSON object")
    if definition.get("QueryLanguage", "JSONPath") != "JSONPath":
        raise broken("/QueryLanguage", "only JSONPath is interpreted")
    seconds = whole(definition.get("TimeoutSeconds", EXPRESS_SECONDS), "/TimeoutSeconds")
    return Machine(
        name=name,
        graph=graph(definition, "", set(), frozenset({"Version", "TimeoutSeconds", "QueryLanguage"})),
        seconds=min(seconds, EXPRESS_SECONDS),
        reads_state=_STATE.search(json.dumps(definition)) is not None,
    )


def _json(data: Json) -> str:
    try:
        return encode(data)
    except (TypeError, ValueError, RecursionError) as error:
        raise Permanent(f"the input of an execution must be JSON: {error}", code="asl-input") from error


def _steps(scope: Scope) -> tuple[tuple[str, int], ...]:
    return tuple((step.state, step.attempts) for step in scope.steps)
