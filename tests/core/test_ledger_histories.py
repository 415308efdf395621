"""Histories worth keeping, as the state machine prints them: each goes wrong with one of the planted bugs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.core.ledger_machine import TO_THE_END, LedgerMachine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.core.ledger import Draw, Lease

LOADED = 3  # steps after which a work on a call has read its draw and its lease and is about to post
POSTED = 4


@pytest.fixture
def state() -> Iterator[LedgerMachine]:
    """Three replicas, and a run with a lease of 150; in the end every lease ends."""
    state = LedgerMachine()
    state.reserve(amount=150, minutes=300, name="a", steps=TO_THE_END, tenant="acme", who=0)
    yield state
    state.teardown()


def lease(state: LedgerMachine) -> Lease:
    """Return the run's lease."""
    found = state.ledger.lease("acme", "a")
    assert found is not None
    return found


def drawn(state: LedgerMachine) -> Draw | None:
    """Return the run's call."""
    return state.ledger.draw("acme", "a", "1")


def test_a_draw_is_overtaken_by_the_close(state: LedgerMachine) -> None:
    """A replica that loaded an open lease and posts after it was closed draws nothing."""
    state.draw(call="1", pick=0, steps=LOADED, who=0, worst=20)
    state.close(pick=0, steps=TO_THE_END, who=1)
    state.go_on(who=0)
    assert (lease(state).state, drawn(state)) == ("closed", None)


def test_a_close_is_overtaken_by_a_draw(state: LedgerMachine) -> None:
    """A replica that loaded a lease and closes it after a call was drawn charges the call."""
    state.close(pick=0, steps=LOADED, who=1)
    state.draw(call="1", pick=0, steps=TO_THE_END, who=0, worst=20)
    state.go_on(who=1)
    assert (lease(state).state, lease(state).booked) == ("closing", 20)


def test_a_sweeper_with_an_old_list_meets_a_renewed_lease(state: LedgerMachine) -> None:
    """A lease that was overdue when the sweeper looked and is not any more when it comes goes on."""
    state.tick(minutes=290)
    state.expire_late(pick=0, steps=2, who=1)  # its clock is ten minutes ahead
    state.extend(amount=150, minutes=90, pick=0, steps=TO_THE_END, who=0)
    state.go_on(who=1)
    assert lease(state).state == "open"


def test_an_answer_and_its_absence_arrive_at_once(state: LedgerMachine) -> None:
    """When one replica settles a call that another calls unknown, the answer stays, whoever posts first."""
    state.draw(call="1", pick=0, steps=TO_THE_END, who=0, worst=20)
    state.unknown(pick=0, steps=LOADED, who=1)
    state.settle(cost=9, pick=0, steps=TO_THE_END, who=0)
    state.go_on(who=1)
    found = drawn(state)
    assert found is not None
    assert (found.state, found.actual, lease(state).settled) == ("settled", 9, 9)


def test_a_replica_dies_after_it_posted_and_the_message_comes_again(state: LedgerMachine) -> None:
    """What a dead replica had posted is found by the next delivery and not done twice."""
    state.draw(call="1", pick=0, steps=TO_THE_END, who=0, worst=20)
    state.settle(cost=9, pick=0, steps=POSTED, who=0)
    state.crash(who=0)
    state.duplicate(steps=TO_THE_END, who=1)
    state.settle(cost=19, pick=0, steps=TO_THE_END, who=2)
    assert lease(state).settled == 9


def test_a_call_settles_while_its_run_is_parked_and_resumed_on_another_day(state: LedgerMachine) -> None:
    """A replica that loaded an open lease settles after it was closed and reopened the next day, on the right day."""
    state.draw(call="1", pick=0, steps=TO_THE_END, who=0, worst=50)
    state.settle(cost=9, pick=0, steps=LOADED, who=0)
    state.close(pick=0, steps=TO_THE_END, who=1)
    state.tick(minutes=1500)
    state.reopen(amount=150, pick=0, steps=TO_THE_END, who=1)
    state.go_on(who=0)
    books = state.ledger.account("acme").books
    assert (books["day:2026-11-30"].settled, lease(state).booked, lease(state).amount) == (9, 9, 109)


def test_two_calls_draw_the_last_of_a_lease(state: LedgerMachine) -> None:
    """Of two replicas that both saw enough left, the second one draws nothing."""
    state.draw(call="2", pick=0, steps=TO_THE_END, who=2, worst=50)
    state.draw(call="3", pick=0, steps=TO_THE_END, who=2, worst=50)
    state.draw(call="1", pick=0, steps=LOADED, who=0, worst=50)
    state.draw(call="4", pick=0, steps=TO_THE_END, who=1, worst=50)
    state.go_on(who=0)
    assert (lease(state).held, drawn(state)) == (150, None)


def test_an_overrun_on_a_closed_lease(state: LedgerMachine) -> None:
    """A call that outlives its lease and costs more than its worst case is charged to the books in full."""
    state.draw(call="1", pick=0, steps=TO_THE_END, who=0, worst=50)
    state.close(pick=0, steps=TO_THE_END, who=1)
    state.settle(cost=60, pick=0, steps=TO_THE_END, who=0)
    assert (lease(state).amount, lease(state).overrun) == (60, 10)
    assert state.ledger.account("acme").books["month:2026-11"].settled == 60


@pytest.mark.parametrize("steps", range(1, 6))
def test_a_sweeper_is_overtaken_by_a_late_end(state: LedgerMachine, steps: int) -> None:
    """A call that ends while its lease is looked after is on the bill, however far the sweeper had come."""
    state.draw(call="1", pick=0, steps=TO_THE_END, who=0, worst=20)
    state.close(pick=0, steps=TO_THE_END, who=0)
    state.unknown(pick=0, steps=TO_THE_END, who=0)
    state.wind_up_early(over=False, pick=0, steps=steps, who=1)
    state.settle(cost=5, pick=0, steps=TO_THE_END, who=0)
    state.go_on(who=1)
    state.nothing_leaks()
    assert lease(state).settled == 5


def test_a_call_that_outlives_its_process_is_ended(state: LedgerMachine) -> None:
    """A run ends while a call is out whose process died: when it must be over it is charged, and the lease rests."""
    state.draw(call="1", pick=0, steps=TO_THE_END, who=0, worst=20)
    state.close(pick=0, steps=TO_THE_END, who=1)
    state.wind_up(over=True, steps=TO_THE_END, who=0)
    assert (lease(state).state, lease(state).calls) == ("closing", 1)
    state.tick(minutes=5)
    state.wind_up(over=True, steps=TO_THE_END, who=0)
    assert (lease(state).state, lease(state).calls, lease(state).settled) == ("closed", 0, 20)
    state.nothing_leaks()
