from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.local.durable.conftest import App, Rig

Context = Any
Flow = Generator[Any, Any, Any]

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")


def double(number: int) -> int:
    """Double a number."""
    return 2 * number


def fail(reason: str) -> None:
    """Fail with a reason."""
    raise ValueError(reason)


def test_activity_gets_and_returns_json_values(make_rig: Callable[..., Rig]) -> None:
    """What an orchestrator passes arrives at the activity as it was, and so does what comes back."""
    value = {"text": 'quote " and ünïcode', "list": [1, None, 2.5], "nested": {"true": True}}

    def echo(payload: Any) -> Any:
        assert payload == value
        return payload

    def flow(context: Context) -> Flow:
        return (yield context.call_activity("echo", context.get_input()))

    rig = make_rig(lambda app: (app.activity(echo), app.orchestrator(flow)))
    rig.hub.start("flow", "one", '{"text": "quote \\" and ünïcode", "list": [1, null, 2.5], "nested": {"true": true}}')
    rig.hub.run_until_idle()
    assert rig.outcome("one") == ("Completed", value)


def test_fan_out_of_fifty_children_returns_value_or_error_in_order(make_rig: Callable[..., Rig]) -> None:
    """Fifty sub-orchestrations that return value or error come back complete and in the order asked for."""

    def risky(number: int) -> int:
        if number % 7 == 0:
            raise ValueError(f"bad {number}")
        return number * number

    def item(context: Context) -> Flow:
        try:
            return {"value": (yield context.call_activity("risky", context.get_input()))}
        except Exception as error:  # noqa: BLE001  the SDK raises plain exceptions
            return {"error": str(error)}

    def parent(context: Context) -> Flow:
        children = [context.call_sub_orchestrator("item", number) for number in range(50)]
        return (yield context.task_all(children))

    rig = make_rig(lambda app: (app.activity(risky), app.orchestrator(item), app.orchestrator(parent)))
    rig.hub.start("parent", "p")
    rig.hub.run_until_idle()
    status, results = rig.outcome("p")
    assert status == "Completed"
    assert [result.get("value") for result in results] == [None if n % 7 == 0 else n * n for n in range(50)]
    assert "ValueError: bad 7" in results[7]["error"]
    assert rig.hub.status("p:0:49") is not None
    assert rig.instance("p").revision < 5  # results are taken in together, not one by one


def test_failed_activity_reaches_the_orchestrator_and_an_uncaught_failure_the_status(
    make_rig: Callable[..., Rig],
) -> None:
    """An activity's exception can be caught with its type and text, and otherwise ends the instance as failed."""

    def caught(context: Context) -> Flow:
        try:
            yield context.call_activity("fail", "no ink")
        except Exception as error:  # noqa: BLE001  the SDK raises plain exceptions
            return str(error)

    def uncaught(context: Context) -> Flow:
        yield context.call_activity("fail", "no paper")

    rig = make_rig(lambda app: (app.activity(fail), app.orchestrator(caught), app.orchestrator(uncaught)))
    rig.hub.start("caught", "c")
    rig.hub.start("uncaught", "u")
    rig.hub.run_until_idle()
    status, output = rig.outcome("c")
    assert status == "Completed"
    assert output.startswith("Activity function 'fail' failed: ValueError: no ink")
    status, output = rig.outcome("u")
    assert status == "Failed"
    assert output.startswith("Orchestrator function 'uncaught' failed: Activity function 'fail' failed:")


def test_failed_child_fails_its_parent_with_the_reason(make_rig: Callable[..., Rig]) -> None:
    """A sub-orchestration that raises hands its reason to the parent."""

    def child(context: Context) -> Flow:
        yield context.call_activity("fail", "torn page")

    def parent(context: Context) -> Flow:
        yield context.call_sub_orchestrator("child")

    rig = make_rig(lambda app: (app.activity(fail), app.orchestrator(child), app.orchestrator(parent)))
    rig.hub.start("parent", "p")
    rig.hub.run_until_idle()
    status, output = rig.outcome("p")
    assert status == "Failed"
    assert "torn page" in output
    assert rig.outcome("p:0:0")[0] == "Failed"


def test_result_for_an_earlier_generation_is_not_mistaken(make_rig: Callable[..., Rig]) -> None:
    """A result that comes after continue_as_new does not pass for that of the new generation's first task."""
    rig: Rig

    def slow(key: str) -> str:
        if key == "old":  # while this one runs, the instance starts over
            rig.hub.raise_event("g", "again", "null")
            rig.hub._run_episode("g")
        return key

    def flow(context: Context) -> Flow:
        if context.get_input() == "new":
            return (yield context.call_activity("slow", "new"))
        call = context.call_activity("slow", "old")
        yield context.task_any([call, context.wait_for_external_event("again")])
        context.continue_as_new("new")
        return None

    rig = make_rig(lambda app: (app.activity(slow), app.orchestrator(flow)))
    rig.hub.start("flow", "g", '"old"')
    rig.hub.run_until_idle()
    assert rig.instance("g").generation == 1
    assert rig.outcome("g") == ("Completed", "new")


