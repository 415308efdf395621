from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared.core import draws, ledger
from shared.core.buckets import Bucket
from shared.core.draws import Outcome
from shared.core.ledger import NOTHING, UNLIMITED, Account, Book, Limits, Wait, left, windows_at
from shared.core.ledger_rows import account_from, draw_from, encode, lease_from
from shared.errors import Forbidden, Permanent
from tests.core.ledger_given import DAY, MONTH, NOON, TODAY, TOMORROW, Rows, ask


def test_a_run_from_its_lease_to_its_end() -> None:
    """What a run leases is open, what its calls cost is settled at the end, and the rest is returned."""
    rows = Rows()
    rows.open(100)
    assert (rows.books, rows.account.runs) == ({TODAY: (0, 100), MONTH: (0, 100)}, 1)
    rows.draw(40)
    assert (rows.lease.held, rows.lease.settled) == (40, 0)
    rows.settle(25)
    assert (rows.lease.held, rows.lease.settled) == (0, 25)
    assert rows.draws["call-1"].answer == "{}"
    rows.close()
    assert (rows.books, rows.account.runs) == ({TODAY: (25, 0), MONTH: (25, 0)}, 0)
    assert (rows.lease.state, rows.lease.amount, rows.lease.booked) == ("closed", 25, 25)


def test_everything_may_be_said_twice() -> None:
    """The second time nothing is left to do."""
    rows = Rows()
    rows.open()
    assert rows.open() is NOTHING
    rows.draw(40)
    assert rows.draw(40) is NOTHING
    rows.settle(25)
    assert rows.settle(30) is NOTHING
    assert rows.draw(40) is NOTHING
    drawn = rows.draws["call-1"]
    assert draws.unknown(rows.lease, drawn) is NOTHING
    assert draws.release(None, rows.lease, drawn) is NOTHING
    assert draws.correct(None, rows.lease, drawn, Outcome(30)) is NOTHING
    rows.close()
    assert rows.close() is NOTHING
    assert rows.open() is NOTHING
    assert ledger.expire(rows.account, rows.lease, NOON + DAY) is NOTHING
    assert rows.reopen(100) is not NOTHING
    assert rows.reopen(100) is NOTHING


@pytest.mark.parametrize("limits", [Limits(day=150), Limits(month=150)])
def test_a_used_up_quota_is_forbidden(limits: Limits) -> None:
    """A lease that a day or a month has no room for is refused, and says how much there is."""
    rows = Rows(limits)
    rows.open(100)
    assert left(rows.account, windows_at(NOON), limits) == 50
    with pytest.raises(Forbidden, match=r"\$0\.000060 are more than the \$0\.000050 left of \$0\.000150") as refused:
        rows.open(60, name="run-2")
    assert refused.value.code == "quota-used-up"
    rows.open(50, name="run-3")


def test_money_given_back_can_be_leased() -> None:
    """What one run did not spend is there for the next."""
    rows = Rows(Limits(day=100))
    rows.open(100)
    rows.draw(40)
    rows.settle(30)
    rows.close()
    rows.open(70, name="run-2")
    with pytest.raises(Forbidden):
        rows.open(1, name="run-3")


def test_a_lowered_limit_leaves_nothing() -> None:
    """When a limit falls below what is out, less than nothing is left, and who asks for nothing is still let in."""
    rows = Rows()
    rows.open(100)
    rows.limits = Limits(day=60)
    assert left(rows.account, windows_at(NOON), rows.limits) == -40
    with pytest.raises(Forbidden, match=r"the \$0\.000000 left of \$0\.000060"):
        rows.open(1, name="run-2")
    rows.open(0, name="run-3")


@pytest.mark.parametrize("amounts", [(150, 150), (100, 150), (50, 150)])
def test_a_lease_grows_to_what_it_is_extended_to(amounts: tuple[int, ...]) -> None:
    """However often it is said, a lease has the largest of the amounts it was extended to."""
    rows = Rows(Limits(day=150))
    rows.open(100)
    for amount in amounts:
        rows.post(ledger.extend(rows.account, rows.lease, amount, rows.limits))
    assert (rows.lease.amount, rows.books[TODAY]) == (150, (0, 150))
    with pytest.raises(Forbidden):
        ledger.extend(rows.account, rows.lease, 151, rows.limits)


def test_a_lease_is_renewed() -> None:
    """More time costs nothing and touches no account; less time than it has changes nothing."""
    rows = Rows()
    rows.open()
    posting = rows.post(ledger.extend(rows.account, rows.lease, 100, rows.limits, until=NOON + DAY))
    assert (posting.account, rows.lease.expires_at) == (None, NOON + DAY)
    assert ledger.extend(rows.account, rows.lease, 100, rows.limits, until=NOON) is NOTHING


