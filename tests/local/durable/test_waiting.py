from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from shared.errors import NotFound

if TYPE_CHECKING:
    from tests.local.durable.conftest import App, Rig

Context = Any
Flow = Generator[Any, Any, Any]

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")


def race(context: Context) -> Flow:
    """Wait for a decision for an hour."""
    decision = context.wait_for_external_event("decision")
    timer = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    winner = yield context.task_any([decision, timer])
    if winner == decision:
        timer.cancel()
        return decision.result
    return "expired"


@pytest.fixture
def racing(make_rig: Callable[..., Rig]) -> Rig:
    """Return a hub with a started race."""
    rig = make_rig(lambda app: app.orchestrator(race))
    rig.hub.start("race", "r")
    rig.hub.run_until_idle()
    return rig


def test_event_beats_the_timer(racing: Rig) -> None:
    """An event before the deadline wins, and the cancelled timer holds nothing up."""
    racing.clock.advance(minutes=59)
    racing.hub.raise_event("r", "decision", '"yes"')
    racing.hub.run_until_idle()
    assert racing.outcome("r") == ("Completed", "yes")
    assert racing.hub.next_due() is None


def test_timer_fires_at_its_moment_and_not_before(racing: Rig) -> None:
    """A timer is due exactly at its time."""
    assert racing.hub.next_due() == datetime(2025, 3, 1, 10, 0, tzinfo=UTC)
    racing.clock.advance(minutes=59, seconds=59.999)
    assert not racing.hub.run_once()
    racing.clock.advance(milliseconds=1)
    racing.hub.run_until_idle()
    assert racing.outcome("r") == ("Completed", "expired")


def test_timer_wins_over_an_event_of_the_same_moment(racing: Rig) -> None:
    """When both are due at once, the one that was set earlier comes first."""
    racing.clock.advance(hours=1)
    racing.hub.raise_event("r", "decision", '"late"')
    racing.hub.run_until_idle()
    assert racing.outcome("r") == ("Completed", "expired")


def test_late_timer_still_comes_before_a_later_event(racing: Rig) -> None:
    """After a pause of the hub, a deadline that passed is honoured before an event that came after it."""
    racing.clock.advance(hours=2)
    racing.hub.raise_event("r", "decision", '"late"')
    racing.clock.advance(hours=1)
    racing.hub.run_until_idle()
    assert racing.outcome("r") == ("Completed", "expired")


def test_duplicate_event_changes_nothing(racing: Rig) -> None:
    """Only the first of two events of a name decides; the second is left over and dropped."""
    assert racing.hub.raise_event("r", "decision", '"first"')
    assert racing.hub.raise_event("r", "decision", '"second"')
    racing.hub.run_until_idle()
    assert racing.outcome("r") == ("Completed", "first")
    assert not racing.hub.raise_event("r", "decision", '"third"')
    assert racing.count("durable_messages") == 0


def test_event_for_nobody_is_an_error(racing: Rig) -> None:
    """An event for an instance that does not exist is refused."""
    with pytest.raises(NotFound):
        racing.hub.raise_event("nobody", "decision", "1")


def work(number: int) -> int:
    """Return the number."""
    return number


def collect(context: Context) -> Flow:
    """Work, then take three events of one name, one after the other."""
    yield context.call_activity("work", 1)
    seen = []
    for _ in range(3):
        seen.append((yield context.wait_for_external_event("item")))
        yield context.call_activity("work", 2)
    return seen


def test_early_events_of_one_name_wait_in_order(make_rig: Callable[..., Rig]) -> None:
    """Events that come before anybody waits are handed over one per wait, in the order they came."""
    rig = make_rig(lambda app: (app.activity(work), app.orchestrator(collect)))
    rig.hub.start("collect", "c")
    for number in range(4):
        rig.hub.raise_event("c", "item", str(number))
        rig.hub.run_once()
    rig.hub.run_until_idle()
    assert rig.outcome("c") == ("Completed", [0, 1, 2])


