from __future__ import annotations

from collections.abc import Callable, Generator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df
import pytest

from local.durable.hub import Options

if TYPE_CHECKING:
    from tests.local.durable.conftest import Clock, Rig

Context = Any
Flow = Generator[Any, Any, Any]

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")


def double(number: int) -> int:
    """Double a number."""
    return 2 * number


def fail(reason: str) -> None:
    """Fail with a reason."""
    raise ValueError(reason)


class Patient(df.RetryOptions):  # type: ignore[misc]
    """Retry options with backoff, which the SDK's own class lacks."""

    def to_json(self) -> dict[str, Any]:
        """Add what the extension understands."""
        return {**super().to_json(), "backoffCoefficient": 3, "maxRetryIntervalInMilliseconds": 5000}


def test_activity_is_retried_with_backoff_up_to_the_longest_interval(make_rig: Callable[..., Rig]) -> None:
    """Attempts wait first interval times the coefficient to the power, but never longer than the maximum."""
    rig: Rig
    times: list[float] = []

    def flaky(payload: str) -> str:
        times.append(rig.clock.now.timestamp())
        if len(times) < 5:
            raise RuntimeError("not yet")
        return payload

    def flow(context: Context) -> Flow:
        first = yield context.call_activity_with_retry("flaky", Patient(1000, 5), "got it")
        second = yield context.call_activity("double", 4)
        return [first, second]

    rig = make_rig(lambda app: (app.activity(flaky), app.activity(double), app.orchestrator(flow)))
    rig.hub.start("flow", "r")
    rig.play()
    assert [later - earlier for earlier, later in pairwise(times)] == [1, 3, 5, 5]
    assert rig.outcome("r") == ("Completed", ["got it", 8])


def test_retries_run_out_with_the_last_failure(make_rig: Callable[..., Rig]) -> None:
    """After its last attempt a call with retries fails with that attempt's reason, and the flow goes on."""
    calls: list[str] = []

    def broken(payload: str) -> None:
        calls.append(payload)
        raise RuntimeError(f"attempt {len(calls)}")

    def flow(context: Context) -> Flow:
        try:
            yield context.call_activity_with_retry("broken", df.RetryOptions(1000, 3), "x")
        except Exception as error:  # noqa: BLE001  the SDK raises plain exceptions
            return [str(error).split(" \n")[0], (yield context.call_activity("double", 1))]

    rig = make_rig(lambda app: (app.activity(broken), app.activity(double), app.orchestrator(flow)))
    rig.hub.start("flow", "r")
    rig.play()
    expected = "Activity function 'broken' failed: RuntimeError: attempt 3"
    assert rig.outcome("r") == ("Completed", [expected, 2])


def test_many_retries_at_once_keep_their_numbers(make_rig: Callable[..., Rig]) -> None:
    """Retries that overlap in one task_all, children among them, each get their own result."""
    tries: dict[str, int] = {}

    def moody(key: str) -> str:
        tries[key] = tries.get(key, 0) + 1
        if tries[key] <= int(key.split("-")[1]) % 4:
            raise RuntimeError(key)
        return key

    def child(context: Context) -> Flow:
        return (yield context.call_activity("moody", context.get_input()))

    def flow(context: Context) -> Flow:
        options = df.RetryOptions(1000, 5)
        keys = [f"a-{number}" for number in range(10)]
        calls = [context.call_activity_with_retry("moody", options, key) for key in keys]
        children = [context.call_sub_orchestrator_with_retry("child", options, f"c-{n}") for n in range(10)]
        done = yield context.task_all(calls + children)
        return [done, (yield context.call_activity("moody", "z-0"))]

    rig = make_rig(lambda app: (app.activity(moody), app.orchestrator(child), app.orchestrator(flow)))
    rig.hub.start("flow", "r")
    rig.play()
    keys = [f"a-{number}" for number in range(10)] + [f"c-{number}" for number in range(10)]
    assert rig.outcome("r") == ("Completed", [keys, "z-0"])


def retry_in_any(context: Context) -> Flow:
    """Race a call with retries: stuck on Azure."""
    yield context.task_any([context.call_activity_with_retry("fail", df.RetryOptions(1000, 3), "x")])


def go_on_while_retrying(context: Context) -> Flow:
    """Catch the failure of task_all while a retry is open: stuck on Azure."""
    try:
        yield context.task_all(
            [
                context.call_activity("fail", "now"),
                context.call_activity_with_retry("fail", df.RetryOptions(1000, 3), "later"),
            ]
        )
    except Exception:  # noqa: BLE001  the SDK raises plain exceptions
        yield context.call_activity("double", 1)


@pytest.mark.parametrize("flow", [retry_in_any, go_on_while_retrying])
def test_what_would_hang_on_azure_fails_here_with_advice(
    make_rig: Callable[..., Rig], flow: Callable[[Context], Flow]
) -> None:
    """Orchestrators whose retries drift on Azure end as failed with what to do instead."""
    rig = make_rig(lambda app: (app.activity(fail), app.activity(double), app.orchestrator(flow)))
    rig.hub.start(flow.__name__, "r")
    rig.play()
    status, output = rig.outcome("r")
    assert status == "Failed"
    assert "gets stuck on Azure" in output
    assert "sub-orchestration" in output


def test_lenient_hub_runs_a_retry_inside_task_any(make_rig: Callable[..., Rig]) -> None:
    """With strict off, the hub's own numbering keeps up with the SDK even where Azure's does not."""
    calls: list[str] = []

    def second_time(key: str) -> str:
        calls.append(key)
        if len(calls) < 2:
            raise RuntimeError(key)
        return key

    def flow(context: Context) -> Flow:
        never = context.wait_for_external_event("never")
        call = context.call_activity_with_retry("second_time", df.RetryOptions(1000, 3), "x")
        winner = yield context.task_any([never, call])
        return [winner == call, (yield context.call_activity("double", 5))]

    rig = make_rig(
        lambda app: (app.activity(second_time), app.activity(double), app.orchestrator(flow)),
        Options(strict=False),
    )
    rig.hub.start("flow", "r")
    rig.play()
    assert rig.outcome("r") == ("Completed", [True, 10])


def test_lenient_hub_numbers_a_retry_behind_what_an_earlier_event_asked_for(
    make_rig: Callable[..., Rig], clock: Clock
) -> None:
    """An event and a failed attempt that are due together are numbered in the order in which they came."""
    calls: list[str] = []

    def second_time(key: str) -> str:
        calls.append(key)
        if len(calls) < 2:
            raise RuntimeError(key)
        return key

    def flow(context: Context) -> Flow:
        call = context.call_activity_with_retry("second_time", df.RetryOptions(1000, 3), "x")
        yield context.task_any([call, context.wait_for_external_event("go")])
        doubled = yield context.call_activity("double", 5)
        return [doubled, (yield call)]

    rig = make_rig(
        lambda app: (app.activity(second_time), app.activity(double), app.orchestrator(flow)),
        Options(strict=False),
    )
    rig.hub.start("flow", "r")
    rig.hub.run_once()
    clock.advance(seconds=1)
    rig.hub.raise_event("r", "go", "1")
    clock.advance(seconds=1)
    rig.play()
    assert rig.outcome("r") == ("Completed", [10, "x"])
