from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import moto
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SAMPLES = Path(__file__).resolve().parents[2] / "samples" / "asl"
NAMES = sorted(path.stem for path in SAMPLES.glob("*.json"))

# What moto 5.2.5 makes otherwise of a sample than the language's specification and the developer guide.
MOTO_DIFFERS = {
    "choice_no_match": "ends with the States.Runtime of its own RuntimeError (executions on AWS said so, too)",
    "choice_no_match_in_branch": "ends with States.Runtime, which nothing takes",
    "choice_string_matches": "does not know the escape of the star",
    "choice_timestamps": "knows no offsets",
    "choice_variable_missing": "goes on to Default",
    "intrinsic_failure": "ends with the States.Runtime of its own JSONDecodeError",
    "intrinsics_escapes": "loses what is escaped",
    "map_not_an_array": "reports JSONata's States.QueryEvaluationError",
    "parallel_parameters_selector": "wraps what `$[0].x` finds in an array",
}


def without_functions(name: str) -> bool:
    """Whether a sample needs no functions, and no more time than a test has."""
    given = json.loads((SAMPLES / f"{name}.json").read_text())
    return "lambdas" not in given and given["expect"].get("waited", 0) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_ends_as_on_the_service(
    name: str, sample: Callable[[str], dict[str, Any]], play: Callable[..., Any]
) -> None:
    """Every sample's definition, input and function outcomes yield the recorded or documented end."""
    given = sample(name)
    expect = given["expect"]
    ended = play(given["definition"], given["input"], given.get("lambdas"), given.get("name", "run-1"))
    found = ended.execution
    assert (found.status, found.output, found.error) == (
        expect["status"],
        expect.get("output"),
        expect.get("error", "States.Timeout" if expect["status"] == "TIMED_OUT" else None),
    )
    assert found.cause == expect.get("cause", found.cause)
    assert expect.get("causeJson", {}).items() <= json.loads(found.cause if "causeJson" in expect else "{}").items()
    assert [*map(list, found.steps)] == expect.get("steps", [*map(list, found.steps)])
    assert [*map(list, ended.calls)] == expect.get("calls", [*map(list, ended.calls)])
    assert sum(ended.waits) == expect.get("waited", 0)


def test_there_are_samples_of_every_state_type() -> None:
    """The samples are more than 30 and leave no state type out."""
    texts = [(SAMPLES / f"{name}.json").read_text() for name in NAMES]
    types = {"Pass", "Task", "Choice", "Wait", "Succeed", "Fail", "Map", "Parallel"}
    assert len(texts) > 30
    assert types == {kind for kind in types if any(f'"Type": "{kind}"' in text for text in texts)}


@pytest.fixture(scope="module")
def moto_machine() -> Iterator[Callable[[Any, str], str]]:
    """Yield a function that creates a state machine in moto's interpreter and returns its ARN."""
    config: Any = {"stepfunctions": {"execute_state_machine": True}}
    with pytest.MonkeyPatch.context() as patch, moto.mock_aws(config=config):
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        client = boto3.client("stepfunctions", region_name="eu-west-1")

        def run(given: Any, name: str) -> Any:
            arn = client.create_state_machine(
                name=name,
                definition=json.dumps(given["definition"]),
                roleArn="arn:aws:iam::123456789012:role/any",
            )["stateMachineArn"]
            before = {*threading.enumerate()}
            started = client.start_execution(
                stateMachineArn=arn, name=given.get("name", f"{name}-1"), input=json.dumps(given["input"])
            )
            return ended(client, started["executionArn"], before)

        yield run


def moto_cases() -> Iterator[Any]:
    """Name the samples for moto; where it is known to differ, the test must fail."""
    for name in filter(without_functions, NAMES):
        reason = MOTO_DIFFERS.get(name)
        yield pytest.param(name, marks=[pytest.mark.xfail(reason=reason)] if reason else [])


def ended(client: Any, execution: str, before: set[threading.Thread]) -> Any:
    """Wait for an execution by its threads, which moto starts one from another."""
    while (found := client.describe_execution(executionArn=execution))["status"] == "RUNNING":
        for thread in {*threading.enumerate()} - before:
            if thread.is_alive():
                thread.join(timeout=30)
    return found


def moto_output(text: str | None) -> Any:
    """Read moto's output, which for a string is the bare string instead of its JSON."""
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text


@pytest.mark.parametrize("name", [*moto_cases()])
def test_moto_agrees(
    name: str, sample: Callable[[str], dict[str, Any]], moto_machine: Callable[[Any, str], Any]
) -> None:
    """Moto's interpreter, written by others, ends the samples without functions in the same way."""
    given = sample(name)
    expect = given["expect"]
    found = moto_machine(given, name.replace("_", "-"))
    output = moto_output(found.get("output"))
    assert (found["status"], output, found.get("error")) == (
        expect["status"],
        expect.get("output"),
        expect.get("error"),
    )