def test_early_events_survive_continue_as_new(make_rig: Callable[..., Rig]) -> None:
    """An event that nobody took in one generation is there for the next."""

    def flow(context: Context) -> Flow:
        seen = context.get_input() or []
        seen.append((yield context.wait_for_external_event("item")))
        if len(seen) == 3:
            return seen
        context.continue_as_new(seen)
        return None

    rig = make_rig(lambda app: app.orchestrator(flow))
    rig.hub.start("flow", "f")
    for name in "abc":
        rig.hub.raise_event("f", "item", f'"{name}"')
    rig.hub.run_until_idle()
    assert rig.outcome("f") == ("Completed", ["a", "b", "c"])


def approval(context: Context) -> Flow:
    """Wait 30 days for a decision, one day at a time."""
    deadline = context.current_utc_datetime + timedelta(days=30)
    decision = context.wait_for_external_event("decision-1")
    while context.current_utc_datetime < deadline:
        slice_end = min(deadline, context.current_utc_datetime + timedelta(days=1))
        timer = context.create_timer(slice_end)
        winner = yield context.task_any([decision, timer])
        if winner == decision:
            timer.cancel()
            return {"decision": decision.result}
    return {"decision": "expired", "at": context.current_utc_datetime.isoformat()}


def test_thirty_days_in_slices_expire_to_the_microsecond(make_rig: Callable[..., Rig]) -> None:
    """A deadline waited for in day slices expires at its own moment."""
    rig = make_rig(lambda app: app.orchestrator(approval))
    rig.hub.start("approval", "a")
    rig.play()
    assert rig.outcome("a") == ("Completed", {"decision": "expired", "at": "2025-03-31T09:00:00+00:00"})
    assert rig.clock.now == datetime(2025, 3, 31, 9, 0, tzinfo=UTC)


def test_decision_on_day_thirteen_ends_the_waiting(make_rig: Callable[..., Rig]) -> None:
    """A decision between two slices is taken, in whichever process it finds the instance."""
    rig = make_rig(lambda app: app.orchestrator(approval))
    rig.hub.start("approval", "a")
    for _ in range(13):
        rig.hub.run_until_idle()
        rig.clock.advance(days=1)
    rig.restart(lambda app: app.orchestrator(approval))
    rig.hub.raise_event("a", "decision-1", '"approved"')
    rig.hub.run_until_idle()
    assert rig.outcome("a") == ("Completed", {"decision": "approved"})
    assert rig.hub.next_due() is None


def test_timer_beyond_six_days_fires_once_at_its_moment(make_rig: Callable[..., Rig]) -> None:
    """The SDK's long timers, which it cuts into slices of three days, arrive at the right time."""

    def flow(context: Context) -> Flow:
        yield context.create_timer(context.current_utc_datetime + timedelta(days=20))
        return context.current_utc_datetime.isoformat()

    rig = make_rig(lambda app: app.orchestrator(flow))
    rig.hub.start("flow", "long")
    rig.play()
    assert rig.outcome("long") == ("Completed", "2025-03-21T09:00:00+00:00")


def forgetful(context: Context) -> Flow:
    """Forget to cancel the timer that lost."""
    timer = context.create_timer(context.current_utc_datetime + timedelta(hours=5))
    yield context.task_any([timer, context.wait_for_external_event("go")])
    return "done"


def test_forgotten_timer_keeps_the_instance_running(make_rig: Callable[..., Rig]) -> None:
    """As on Azure, an instance is not finished before everything that it started is."""
    rig = make_rig(lambda app: app.orchestrator(forgetful))
    rig.hub.start("forgetful", "f")
    rig.hub.raise_event("f", "go", "null")
    rig.hub.run_until_idle()
    assert rig.outcome("f") == ("Running", None)
    rig.clock.advance(hours=5)
    rig.hub.run_until_idle()
    assert rig.outcome("f") == ("Completed", "done")