def test_a_lease_expires_in_its_own_time() -> None:
    """The sweeper ends what is over and leaves alone what is not."""
    rows = Rows()
    rows.open()
    assert ledger.expire(rows.account, rows.lease, NOON + 3599) is NOTHING
    rows.post(ledger.expire(rows.account, rows.lease, NOON + 3600))
    assert (rows.lease.state, rows.books[TODAY], rows.account.runs) == ("expired", (0, 0), 0)


@pytest.mark.parametrize("ends", ["closed", "expired", "too late"])
def test_an_ended_lease_fences_zombies(ends: str) -> None:
    """Nobody draws from, or extends, a lease that ended, nor draws from one that should have."""
    rows = Rows()
    rows.open()
    if ends == "closed":
        rows.close()
    elif ends == "expired":
        rows.post(ledger.expire(rows.account, rows.lease, NOON + DAY))
    with pytest.raises(Permanent) as refused:
        rows.draw(1, at=NOON + 3600)
    assert refused.value.code == "lease-over"
    if ends != "too late":
        with pytest.raises(Permanent, match=ends):
            ledger.extend(rows.account, rows.lease, 200, UNLIMITED)


def test_a_parked_run_goes_on_with_what_it_has_not_spent() -> None:
    """Reopened, a lease has its amount again, of which only the unspent part is open, in the windows of that day."""
    rows = Rows(Limits(day=100))
    rows.open(100)
    rows.draw(30)
    rows.settle(30)
    rows.close()
    rows.reopen(100, at=NOON + DAY)
    assert rows.books == {TODAY: (30, 0), TOMORROW: (0, 70), MONTH: (30, 70)}
    assert (rows.lease.amount, rows.lease.settled, rows.account.runs) == (100, 30, 1)
    rows.draw(70, name="call-2", at=NOON + DAY)
    rows.settle(50, name="call-2")
    rows.close()
    assert rows.books == {TODAY: (30, 0), TOMORROW: (50, 0), MONTH: (80, 0)}


def test_old_windows_are_left_out() -> None:
    """Of the windows in which nothing is open, two of a kind stay; those with open money stay as long as it is."""
    rows = Rows()
    rows.open(100)
    for day in range(1, 5):
        rows.open(10, name=f"run-{day + 1}", at=NOON + day * DAY)
        rows.post(ledger.close(rows.account, rows.leases[f"run-{day + 1}"]))
    assert [window for window in sorted(rows.books) if window.startswith("day")] == [
        TODAY,
        "day:2026-11-23",
        "day:2026-11-24",
        "day:2026-11-25",
    ]
    rows.close()
    rows.open(10, name="run-9", at=NOON + 5 * DAY)
    assert TODAY not in rows.books


def test_a_lease_takes_its_run_off_the_waiting() -> None:
    """A run that gets its money waits no longer; the others do, and what admission changed in the row stays."""
    waits = {"run-1": Wait(5, "interactive", NOON), "run-2": Wait(6, "interactive", NOON)}
    account = Account("acme", 7, requests=Bucket(3.0, NOON), turned_away=4, waits=waits)
    posting = ledger.open_lease(account, None, ask(), UNLIMITED)
    assert posting.account is not None
    assert posting.account.waits == {"run-2": waits["run-2"]}
    assert posting.account[4:7] == account[4:7]
    assert (posting.account.version, posting.account.runs) == (8, 1)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (datetime(2026, 11, 30, 23, 59, 59, 999_999, tzinfo=UTC), ("day:2026-11-30", "month:2026-11")),
        (datetime(2026, 12, 1, tzinfo=UTC), ("day:2026-12-01", "month:2026-12")),
        (datetime(2028, 2, 29, tzinfo=UTC), ("day:2028-02-29", "month:2028-02")),
        (datetime(1969, 12, 31, 23, tzinfo=UTC), ("day:1969-12-31", "month:1969-12")),
    ],
)
def test_windows_are_days_and_months_in_utc(at: datetime, expected: tuple[str, str]) -> None:
    """Money counts in the day and the month in which it is leased."""
    assert windows_at(at.timestamp()) == expected


def test_rows_are_read_as_they_were_written() -> None:
    """Text and back gives the same row; fields that are not known yet are left out, missing ones have their default."""
    rows = Rows()
    rows.open()
    rows.draw(10)
    account = rows.account._replace(waits={"run-2": Wait(1, "background", NOON)}, tokens=Bucket(0.5, NOON))
    assert account_from(encode(account)) == account
    assert lease_from(encode(rows.lease)) == rows.lease
    assert draw_from(encode(rows.draws["call-1"])) == rows.draws["call-1"]
    assert account_from('{"tenant":"acme","version":3,"colour":"red"}') == Account("acme", 3)
    assert account_from('{"tenant":"acme","books":{"month:2026-11":[1,2]}}').books == {MONTH: Book(1, 2)}
