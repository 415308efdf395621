"""The state types that can fail and be tried again: Task, Parallel and Map.

Knows how Lambda takes its payload and gives its answer or its error; whom it calls, it was told. Branches
and iterations run one after the other, in order: their waits add up instead of overlapping.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, ClassVar

from local.asl.failures import RUNTIME, TIMEOUT, Json, Recovery, StateError, from_exception, lambda_failure
from local.asl.scope import decode, duplicate, encode, measure, size_of, within_limit

if TYPE_CHECKING:
    from local.asl.failures import Retrier
    from local.asl.paths import Reader
    from local.asl.scope import Scope, Step
    from local.asl.states import Flow, Graph

_ANSWER_SIZE = len('{"ExecutedVersion":"$LATEST","Payload":,"StatusCode":200}')


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovering:
    """A state whose work may fail, be tried again, and be caught."""

    retries: ClassVar[bool] = True
    flow: Flow
    recovery: Recovery

    def work(self, scope: Scope, raw: Json, step: Step) -> Json:
        """Do one attempt."""
        raise NotImplementedError

    def run(self, scope: Scope, raw: Json, step: Step) -> tuple[Json, str | None]:
        """Attempt the work until it is done, out of retries, or caught."""
        spent: dict[Retrier, int] = {}
        while True:
            try:
                return self.work(scope, raw, step), self.flow.next
            except StateError as error:
                delay = self.recovery.delay(error, spent)
                if delay is None:
                    return self._caught(error, scope, raw)
            scope.retry(step, delay)

    def _caught(self, error: StateError, scope: Scope, raw: Json) -> tuple[Json, str | None]:
        catcher = self.recovery.catcher(error)
        if catcher is None:
            raise error
        output = catcher.put(raw, error.output())
        scope.size = measure(output, self.flow.state)
        return output, catcher.next


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Recovering):
    """Calls a Lambda function: by its ARN, or through the lambda:invoke integration."""

    function: str | None  # None: the parameters name it and hold the payload
    timeout: Reader | None

    def work(self, scope: Scope, raw: Json, step: Step) -> Json:
        """Send a copy of the payload, read the answer from JSON text: nothing is shared with a handler."""
        effective, _size = self.flow.effective(scope, raw)
        function, payload = self._request(effective)
        answer = _timely(scope, step, function, payload, self._limit(scope, raw))
        size = within_limit(size_of(answer), step.state)
        result = decode(answer)
        if self.function is None:
            result = {"ExecutedVersion": "$LATEST", "Payload": result, "StatusCode": 200}
            size += _ANSWER_SIZE
        return self.flow.settle(scope, raw, result, size)

    def _request(self, effective: Json) -> tuple[str, Json]:
        if self.function is not None:
            return self.function, effective
        function = effective["FunctionName"]
        if not isinstance(function, str):
            raise StateError(RUNTIME, "The value of the field 'FunctionName' has an invalid format.")
        return function, effective.get("Payload", {})

    def _limit(self, scope: Scope, raw: Json) -> float:
        if self.timeout is None:
            return inf
        value = self.timeout(raw, scope.context)
        if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
            raise StateError(RUNTIME, "The TimeoutSecondsPath parameter must lead to positive seconds.")
        return value


def _timely(scope: Scope, step: Step, function: str, payload: Json, limit: float) -> str:
    """Call the handler; States.Timeout goes before whatever it had to say."""
    began = scope.now()
    answer = _invoke(scope, step, function, payload)
    ended = scope.now()
    if limit < inf and (ended - began).total_seconds() >= limit:
        raise StateError(TIMEOUT)
    if isinstance(answer, StateError):
        raise answer
    return answer


def _invoke(scope: Scope, step: Step, function: str, payload: Json) -> str | StateError:
    try:
        answer = scope.invoke(function, duplicate(payload))
    except StateError as error:
        return error
    except Exception as error:  # noqa: BLE001  whatever a handler raises is the state's error
        return from_exception(error, scope.identity(step))
    try:
        return encode(answer)
    except (TypeError, ValueError, RecursionError) as error:
        message = f"Unable to marshal response: {error}"
        return lambda_failure("Runtime.MarshalError", message, scope.identity(step), [])


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallel(Recovering):
    """Runs its branches on one input and collects their outputs."""

    branches: tuple[Graph, ...]

    def work(self, scope: Scope, raw: Json, step: Step) -> Json:
        """Run the branches in order; the first that fails fails the state."""
        data, size = self.flow.effective(scope, raw)
        results = [branch.run(scope.child(size), data) for branch in self.branches]
        return self.flow.settle(scope, raw, results, measure(results, step.state))


@dataclass(frozen=True, slots=True, kw_only=True)
class Map(Recovering):
    """Runs its processor once for each item and collects the outputs."""

    processor: Graph
    items: Reader | None
    item: Reader | None

    def work(self, scope: Scope, raw: Json, step: Step) -> Json:
        """Run the iterations in order; the first that fails fails the state."""
        data, size = self.flow.effective(scope, raw)
        items = data if self.items is None else self.items(data, scope.context)
        if not isinstance(items, list):
            raise StateError(RUNTIME, "The path to the items of a Map state must point to an array.")
        results = [
            self._iterate(scope.child(size, Map={"Item": {"Index": at, "Value": item}}), data, item)
            for at, item in enumerate(items)
        ]
        return self.flow.settle(scope, raw, results, measure(results, step.state))

    def _iterate(self, inner: Scope, data: Json, item: Json) -> Json:
        if self.item is not None:
            item = self.item(data, inner.context)
            inner.size = measure(item, self.flow.state)
        return self.processor.run(inner, item)