def build_tree(app: App) -> None:
    """Register a parent, a child and a grandchild that wait."""

    def leaf(context: Context) -> Flow:
        yield context.wait_for_external_event("never")

    def child(context: Context) -> Flow:
        yield context.task_all([context.call_sub_orchestrator("leaf"), context.call_activity("work", 1)])

    def parent(context: Context) -> Flow:
        yield context.call_sub_orchestrator("child")

    app.activity(work)
    app.orchestrator(leaf)
    app.orchestrator(child)
    app.orchestrator(parent)


def test_terminating_a_parent_terminates_all_below_it(make_rig: Callable[..., Rig]) -> None:
    """Terminate ends the instance, its children and theirs, and leaves no work behind."""
    rig = make_rig(build_tree)
    rig.hub.start("parent", "p")
    for _ in range(2):
        rig.hub.run_once()
    assert rig.count("durable_activities") == rig.count("durable_messages") == 1
    assert rig.hub.terminate("p", "stop it")
    assert not rig.hub.run_once()
    assert {rig.outcome(name) for name in ("p", "p:0:0", "p:0:0:0:0")} == {("Terminated", "stop it")}
    assert rig.count("durable_activities") == rig.count("durable_messages") == 0
    assert not rig.hub.terminate("p", "again")


def test_terminating_a_child_fails_its_parent(make_rig: Callable[..., Rig]) -> None:
    """A parent hears the reason when its child is terminated."""
    rig = make_rig(build_tree)
    rig.hub.start("parent", "p")
    rig.hub.run_until_idle()
    rig.hub.terminate("p:0:0", "not needed")
    rig.hub.run_until_idle()
    status, output = rig.outcome("p")
    assert status == "Failed"
    assert "not needed" in output


def test_suspended_instance_takes_nothing_in_until_it_is_resumed(racing: Rig) -> None:
    """What comes for a suspended instance waits, and is taken in order after the resume."""
    racing.hub.suspend("r")
    racing.hub.raise_event("r", "decision", '"yes"')
    racing.clock.advance(hours=2)
    racing.hub.run_until_idle()
    assert racing.outcome("r") == ("Suspended", None)
    racing.hub.resume("r")
    assert racing.outcome("r") == ("Running", None)
    racing.hub.run_until_idle()
    assert racing.outcome("r") == ("Completed", "yes")


def test_instance_suspended_before_its_first_episode_starts_after_the_resume(
    make_rig: Callable[..., Rig],
) -> None:
    """A pending instance can be suspended, and is pending again when resumed."""
    rig = make_rig(lambda app: (app.activity(work), app.orchestrator(collect)))
    rig.hub.start("collect", "c")
    rig.hub.suspend("c")
    rig.hub.run_until_idle()
    rig.hub.resume("c")
    assert rig.outcome("c") == ("Pending", None)
    for number in range(3):
        rig.hub.raise_event("c", "item", str(number))
    rig.hub.run_until_idle()
    assert rig.outcome("c") == ("Completed", [0, 1, 2])


def test_start_is_idempotent_by_id(racing: Rig) -> None:
    """A second start of an id is refused, before and after the instance has ended, unless it may replace it."""
    assert not racing.hub.start("race", "r")
    racing.hub.raise_event("r", "decision", '"yes"')
    racing.hub.run_until_idle()
    assert not racing.hub.start("race", "r")
    assert racing.hub.start("race", "r", replace_finished=True)
    racing.hub.run_until_idle()
    assert racing.outcome("r") == ("Running", None)


def test_purge_deletes_ended_instances_with_their_children_only(make_rig: Callable[..., Rig]) -> None:
    """Purging removes every row of an ended family and nothing of one that lives."""
    rig = make_rig(build_tree)
    rig.hub.start("parent", "gone")
    rig.hub.start("parent", "alive")
    rig.hub.run_until_idle()
    rig.hub.terminate("gone", "")
    assert rig.hub.purge("alive") == 0
    assert rig.hub.purge("gone") == 3
    assert rig.hub.status("gone") is None
    assert rig.count("durable_instances") == 3
    assert rig.outcome("alive") == ("Running", None)