def test_unknown_functions_fail_the_instance_by_name(make_rig: Callable[..., Rig]) -> None:
    """A call of a function that does not exist ends the instance with that function's name."""

    def flow(context: Context) -> Flow:
        yield context.call_activity("missing")

    def nesting(context: Context) -> Flow:
        yield context.call_sub_orchestrator("absent")

    rig = make_rig(lambda app: (app.orchestrator(flow), app.orchestrator(nesting)))
    rig.hub.start("flow", "a")
    rig.hub.start("nesting", "b")
    rig.hub.run_until_idle()
    assert "no activity function 'missing'" in rig.outcome("a")[1]
    assert "no orchestrator function 'absent'" in rig.outcome("b")[1]


def test_unsupported_action_fails_the_instance(make_rig: Callable[..., Rig]) -> None:
    """Entities and durable HTTP calls are refused by name instead of being waited for."""

    def flow(context: Context) -> Flow:
        yield context.call_http("GET", "http://127.0.0.1/")

    rig = make_rig(lambda app: app.orchestrator(flow))
    rig.hub.start("flow", "h")
    rig.hub.run_until_idle()
    assert rig.outcome("h")[0] == "Failed"
    assert "CALL_HTTP is not supported" in rig.outcome("h")[1]


def test_continue_as_new_starts_over_with_new_input_and_a_short_history(make_rig: Callable[..., Rig]) -> None:
    """A loop by continue_as_new passes its state on and does not let its history grow."""

    def count(context: Context) -> Flow:
        state = context.get_input()
        state["sum"] += yield context.call_activity("double", state["n"])
        if state["n"] == 0:
            return state["sum"]
        context.continue_as_new({"n": state["n"] - 1, "sum": state["sum"]})
        return None

    rig = make_rig(lambda app: (app.activity(double), app.orchestrator(count)))
    rig.hub.start("count", "loop", '{"n": 20, "sum": 0}')
    rig.hub.run_until_idle()
    assert rig.outcome("loop") == ("Completed", 420)
    assert rig.instance("loop").generation == 20
    assert rig.count("durable_history") < 8


def test_custom_status_is_shown_and_kept(make_rig: Callable[..., Rig]) -> None:
    """A custom status stands from the episode that set it until another replaces it."""

    def flow(context: Context) -> Flow:
        context.set_custom_status({"step": 1})
        yield context.wait_for_external_event("go")
        context.set_custom_status({"step": 2})
        return "done"

    rig = make_rig(lambda app: app.orchestrator(flow))
    rig.hub.start("flow", "s")
    rig.hub.run_until_idle()
    assert rig.instance("s").custom_status == '{"step": 1}'
    rig.hub.raise_event("s", "go", "null")
    rig.hub.run_until_idle()
    assert rig.instance("s").custom_status == '{"step": 2}'


def test_an_orchestrator_without_yield_completes(make_rig: Callable[..., Rig]) -> None:
    """A plain function is an orchestrator that needs one episode."""

    def flow(context: Context) -> str:
        return f"hello {context.get_input()}"

    rig = make_rig(lambda app: app.orchestrator(flow))
    rig.hub.start("flow", "x", '"you"')
    rig.hub.run_until_idle()
    assert rig.outcome("x") == ("Completed", "hello you")


def build_named(app: App) -> None:
    """Register an orchestrator and a child under names of their own."""

    def child(context: Context) -> Flow:
        return (yield context.call_activity("double", context.get_input()))

    def parent(context: Context) -> Flow:
        return (yield context.call_sub_orchestrator("child-v2", 21, "chosen-id"))

    app.activity(double)
    app.orchestrator(child, "child-v2")
    app.orchestrator(parent, "parent-v1")


def test_child_with_a_chosen_id_runs_under_it_and_is_refused_while_it_lives(
    make_rig: Callable[..., Rig],
) -> None:
    """A chosen child id is used as it is; a second parent that wants it meanwhile hears of a failure."""
    rig = make_rig(build_named)
    rig.hub.start("parent-v1", "first")
    rig.hub.start("parent-v1", "second")
    rig.hub.run_until_idle()
    assert rig.outcome("first") == ("Completed", 42)
    assert "'chosen-id' is running already" in rig.outcome("second")[1]
    rig.hub.start("parent-v1", "third")
    rig.hub.run_until_idle()
    assert rig.outcome("third") == ("Completed", 42)
