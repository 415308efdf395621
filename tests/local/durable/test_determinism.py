from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.local.durable.conftest import App, Rig

Context = Any
Flow = Generator[Any, Any, Any]

pytestmark = pytest.mark.filterwarnings(
    "ignore:azure.functions df_loads:DeprecationWarning", "ignore:Potential duplicate Task:UserWarning"
)


def one(number: int) -> int:
    """Return the number."""
    return number


def two(number: int) -> int:
    """Return the number."""
    return number


def before(context: Context) -> Flow:
    """Deployed first: an activity, then two waits."""
    yield context.call_activity("one", 1)
    yield context.wait_for_external_event("first")
    yield context.wait_for_external_event("second")
    return "done"


def other_activity(context: Context) -> Flow:
    """Call another activity."""
    yield context.call_activity("two", 1)
    yield context.wait_for_external_event("first")


def other_kind(context: Context) -> Flow:
    """Set a timer where an activity was called."""
    yield context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    yield context.wait_for_external_event("first")


def other_event(context: Context) -> Flow:
    """Wait for an event of another name."""
    yield context.call_activity("one", 1)
    yield context.wait_for_external_event("another")


def shorter(context: Context) -> Flow:
    """Ask for less than before."""
    yield context.call_activity("one", 1)
    return "short"


def longer_at_the_front(context: Context) -> Flow:
    """Ask for something new before all else."""
    yield context.call_activity("two", 1)
    yield context.call_activity("one", 1)
    yield context.wait_for_external_event("first")


def deploy(flow: Callable[..., Any]) -> Callable[[App], None]:
    """Return the registration of a version of the flow."""

    def build(app: App) -> None:
        def versioned(context: Context) -> Flow:
            return (yield from flow(context))

        app.activity(one)
        app.activity(two)
        app.orchestrator(versioned, "flow")

    return build


@pytest.mark.parametrize(
    "after",
    [other_activity, other_kind, other_event, shorter, longer_at_the_front],
    ids=lambda flow: flow.__name__,
)
def test_changed_orchestrator_fails_its_running_instances_with_what_differs(
    make_rig: Callable[..., Rig], after: Callable[..., Any]
) -> None:
    """An instance that meets a different orchestrator ends as failed and says where they part."""
    rig = make_rig(deploy(before))
    rig.hub.start("flow", "f")
    rig.hub.run_until_idle()
    rig.restart(deploy(after))
    for name in ("first", "another"):
        rig.hub.raise_event("f", name, "1")
    rig.hub.run_until_idle()
    status, output = rig.outcome("f")
    assert status == "Failed"
    assert "non-deterministic orchestrator: step " in output
    assert rig.count("durable_messages") == 0


def test_change_behind_what_was_asked_for_is_no_harm(make_rig: Callable[..., Rig]) -> None:
    """An orchestrator may change where no running instance has been yet."""

    def extended(context: Context) -> Flow:
        yield context.call_activity("one", 1)
        yield context.wait_for_external_event("first")
        return (yield context.call_activity("two", 2))

    rig = make_rig(deploy(before))
    rig.hub.start("flow", "f")
    rig.hub.run_until_idle()
    rig.restart(deploy(extended))
    rig.hub.raise_event("f", "first", "1")
    rig.hub.run_until_idle()
    assert rig.outcome("f") == ("Completed", 2)


def test_orchestrator_that_draws_lots_is_found_out(make_rig: Callable[..., Rig]) -> None:
    """An orchestrator that decides differently on a replay fails in the same process, too."""
    draws = iter([one, two, one, two])

    def lottery(context: Context) -> Flow:
        yield context.call_activity(next(draws).__name__, 1)
        return "done"

    rig = make_rig(lambda app: (app.activity(one), app.activity(two), app.orchestrator(lottery)))
    rig.hub.start("lottery", "l")
    rig.hub.run_until_idle()
    assert "was CALL_ACTIVITY one and is now CALL_ACTIVITY two" in rig.outcome("l")[1]
