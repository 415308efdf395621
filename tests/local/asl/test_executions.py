from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from local import asl
from shared.errors import Permanent

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 262_144
TOOL = "arn:aws:lambda:eu-west-1:000000000000:function:Tool"
TASK: dict[str, Any] = {"Type": "Task", "Resource": TOOL, "End": True}


class Stop(BaseException):
    """What an engine raises to stop everything at once."""


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, Stop])
def test_what_is_no_exception_passes_through(
    stop: type[BaseException], single: Callable[..., Any], clock: asl.Clock
) -> None:
    """An interrupt inside a handler leaves the machine untouched, whatever Retry and Catch say."""
    everything = [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 3}]
    machine = asl.compile(single({**TASK, "Retry": everything}))

    def invoke(_function: str, _payload: Any) -> Any:
        raise stop

    with pytest.raises(stop):
        machine.run({}, name="run", invoke=invoke, clock=clock)


def test_a_handlers_exception_reads_as_from_lambda(single: Callable[..., Any], clock: asl.Clock) -> None:
    """The error is the exception's class, the cause Lambda's document, with frames but no paths."""

    def handler(_function: str, _payload: Any) -> Any:
        raise Permanent("no such taxonomy", where="taxonomy")

    machine = asl.compile(single(TASK), name="review")
    first, second = (machine.run({}, name="r", invoke=handler, clock=clock) for _ in range(2))
    cause = json.loads(first.cause or "")
    assert (first.status, first.error) == ("FAILED", "Permanent")
    assert list(cause) == ["errorMessage", "errorType", "requestId", "stackTrace"]
    assert cause["errorMessage"] == "taxonomy: no such taxonomy"
    assert [frame.split(", ")[0::2] for frame in cause["stackTrace"]] == [
        ['  File "test_executions.py"', "in handler\n"]
    ]
    assert first == second


def test_a_handlers_stateerror_keeps_its_name(single: Callable[..., Any], clock: asl.Clock) -> None:
    """An invoker may report an error of the service by its dotted name."""

    def throttled(_function: str, _payload: Any) -> Any:
        raise asl.StateError("Lambda.TooManyRequestsException", "Rate exceeded")

    found = asl.compile(single(TASK)).run({}, name="r", invoke=throttled, clock=clock)
    assert (found.error, found.cause) == ("Lambda.TooManyRequestsException", "Rate exceeded")


def test_a_handler_gets_a_copy_and_its_answer_is_copied(single: Callable[..., Any], clock: asl.Clock) -> None:
    """Nothing a handler does to its payload, or later to its answer, reaches the execution's data."""
    kept = {"found": [1]}

    def invoke(_function: str, payload: Any) -> Any:
        payload["docs"].append("mine")
        return kept

    data = {"docs": ["yours"]}
    found = asl.compile(single({**TASK, "ResultPath": "$.r"})).run(data, name="r", invoke=invoke, clock=clock)
    kept["found"].append(2)
    assert found.output == {"docs": ["yours"], "r": {"found": [1]}}
    assert data == {"docs": ["yours"]}


@pytest.mark.parametrize("answer", [{1, 2}, float("nan"), object(), {"a": b"bytes"}])
def test_an_answer_that_is_no_json_is_a_marshal_error(
    answer: Any, single: Callable[..., Any], clock: asl.Clock
) -> None:
    """What Lambda could not marshal fails the task as it would there."""
    found = asl.compile(single(TASK)).run({}, name="r", invoke=lambda *_: answer, clock=clock)
    assert found.error == "Runtime.MarshalError"
    assert json.loads(found.cause or "")["errorType"] == "Runtime.MarshalError"


def test_an_answer_becomes_json(single: Callable[..., Any], clock: asl.Clock) -> None:
    """Tuples and numbered keys come back as JSON knows them."""
    found = asl.compile(single(TASK)).run({}, name="r", invoke=lambda *_: ({1: None},), clock=clock)
    assert found.output == [{"1": None}]


def test_an_input_that_is_no_json_is_refused(single: Callable[..., Any], clock: asl.Clock) -> None:
    """An input that could not have been sent is a Permanent error, not a failed execution."""
    with pytest.raises(Permanent, match="must be JSON"):
        asl.compile(single(TASK)).run({"a": object()}, name="r", invoke=lambda *_: 1, clock=clock)


