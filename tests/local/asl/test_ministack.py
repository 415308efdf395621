from __future__ import annotations

import json
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from local.stack import state
from local.stack.parts.ministack import PART
from local.stack.supervisor import Supervisor
from tests.local.asl.local_aws import WIDTH, Ending, LocalAws
from tests.local.asl.test_samples import NAMES
from tests.local.stack.conftest import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

pytestmark = pytest.mark.timeout(300)  # the first test waits for most of the processes to start

# What ministack 1.5.33 makes otherwise of a sample than the language's specification and the developer guide.
NULL = "a path that finds nothing is null, and the execution goes on"
MINISTACK_DIFFERS = {
    "choice_other_type": "1 equals true",
    "choice_paths": "lacks TimestampGreaterThanPath",
    "choice_string_matches": "does not know the escape of the star",
    "choice_types": "true is a number, and null is not present",
    "choice_variable_missing": NULL,
    "execution_times_out": "ignores TimeoutSeconds of the state machine",
    "input_path_missing": NULL,
    "intrinsic_failure": "reports States.Runtime",
    "intrinsic_path_missing": NULL,
    "intrinsics_text": "writes null and true as Python does",
    "map_not_an_array": "takes what is no array for its only item",
    "output_path_missing": NULL,
    "parameters_path_missing": NULL,
    "rendered_no_policy_result": NULL,
    "runtime_error_in_branch": NULL,
    "task_result_path_failure": "replaces an input that is no object",
    "task_result_too_large": "has no limit of size",
    "task_runtime_error_not_caught": NULL,
    "task_timeout_from_input": "does not know TimeoutSecondsPath",
    "wait_seconds_negative": "does not wait, and goes on",
    "wait_timestamp_malformed": "does not wait, and goes on",
}


@pytest.fixture(scope="module")
def endings(
    tmp_path_factory: pytest.TempPathFactory, sample: Callable[[str], Any]
) -> Iterator[Mapping[str, Future[Ending]]]:
    """Run all samples on a local AWS that skips every wait, side by side."""
    need(PART)
    folder = tmp_path_factory.mktemp("ministack")
    supervisor = Supervisor(folder, [PART])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SFN_WAIT_SCALE", "0")
        supervisor.up()
    try:
        with closing(LocalAws(state.facts(folder))) as aws, ThreadPoolExecutor(WIDTH) as pool:
            yield {name: pool.submit(aws.run, name, sample(name)) for name in NAMES}
    finally:
        supervisor.down()


def cases() -> Iterator[Any]:
    """Name the samples; where ministack is known to differ, the comparison must fail."""
    for name in NAMES:
        reason = MINISTACK_DIFFERS.get(name)
        yield pytest.param(name, marks=[pytest.mark.xfail(reason=reason, raises=AssertionError)] if reason else [])


@pytest.mark.parametrize("name", [*cases()])
def test_ministack_agrees(
    name: str, sample: Callable[[str], dict[str, Any]], endings: Mapping[str, Future[Ending]]
) -> None:
    """Ministack's interpreter, written by others, ends the sample in the same way, functions included."""
    expect, found = sample(name)["expect"], endings[name].result()
    assert (found.status, found.output, found.error) == (expect["status"], expect.get("output"), expect.get("error"))
    assert found.cause == expect.get("cause", found.cause)
    if "causeJson" in expect:
        assert expect["causeJson"].items() <= json.loads(found.cause or "").items()


def test_most_of_the_language_is_confirmed() -> None:
    """Ministack confirms more than 30 samples, among them the rendered pipeline's and each way a state may fail."""
    confirmed = [name for name in NAMES if name not in MINISTACK_DIFFERS]
    kinds = ("choice_", "map_", "parallel_", "pass_", "rendered_", "task_catch", "task_retry", "task_timeout")
    assert set(NAMES) >= MINISTACK_DIFFERS.keys()
    assert len(confirmed) > 30
    assert all(sum(name.startswith(kind) for name in confirmed) >= 2 for kind in kinds)
