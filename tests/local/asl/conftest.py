"""What the tests of the ASL runner share: a clock that waits in no time, mocked functions, the samples.

A sample is one definition with its input, what its functions answer, and what the service makes of it:
`{about, definition, input, name?, source?, lambdas?: {function: [outcome…]}, expect: {status, output | error,
cause?, causeJson?, steps?, calls?, waited?}}`. A definition may be the path of a rendered one, whose placeholders
`${NameArn}` become functions. An outcome is `{return, takes?}`, `{returnCharacters}` or `{raise, message}`; `takes` and
`waited` are seconds. Any interpreter can be held against them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from local import asl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FUNCTION = "arn:aws:lambda:eu-west-1:000000000000:function:"
BEGAN = datetime(2025, 1, 31, 10, 0, tzinfo=UTC)


@dataclass
class VirtualClock:
    """Time that passes only when somebody waits."""

    moment: datetime = BEGAN
    waits: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        """Return the moment."""
        return self.moment

    def wait(self, seconds: float) -> None:
        """Let the time pass and note how much."""
        self.waits.append(seconds)
        self.moment += timedelta(seconds=seconds)


@dataclass
class Functions:
    """Lambda functions whose answers are written down beforehand, in order."""

    clock: VirtualClock
    outcomes: dict[str, list[dict[str, Any]]]
    calls: list[tuple[str, Any]] = field(default_factory=list)

    def __call__(self, function: str, payload: Any) -> Any:
        """Note the call and answer with the next outcome."""
        name = function.rpartition(":")[2]
        self.calls.append((name, payload))
        outcome = self.outcomes[name].pop(0)
        self.clock.moment += timedelta(seconds=outcome.get("takes", 0))
        if "raise" in outcome:
            raise type(outcome["raise"], (Exception,), {})(outcome["message"])
        return "x" * outcome["returnCharacters"] if "returnCharacters" in outcome else outcome["return"]


@dataclass
class Play:
    """An execution and what it did to the world."""

    execution: asl.Execution
    calls: list[tuple[str, Any]]
    waits: list[float]


def _play(definition: Any, data: Any, lambdas: Any = None, name: str = "run-1") -> Play:
    clock = VirtualClock()
    functions = Functions(clock, lambdas or {})
    execution = asl.compile(definition).run(data, name=name, invoke=functions, clock=clock)
    return Play(execution, functions.calls, clock.waits)


@pytest.fixture
def play() -> Callable[..., Play]:
    """Compile and run a definition in virtual time, with mocked functions."""
    return _play


@pytest.fixture
def clock() -> VirtualClock:
    """Return a clock that stands at a winter's morning."""
    return VirtualClock()


def _single(state: dict[str, Any], **top: Any) -> dict[str, Any]:
    return {"StartAt": "Only", **top, "States": {"Only": state}}


@pytest.fixture
def single() -> Callable[..., dict[str, Any]]:
    """Wrap one state into a definition."""
    return _single


def _value(play: Callable[..., Play], expression: str, data: Any) -> Any:
    state = {"Type": "Pass", "Parameters": {"value.$": expression}, "OutputPath": "$.value", "End": True}
    return play(_single(state), data).execution


@pytest.fixture
def evaluate(play: Callable[..., Play]) -> Callable[..., asl.Execution]:
    """Run a path or a call against some data."""
    return partial(_value, play)


@pytest.fixture(scope="session")
def sample(root: Path) -> Callable[[str], dict[str, Any]]:
    """Read a sample by its name."""

    def read(name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((root / f"tests/samples/asl/{name}.json").read_text())
        if isinstance(content["definition"], str):
            rendered = (root / content["definition"]).read_text()
            content["definition"] = json.loads(re.sub(r"\$\{(\w+)Arn\}", rf"{FUNCTION}\1", rendered))
        return content

    return read
