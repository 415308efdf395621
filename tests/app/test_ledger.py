from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from local.sqlite.database import Database
from local.sqlite.ledger import SqliteLedger
from shared.app import ledger as spending
from shared.core.draws import DrawAsk, Outcome
from shared.core.ledger import UNLIMITED, Account, Book, LeaseAsk, Limits, Posting
from shared.errors import Conflict, NotFound, Transient

if TYPE_CHECKING:
    from shared.ports import Ledger

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
AMOUNT = 100


@dataclass
class Till:
    """What spending needs: a ledger and a clock that a test sets."""

    ledger: Ledger
    time: datetime = NOON

    @property
    def now(self) -> Callable[[], datetime]:
        """What time it is."""
        return lambda: self.time


class Racing:
    """A ledger in which somebody else is always first, for one tenant."""

    def __init__(self, inner: Ledger, tenant: str, times: int) -> None:
        self._inner = inner
        self._tenant = tenant
        self.left = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def post(self, posting: Posting) -> None:
        """Post, or come too late."""
        if posting.account is not None and posting.account.tenant == self._tenant and self.left > 0:
            self.left -= 1
            raise Conflict("too late")
        self._inner.post(posting)


@pytest.fixture
def till() -> Iterator[Till]:
    """A ledger in memory."""
    with closing(Database(None)) as database:
        yield Till(SqliteLedger(database))


def ask(name: str = "run-1", *, minutes: int = 60) -> LeaseAsk:
    """Return what a run asks for."""
    at = NOON.timestamp()
    return LeaseAsk(name, "task-1", "document-review", "standard", AMOUNT, at, at + 60 * minutes)


def call(name: str = "call-1", worst: int = 10) -> DrawAsk:
    """Return a call about to be made."""
    return DrawAsk(name, 0, "classify", "embedded", worst, "a" * 64, NOON.timestamp(), 30.0)


def racing(till: Till, tenant: str, times: int) -> Till:
    """Return the same ledger, where one tenant's account is changed by others first so many times."""
    ledger: Any = Racing(till.ledger, tenant, times)
    return Till(ledger, till.time)


def test_a_lost_race_is_run_again(till: Till) -> None:
    """Whoever comes too late decides again on what is there by now."""
    lease = spending.open_lease(racing(till, "acme", 15), "acme", ask(), UNLIMITED)
    assert till.ledger.lease("acme", "run-1") == lease
    assert till.ledger.account("acme").runs == 1


def test_too_many_lost_races_are_a_passing_failure(till: Till) -> None:
    """A row that is always changed by others asks for another attempt later, and nothing is written."""
    with pytest.raises(Transient) as refused:
        spending.open_lease(racing(till, "acme", 16), "acme", ask(), UNLIMITED)
    assert (type(refused.value), refused.value.retry_after) == (Transient, 0.5)
    assert till.ledger.account("acme") == Account("acme")


def test_a_draw_says_whether_it_is_fresh(till: Till) -> None:
    """Who draws what was drawn before is told so, and finds the answer that was paid for."""
    spending.open_lease(till, "acme", ask(), UNLIMITED)
    assert spending.draw(till, "acme", "run-1", call()).fresh
    assert not spending.draw(till, "acme", "run-1", call()).fresh
    spending.settle(till, "acme", "run-1", "call-1", Outcome(7, 3, 4, '{"class":"mit"}'))
    found = spending.draw(till, "acme", "run-1", call())
    assert (found.fresh, found.draw.state, found.draw.actual, found.draw.answer) == (
        *(False, "settled", 7),
        '{"class":"mit"}',
    )


def test_an_answer_is_found_when_its_lease_is_over(till: Till) -> None:
    """What was paid for is read from a lease that ended, where nothing new may be drawn."""
    spending.open_lease(till, "acme", ask(), UNLIMITED)
    spending.draw(till, "acme", "run-1", call())
    spending.settle(till, "acme", "run-1", "call-1", Outcome(7, answer="{}"))
    spending.close(till, "acme", "run-1")
    assert spending.draw(till, "acme", "run-1", call()).draw.answer == "{}"


