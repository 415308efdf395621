from __future__ import annotations

import pytest

from shared.core import draws, ledger
from shared.core.draws import Outcome
from shared.core.ledger import Limits
from shared.errors import Permanent
from tests.core.ledger_given import DAY, MONTH, NOON, TODAY, TOMORROW, Rows


def test_calls_do_not_touch_the_account() -> None:
    """Drawing and settling within the worst case change the lease and the draw alone."""
    rows = Rows()
    rows.open()
    account = rows.account
    for posting in (rows.draw(40), rows.settle(40)):
        assert posting.account is None
        assert None not in {posting.lease, posting.draw}
    assert rows.account is account


def test_a_used_up_lease_refuses() -> None:
    """A call that could cost more than what is left is not made."""
    rows = Rows()
    rows.open(100)
    rows.draw(70)
    with pytest.raises(Permanent, match=r"may cost \$0.000031, \$0.000030 of \$0.000100 are left") as refused:
        rows.draw(31, name="call-2")
    assert refused.value.code == "budget-used-up"
    rows.settle(50)
    rows.draw(50, name="call-2")


def test_an_unknown_outcome_is_charged_at_its_worst_and_corrected() -> None:
    """Nobody knows: the worst case is spent; the answer is found: the difference is there again."""
    rows = Rows()
    rows.open(100)
    rows.draw(40)
    rows.post(draws.unknown(rows.lease, rows.draws["call-1"]))
    assert (rows.lease.settled, rows.lease.held, rows.draws["call-1"].actual) == (40, 0, 40)
    rows.post(draws.correct(None, rows.lease, rows.draws["call-1"], Outcome(15)))
    assert (rows.lease.settled, rows.draws["call-1"].state, rows.draws["call-1"].actual) == (15, "settled", 15)
    rows.draw(85, name="call-2")


def test_a_released_draw_costs_nothing_and_may_be_drawn_again() -> None:
    """A call that was not served returns its money, and the same call may be tried again."""
    rows = Rows()
    rows.open(100)
    rows.draw(100)
    rows.post(draws.release(None, rows.lease, rows.draws["call-1"]))
    assert (rows.lease.settled, rows.lease.held) == (0, 0)
    rows.draw(60)
    rows.settle(50)
    assert (rows.lease.settled, rows.draws["call-1"].version) == (50, 4)


def test_a_released_draw_that_was_served_after_all_is_charged() -> None:
    """The truth is charged, even from a lease that has no room left, which then counts an overrun."""
    rows = Rows()
    rows.open(100)
    rows.draw(80)
    rows.post(draws.release(None, rows.lease, rows.draws["call-1"]))
    rows.draw(90, name="call-2")
    rows.settle(30)
    assert (rows.lease.amount, rows.lease.overrun, rows.books[TODAY]) == (120, 30, (0, 120))


def test_an_overrun_is_charged_noted_and_stops_the_run() -> None:
    """A provider that counts more than the worst case is paid; the lease is full then and refuses the next draw."""
    rows = Rows(Limits(day=100))
    rows.open(100)
    rows.draw(90)
    posting = rows.settle(130)
    assert posting.account is not None
    assert (rows.lease.amount, rows.lease.settled, rows.lease.overrun) == (130, 130, 40)
    assert rows.books[TODAY] == (0, 130)
    with pytest.raises(Permanent) as refused:
        rows.draw(1, name="call-2")
    assert refused.value.code == "budget-used-up"
    rows.close()
    assert rows.books[TODAY] == (130, 0)


def test_an_overrun_that_the_lease_can_bear_is_noted() -> None:
    """Where there is room, the truth is charged to the lease and no account is touched."""
    rows = Rows()
    rows.open(100)
    rows.draw(10)
    assert rows.settle(15).account is None
    assert (rows.lease.amount, rows.lease.settled, rows.lease.overrun) == (100, 15, 5)


def test_a_call_that_outlives_its_lease_is_charged_and_corrected() -> None:
    """Closing charges what is still out at its worst; what it costs less goes back to the books when it settles."""
    rows = Rows()
    rows.open(100)
    rows.draw(60)
    rows.close()
    assert (rows.books[TODAY], rows.lease.amount) == ((60, 0), 60)
    rows.settle(20)
    assert (rows.books, rows.lease.settled, rows.lease.booked) == ({TODAY: (20, 0), MONTH: (20, 0)}, 20, 20)


def test_a_correction_without_the_account_is_refused() -> None:
    """Whoever forgets to bring the account of a charge that changes it is told so, before anything is written."""
    rows = Rows()
    rows.open(100)
    rows.draw(60)
    rows.close()
    with pytest.raises(ValueError, match="bring its account"):
        draws.settle(None, rows.lease, rows.draws["call-1"], Outcome(20))


def test_a_call_of_an_earlier_day_is_corrected_on_that_day() -> None:
    """A call that was out when its run was parked is corrected where it was charged, and gives the run no room."""
    rows = Rows()
    rows.open(100)
    rows.draw(60)
    rows.close()
    rows.reopen(100, at=NOON + DAY)
    assert rows.books == {TODAY: (60, 0), TOMORROW: (0, 40), MONTH: (60, 40)}
    rows.settle(20)
    assert rows.books == {TODAY: (20, 0), TOMORROW: (0, 40), MONTH: (20, 40)}
    assert (rows.lease.amount, rows.lease.settled, rows.lease.booked) == (60, 20, 20)
    rows.close()
    assert rows.books == {TODAY: (20, 0), TOMORROW: (0, 0), MONTH: (20, 0)}


def test_a_call_of_the_same_day_is_corrected_in_its_lease() -> None:
    """A call that was out when its run was parked and went on the same day gives its run the room back."""
    rows = Rows()
    rows.open(100)
    rows.draw(60)
    rows.close()
    rows.reopen(100)
    assert rows.settle(20).account is None
    rows.draw(80, name="call-2")
    rows.settle(80, name="call-2")
    rows.close()
    assert rows.books == {TODAY: (100, 0), MONTH: (100, 0)}


def test_a_correction_of_a_forgotten_window_changes_no_other() -> None:
    """What comes so late that its day is left out corrects its lease and its month."""
    rows = Rows()
    rows.open(100)
    rows.draw(60)
    rows.close()
    for day in range(1, 5):
        rows.open(10, name=f"run-{day + 1}", at=NOON + day * DAY)
        rows.post(ledger.close(rows.account, rows.leases[f"run-{day + 1}"]))
    assert TODAY not in rows.books
    rows.settle(20)
    assert (rows.books[MONTH], rows.lease.booked) == ((20, 0), 20)
    assert TODAY not in rows.books


def test_money_is_not_negative() -> None:
    """No amount, worst case or cost below nothing is taken."""
    rows = Rows()
    with pytest.raises(Permanent):
        rows.open(-1)
    rows.open()
    with pytest.raises(Permanent):
        rows.draw(-1)
    rows.draw(10)
    with pytest.raises(Permanent):
        rows.settle(-1)
