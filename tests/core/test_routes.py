from __future__ import annotations

import pytest

from shared.core.routes import Lane, Route, lane, routes
from shared.events.catalog import CATALOG
from tests.core.given import events, facts

ELSEWHERE = {
    "task.admitted": {Route.WORK},
    "task.resumed": {Route.WORK},
    "task.placed": {Route.REVIEWS},
    "task.cancelled": {Route.REVIEWS},
    "approval.decided": {Route.REVIEWS},
}


@pytest.mark.parametrize("kind", sorted(CATALOG))
def test_every_event_is_recorded_and_few_are_heard_elsewhere(kind: str) -> None:
    """All events go to the record, once; only those that somebody acts on go anywhere else."""
    event = events([facts()[kind]])[0]
    gone = routes(event)
    assert set(gone) == {Route.RECORDS} | ELSEWHERE.get(kind, set())
    assert len(gone) == len(set(gone))


@pytest.mark.parametrize(("cloud", "where"), [("aws", Route.PIPELINE), ("azure", Route.REVIEWS)])
def test_a_placed_task_goes_where_it_was_placed(cloud: str, where: Route) -> None:
    """The placement's cloud decides who starts the task, and nobody else does."""
    placed = facts()["task.placed"].model_copy(update={"cloud": cloud})
    assert set(routes(events([placed])[0])) == {where, Route.RECORDS}


@pytest.mark.parametrize("cloud", [None, "aws"])
def test_a_cancellation_stops_only_what_waits(cloud: str | None) -> None:
    """Only a durable review has to be told to stop; a short pipeline ends at its next step."""
    cancelled = facts()["task.cancelled"].model_copy(update={"placed_on": cloud})
    assert routes(events([cancelled])[0]) == (Route.RECORDS,)


@pytest.mark.parametrize("kind", ["approval.requested", "approval.escalated", "approval.decided", "approval.expired"])
def test_an_approval_of_money_wakes_no_review(kind: str) -> None:
    """What is decided about a budget is on record; whoever resumes parked tasks looks it up, no review waits for it."""
    about = facts()[kind].model_copy(update={"about": "budget"})
    assert routes(events([about])[0]) == (Route.RECORDS,)


def test_only_who_waits_is_in_the_fast_lane() -> None:
    """Interactive work has a lane of its own; all other shares the second one."""
    assert lane("interactive") is Lane.INTERACTIVE
    assert {lane("standard"), lane("background")} == {Lane.BACKGROUND}