def test_an_input_may_fill_the_limit_and_no_more(single: Callable[..., Any], play: Callable[..., Any]) -> None:
    """The limit is 256 KiB of JSON in UTF-8, to the byte."""
    state = {"Type": "Succeed"}
    assert play(single(state), "x" * (LIMIT - 2)).execution.status == "SUCCEEDED"
    assert play(single(state), "x" * (LIMIT - 1)).execution.error == "States.DataLimitExceeded"
    assert play(single(state), "é" * (LIMIT // 2)).execution.error == "States.DataLimitExceeded"


def test_data_that_grows_hits_the_limit_on_the_way(play: Callable[..., Any]) -> None:
    """Results that are put together beyond the limit fail in the state that did it."""
    half = {"returnCharacters": LIMIT // 2 - 20}
    states = {
        "A": {**TASK, "ResultPath": "$.a", "Next": "B"},
        "B": {**TASK, "ResultPath": "$.a", "Next": "C"},
        "C": {**TASK, "ResultPath": "$.c", "End": True},
    }
    del states["A"]["End"], states["B"]["End"]
    found = play({"StartAt": "A", "States": states}, {"n": "x" * 64}, {"Tool": [half, half, half]}).execution
    assert (found.error, found.steps) == ("States.DataLimitExceeded", (("A", 1), ("B", 1), ("C", 1)))


def test_a_template_that_doubles_the_data_is_measured(single: Callable[..., Any], play: Callable[..., Any]) -> None:
    """A payload may name the data twice as long as both together stay within the limit."""
    twice = {**TASK, "Parameters": {"one.$": "$.x", "two.$": "$.x"}, "ResultPath": None}
    small, large = ({"x": "y" * size} for size in (LIMIT // 2 - 100, LIMIT // 2))
    assert play(single(twice), small, {"Tool": [{"return": 1}]}).execution.status == "SUCCEEDED"
    assert play(single(twice), large, {"Tool": []}).execution.error == "States.DataLimitExceeded"


def test_states_all_leaves_the_terminal_errors_alone(single: Callable[..., Any], play: Callable[..., Any]) -> None:
    """As documented, States.ALL and States.TaskFailed do not take States.DataLimitExceeded."""
    for name in ("States.ALL", "States.TaskFailed"):
        retry = {**TASK, "Retry": [{"ErrorEquals": [name]}]}
        found = play(single(retry), {}, {"Tool": [{"returnCharacters": LIMIT}]}).execution
        assert (found.error, found.steps) == ("States.DataLimitExceeded", (("Only", 1),))


def test_a_retry_that_would_pass_the_deadline_times_out(single: Callable[..., Any], play: Callable[..., Any]) -> None:
    """Waiting for the next attempt ends with the execution's time, and nobody catches that."""
    names = {"ErrorEquals": ["States.ALL"]}
    state = {**TASK, "Retry": [{**names, "IntervalSeconds": 60}], "Catch": [{**names, "Next": "After"}]}
    definition = {**single(state, TimeoutSeconds=90)}
    definition["States"]["After"] = {"Type": "Succeed"}
    ended = play(definition, {}, {"Tool": [{"raise": "E", "message": ""}, {"raise": "E", "message": ""}]})
    assert (ended.execution.status, ended.execution.error) == ("TIMED_OUT", "States.Timeout")
    assert ended.waits == [60, 30]


def test_express_ends_after_five_minutes(single: Callable[..., Any], play: Callable[..., Any]) -> None:
    """Without a timeout of its own, an execution has five minutes."""
    ended = play(single({"Type": "Wait", "Seconds": 3_600, "End": True}), {})
    assert (ended.execution.status, ended.waits) == ("TIMED_OUT", [300])


def test_a_slow_handler_times_out_the_execution(single: Callable[..., Any], play: Callable[..., Any]) -> None:
    """A handler that comes back after the deadline comes back to nobody."""
    found = play(single(TASK), {}, {"Tool": [{"return": 1, "takes": 301}]}).execution
    assert (found.status, found.output) == ("TIMED_OUT", None)


def test_a_timeout_goes_before_the_handlers_error(single: Callable[..., Any], play: Callable[..., Any]) -> None:
    """A task that failed too late has timed out; each attempt has its own time."""
    state = {**TASK, "TimeoutSeconds": 5, "Retry": [{"ErrorEquals": ["States.Timeout"], "MaxAttempts": 1}]}
    outcomes = [{"raise": "E", "message": "", "takes": 5}, {"return": "in time", "takes": 4}]
    found = play(single(state), {}, {"Tool": outcomes}).execution
    assert (found.output, found.steps) == ("in time", (("Only", 2),))


def test_a_timeout_has_no_cause(single: Callable[..., Any], play: Callable[..., Any]) -> None:
    """A task that took too long says so by its name alone, as was recorded from the service."""
    found = play(single({**TASK, "TimeoutSeconds": 1}), {}, {"Tool": [{"return": 1, "takes": 1}]}).execution
    assert (found.error, found.cause) == ("States.Timeout", None)


def test_a_loop_on_a_standing_clock_ends(play: Callable[..., Any]) -> None:
    """A loop that takes no time ends by its number of steps."""
    states = {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "Next": "A"}}
    found = play({"StartAt": "A", "States": states}, {}).execution
    assert (found.status, found.error, len(found.steps)) == ("FAILED", "States.Runtime", 25_000)


def test_the_context_object_tells_times_and_names(single: Callable[..., Any], clock: asl.Clock) -> None:
    """Ids, names and times are the same again in a repeated execution."""
    state = {"Type": "Pass", "InputPath": "$$", "End": True}
    found = asl.compile(single(state), name="review").run({"a": 1}, name="run-1", invoke=max, clock=clock)
    assert found.output == {
        "Execution": {
            "Id": "arn:aws:states:local:000000000000:execution:review:run-1",
            "Input": {"a": 1},
            "Name": "run-1",
            "RoleArn": "arn:aws:iam::000000000000:role/local",
            "StartTime": "2025-01-31T10:00:00.000Z",
        },
        "State": {"EnteredTime": "2025-01-31T10:00:00.000Z", "Name": "Only"},
        "StateMachine": {"Id": "arn:aws:states:local:000000000000:stateMachine:review", "Name": "review"},
    }


def test_a_machine_runs_any_number_of_times(single: Callable[..., Any], clock: asl.Clock) -> None:
    """Executions of one machine know nothing of each other."""
    machine = asl.compile(single({**TASK, "ResultPath": "$.n"}))
    outputs = [
        machine.run({"at": at}, name=f"r{at}", invoke=lambda _function, data: data["at"] * 2, clock=clock).output
        for at in range(3)
    ]
    assert outputs == [{"at": 0, "n": 0}, {"at": 1, "n": 2}, {"at": 2, "n": 4}]


def test_a_function_name_must_be_text(single: Callable[..., Any], play: Callable[..., Any]) -> None:
    """A function name from the data that is no text ends the execution with States.Runtime."""
    invoke = {"Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName.$": "$.f"}}
    found = play(single({**TASK, **invoke}), {"f": 1}).execution
    assert found.error == "States.Runtime"


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "5", None])
def test_a_timeout_from_the_data_must_be_positive(
    value: Any, single: Callable[..., Any], play: Callable[..., Any]
) -> None:
    """TimeoutSecondsPath takes whole, positive seconds and nothing else."""
    found = play(single({**TASK, "TimeoutSecondsPath": "$.t"}), {"t": value}).execution
    assert (found.status, found.error) == ("FAILED", "States.Runtime")


@pytest.mark.parametrize(
    ("data", "path"), [("text", "$.x"), ({"a": 1}, "$.a.b"), ({"a": [1]}, "$.a[1]"), ({"a": {}}, "$.a[0]")]
)
def test_a_result_path_that_does_not_fit_is_a_match_failure(
    data: Any, path: str, single: Callable[..., Any], play: Callable[..., Any]
) -> None:
    """ResultPath makes objects, but replaces no scalar and lengthens no array."""
    found = play(single({"Type": "Pass", "Result": 1, "ResultPath": path, "End": True}), data).execution
    assert (found.status, found.error) == ("FAILED", "States.ResultPathMatchFailure")


def test_a_result_path_replaces_an_item(single: Callable[..., Any], play: Callable[..., Any]) -> None:
    """An index in ResultPath replaces what stands there, in a copy."""
    data = {"a": [1, {"b": 2}]}
    found = play(single({"Type": "Pass", "Result": 3, "ResultPath": "$.a[1].b", "End": True}), data).execution
    assert (found.output, data) == ({"a": [1, {"b": 3}]}, {"a": [1, {"b": 2}]})


def test_branches_share_no_context(play: Callable[..., Any]) -> None:
    """After its branches a Parallel is itself again in the context object, and a Map's items stay inside."""
    inner = {"StartAt": "Inner", "States": {"Inner": {"Type": "Pass", "End": True}}}
    state = {
        "Type": "Parallel",
        "Branches": [inner],
        "ResultSelector": {"name.$": "$$.State.Name", "retried.$": "$$.State.RetryCount"},
        "End": True,
    }
    found = play({"StartAt": "Outer", "States": {"Outer": state}}, {}).execution
    assert found.output == {"name": "Outer", "retried": 0}