@pytest.mark.parametrize("work", ["settle", "unknown", "release", "draw", "close", "extend"])
def test_what_never_was_is_not_found(till: Till, work: str) -> None:
    """Nobody settles, closes or extends what was never opened or drawn, nor another tenant's."""
    spending.open_lease(till, "other", ask(), UNLIMITED)
    works: dict[str, Callable[[], object]] = {
        "settle": lambda: spending.settle(till, "acme", "run-1", "call-1", Outcome(1)),
        "unknown": lambda: spending.unknown(till, "acme", "run-1", "call-1"),
        "release": lambda: spending.release(till, "acme", "run-1", "call-1"),
        "draw": lambda: spending.draw(till, "acme", "run-1", call()),
        "close": lambda: spending.close(till, "acme", "run-1"),
        "extend": lambda: spending.extend(till, "acme", "run-1", 200, UNLIMITED),
    }
    with pytest.raises(NotFound):
        works[work]()


def test_one_hot_tenant_holds_up_no_other(till: Till) -> None:
    """The sweeper goes on when one lease cannot be ended now, says so at the end, and ends it the next time."""
    for tenant, minutes in (("hot", 1), ("acme", 2), ("other", 3)):
        spending.open_lease(till, tenant, ask(minutes=minutes), UNLIMITED)
    till.time += timedelta(hours=1)
    hot = racing(till, "hot", 16)
    with pytest.raises(Transient):
        spending.expire(hot)
    assert [lease.tenant for lease in till.ledger.overdue(till.time, limit=9)] == ["hot"]
    assert spending.expire(hot) == 1
    assert spending.expire(hot) == 0


def test_it_is_quiet_when_no_call_is_out(till: Till) -> None:
    """A call that is out is heard until it ends, whatever became of its lease, or until the lease's time is over."""
    assert spending.quiet(till, "acme")
    for number in range(101):  # more than a page
        spending.open_lease(till, "acme", ask(f"run-{number:03}"), UNLIMITED)
    assert spending.quiet(till, "acme")
    spending.draw(till, "acme", "run-100", call())
    spending.close(till, "acme", "run-100")
    assert not spending.quiet(till, "acme")
    assert spending.quiet(till, "other")
    spending.draw(till, "acme", "run-000", call())
    spending.settle(till, "acme", "run-100", "call-1", Outcome(1))
    assert not spending.quiet(till, "acme")
    till.time += timedelta(hours=1)
    assert spending.quiet(till, "acme")


def test_a_run_pauses_and_goes_on_tomorrow(till: Till) -> None:
    """A parked run gives its lease back, goes on with more, and ends: its money is where it was spent."""
    limits = Limits(day=AMOUNT, month=10 * AMOUNT)
    spending.open_lease(till, "acme", ask(), limits)
    spending.draw(till, "acme", "run-1", call(worst=60))
    spending.close(till, "acme", "run-1")
    till.time += timedelta(days=1)
    later = till.time.timestamp()
    more = ask()._replace(amount=150, at=later, expires_at=later + 3600)
    assert spending.reopen(till, "acme", more, limits).amount == 150
    spending.settle(till, "acme", "run-1", "call-1", Outcome(50))
    spending.draw(till, "acme", "run-1", call("call-2", worst=90)._replace(at=later))
    spending.unknown(till, "acme", "run-1", "call-2")
    spending.close(till, "acme", "run-1")
    assert till.ledger.account("acme").books == {
        "day:2026-11-21": Book(50, 0),
        "day:2026-11-22": Book(90, 0),
        "month:2026-11": Book(140, 0),
    }
    spending.correct(till, "acme", "run-1", "call-2", Outcome(40))
    assert till.ledger.account("acme").books["month:2026-11"] == Book(90, 0)
