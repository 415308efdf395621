"""What every store of the ledger must do; each adapter's test inherits `LedgerContract`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

import pytest

from local.faults.ledger_rules import everything, problems
from shared.app import ledger as spending
from shared.core import draws
from shared.core import ledger as leases
from shared.core.buckets import Bucket
from shared.core.draws import DrawAsk, Outcome
from shared.core.ledger import UNLIMITED, Account, Book, Lease, LeaseAsk, Limits, Posting, Wait
from shared.errors import Conflict, Forbidden, Permanent, Transient

if TYPE_CHECKING:
    from shared.ports import Ledger

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
LONG_AGO = datetime(1985, 11, 21, 12, tzinfo=UTC)  # no other test's lease is due by then
MOST = 2**53 - 1


class Store(Protocol):
    """A store of the ledger under test."""

    def ledger(self) -> Ledger:
        """Return the port, as one replica has it: every call may be used by a thread of its own."""
        ...

    def busy(self) -> AbstractContextManager[None]:
        """Make every posting inside be refused for a passing reason."""
        ...


@dataclass(frozen=True)
class Till:
    """What spending needs: a ledger and the time."""

    ledger: Ledger
    now: Callable[[], datetime] = lambda: AT


def ask(name: str = "lease-1", amount: int = 100, *, at: datetime = AT, expires: datetime | None = None) -> LeaseAsk:
    """Return a run's ask for money; a lease lives an hour."""
    until = expires or at + timedelta(hours=1)
    return LeaseAsk(name, f"task-{name}", "document-review", "standard", amount, at.timestamp(), until.timestamp())


def call(name: str = "draw-1", worst: int = 10, *, at: datetime = AT) -> DrawAsk:
    """Return a call about to be made."""
    return DrawAsk(name, 0, "classify", "embedded", worst, "a" * 64, at.timestamp(), 30.0)


def opened(ledger: Ledger, tenant: str, name: str = "lease-1", amount: int = 100) -> Lease:
    """Return a lease that was just opened."""
    return spending.open_lease(Till(ledger), tenant, ask(name, amount), UNLIMITED)


def told(work: Callable[[], object]) -> str:
    """Return how it ended: done, or the name of what was raised."""
    try:
        work()
    except (Conflict, Forbidden, Permanent, Transient) as error:
        return type(error).__name__
    return "done"


def at_once(works: Sequence[Callable[[], object]]) -> list[str]:
    """Let each work in a thread of its own and return how they ended, sorted."""
    with ThreadPoolExecutor(len(works)) as pool:
        return sorted(pool.map(told, works))


class LedgerContract:
    @pytest.fixture
    def ledger(self, store: Store) -> Ledger:
        """The port, as one replica has it."""
        return store.ledger()

    @pytest.fixture
    def tenant(self) -> str:
        """A tenant that no other test has."""
        return f"t-{uuid4().hex[:12]}"

    def test_what_nobody_wrote_is_empty(self, ledger: Ledger, tenant: str) -> None:
        """An unknown tenant has an account at version 0, no lease, no draw."""
        assert ledger.account(tenant) == Account(tenant)
        assert ledger.lease(tenant, "lease-1") is None
        assert ledger.draw(tenant, "lease-1", "draw-1") is None
        assert everything(ledger, tenant) == (Account(tenant), [], {})
        assert list(ledger.draws(tenant, "lease-1", limit=10)) == []

    def test_what_was_posted_is_read_back(self, store: Store, tenant: str) -> None:
        """Every field of the three rows comes back as it was written, by another replica too."""
        account = Account(
            tenant,
            version=1,
            books={"day:2026-11-21": Book(MOST, 1), "month:2026-11": Book(0, MOST)},
            runs=3,
            requests=Bucket(1.5, 1_795_262_400.123456),
            tokens=Bucket(-0.25, 7.0),
            turned_away=9,
            waits={"run-9": Wait(5, "interactive", 1_795_262_400.5)},
        )
        lease = leases.open_lease(Account(tenant), None, ask(amount=MOST), UNLIMITED).lease
        assert lease is not None
        lease = lease._replace(held=3, booked=4, overrun=5, expires_at=1_795_262_400.123456, calls=6, busy_until=2.5)
        posting = draws.draw(lease, None, call(worst=MOST - 3)._replace(price_version="prices-ü"))
        assert posting.draw is not None
        drawn = posting.draw._replace(step="ü 💶", tokens_in=MOST, tokens_out=1, answer='{"a": "\u2028\\u0000 \'"}')
        store.ledger().post(Posting(account, lease, drawn))
        ledger = store.ledger()
        assert ledger.account(tenant) == account
        assert ledger.lease(tenant, lease.id) == lease
        assert ledger.draw(tenant, lease.id, drawn.id) == drawn
        assert (list(ledger.leases(tenant, limit=9)), list(ledger.draws(tenant, lease.id, limit=9))) == (
            [lease],
            [drawn],
        )

    def test_a_row_changes_from_the_version_before_alone(self, ledger: Ledger, tenant: str) -> None:
        """Of all versions that a posting may bring, only the stored one plus one is written."""
        account = Account(tenant, version=1)
        with pytest.raises(Conflict):
            ledger.post(Posting(account._replace(version=2)))
        ledger.post(Posting(account))
        ledger.post(Posting(account._replace(version=2, runs=2)))
        for late in (1, 2, 4):
            with pytest.raises(Conflict):
                ledger.post(Posting(account._replace(version=late, runs=7)))
        assert ledger.account(tenant) == Account(tenant, version=2, runs=2)

    @pytest.mark.parametrize("late", ["account", "lease", "draw"])
    def test_a_posting_is_written_whole_or_not_at_all(self, ledger: Ledger, tenant: str, late: str) -> None:
        """When one of the rows moved on, none is written."""
        lease = opened(ledger, tenant)
        drawn = spending.draw(Till(ledger), tenant, lease.id, call()).draw
        before = everything(ledger, tenant)
        held = before.leases[0]
        rows = {"account": before.account, "lease": held, "draw": drawn}
        moved = {
            name: row._replace(version=row.version + (5 if name == late else 1))  # type: ignore[attr-defined]
            for name, row in rows.items()
        }
        with pytest.raises(Conflict):
            ledger.post(Posting(**moved))
        assert everything(ledger, tenant) == before

    def test_one_of_many_posts_at_once_wins(self, store: Store, tenant: str) -> None:
        """Of eight replicas that change one version at once exactly one succeeds, and the others conflict."""
        opened(store.ledger(), tenant)
        ledgers = [store.ledger() for _ in range(8)]
        seen = [(ledger, ledger.account(tenant), ledger.lease(tenant, "lease-1")) for ledger in ledgers]
        postings = [(ledger, leases.close(account, lease)) for ledger, account, lease in seen if lease]
        assert len(postings) == 8
        ended = at_once([lambda ledger=ledger, posting=posting: ledger.post(posting) for ledger, posting in postings])  # type: ignore[misc]
        assert ended == ["Conflict"] * 7 + ["done"]
        assert problems(everything(ledgers[0], tenant)) == []

    def test_one_of_many_first_posts_wins(self, store: Store, tenant: str) -> None:
        """Of eight replicas that write a tenant's first row at once exactly one succeeds."""
        ledgers = [store.ledger() for _ in range(8)]
        ended = at_once(
            [
                lambda ledger=ledger, number=number: ledger.post(Posting(Account(tenant, 1, runs=number)))  # type: ignore[misc]
                for number, ledger in enumerate(ledgers)
            ]
        )
        assert ended == ["Conflict"] * 7 + ["done"]
        assert ledgers[0].account(tenant).version == 1

    def test_windows_left_out_are_gone(self, ledger: Ledger, tenant: str) -> None:
        """An account has the windows of its latest posting and no others."""
        ledger.post(Posting(Account(tenant, 1, {"day:2026-11-20": Book(1, 0), "month:2026-11": Book(1, 0)})))
        ledger.post(Posting(Account(tenant, 2, {"day:2026-11-21": Book(2, 0), "month:2026-11": Book(3, 0)})))
        assert ledger.account(tenant).books == {"day:2026-11-21": Book(2, 0), "month:2026-11": Book(3, 0)}

    def test_leases_and_draws_are_paged_by_id(self, ledger: Ledger, tenant: str) -> None:
        """Pages follow one another without overlap, in the order of ids."""
        for number in range(7):
            opened(ledger, tenant, f"lease-{number}")
            spending.draw(Till(ledger), tenant, "lease-0", call(f"draw-{number}"))
        first = ledger.leases(tenant, limit=3)
        rest = ledger.leases(tenant, limit=9, after=first[-1].id)
        assert [lease.id for lease in (*first, *rest)] == [f"lease-{number}" for number in range(7)]
        calls = ledger.draws(tenant, "lease-0", limit=3)
        others = ledger.draws(tenant, "lease-0", limit=9, after=calls[-1].id)
        assert [drawn.id for drawn in (*calls, *others)] == [f"draw-{number}" for number in range(7)]

    def test_tenants_and_leases_share_nothing(self, ledger: Ledger, tenant: str) -> None:
        """Rows of one id are apart by tenant and by lease, however alike the names are."""
        other = f"{tenant}-b"
        for whose, amount in ((tenant, 100), (other, 200)):
            for name in ("lease-1", "lease-1-1", "lease-1.1"):
                opened(ledger, whose, name, amount)
                spending.draw(Till(ledger), whose, name, call("draw-1", amount))
        for whose, amount in ((tenant, 100), (other, 200)):
            assert {lease.amount for lease in ledger.leases(whose, limit=9)} == {amount}
            assert ledger.account(whose).books["month:2026-11"] == Book(0, 3 * amount)
            (drawn,) = ledger.draws(whose, "lease-1", limit=9)
            assert (drawn.tenant, drawn.lease, drawn.worst) == (whose, "lease-1", amount)
        assert ledger.lease(tenant[:-1], f"{tenant[-1]}lease-1") is None

    def test_overdue_leases_come_oldest_first(self, ledger: Ledger, tenant: str) -> None:
        """Open leases of all tenants that expired by then are found, the oldest first, and no more than asked for."""
        minutes = {"c": 3, "a": 1, "d": 4, "b": 2, "closed": 1, "renewed": 1}
        for name, minute in minutes.items():
            whose = f"{tenant}-{name}"
            asked = ask(f"lease-{name}", at=LONG_AGO, expires=LONG_AGO + timedelta(minutes=minute))
            spending.open_lease(Till(ledger), whose, asked, UNLIMITED)
        spending.close(Till(ledger), f"{tenant}-closed", "lease-closed")
        later = (LONG_AGO + timedelta(minutes=9)).timestamp()
        spending.extend(Till(ledger), f"{tenant}-renewed", "lease-renewed", 100, UNLIMITED, until=later)

        def due(minutes: float, limit: int = 10) -> list[str]:
            return [lease.id for lease in ledger.overdue(LONG_AGO + timedelta(minutes=minutes), limit=limit)]

        assert due(0.5) == []
        assert due(2.99) == ["lease-a", "lease-b"]
        assert due(3) == ["lease-a", "lease-b", "lease-c"]
        assert due(5, limit=2) == ["lease-a", "lease-b"]
        till = Till(ledger, lambda: LONG_AGO + timedelta(minutes=3))
        assert spending.expire(till, limit=10) == 3
        assert spending.expire(till, limit=10) == 0
        assert due(10) == ["lease-d", "lease-renewed"]
        assert spending.expire(Till(ledger, lambda: LONG_AGO + timedelta(minutes=9)), limit=10) == 2

    def test_closing_leases_are_due_until_they_rest(self, ledger: Ledger, tenant: str) -> None:
        """A lease that ended with a call out is due when that must be over, when it was put off to, and never again."""
        asked = ask("lease-closing", at=LONG_AGO, expires=LONG_AGO + timedelta(hours=1))
        till = Till(ledger)
        spending.open_lease(till, tenant, asked, UNLIMITED)
        spending.draw(till, tenant, asked.id, call(at=LONG_AGO))
        assert spending.close(till, tenant, asked.id).state == "closing"

        def due(seconds: float) -> list[Lease]:
            found = ledger.overdue(LONG_AGO + timedelta(seconds=seconds), limit=10)
            return [lease for lease in found if lease.tenant == tenant]

        assert due(29) == []
        (seen,) = due(30)
        again_at = (LONG_AGO + timedelta(seconds=90)).timestamp()
        spending.wind_up(till, seen, lambda _: None, over=False, again_at=again_at)
        assert due(89) == []
        (seen,) = due(90)
        billed: list[Lease] = []
        rests = spending.wind_up(till, seen, billed.append, over=True)
        assert rests is not None
        assert (rests.state, rests.settled, billed[0].calls) == ("closed", 10, 0)
        assert due(10**9) == []
        spending.settle(till, tenant, asked.id, "draw-1", Outcome(4))
        (late,) = due(30)
        assert (late.state, late.settled, problems(everything(ledger, tenant))) == ("closing", 4, [])
        assert spending.wind_up(till, late, billed.append, over=True) is not None
        assert (due(10**9), billed[-1].settled) == ([], 4)

    def test_a_throttled_store_asks_for_another_attempt(self, store: Store, tenant: str) -> None:
        """A store that refuses for a passing reason raises Transient and no Conflict, and nothing is half done."""
        till = Till(store.ledger())
        with store.busy(), pytest.raises(Transient) as refused:
            spending.open_lease(till, tenant, ask(), UNLIMITED)
        assert not isinstance(refused.value, Conflict)
        assert everything(till.ledger, tenant).leases == []
        assert spending.open_lease(till, tenant, ask(), UNLIMITED).version == 1

    def test_a_crash_between_load_and_post_leaves_nothing(self, store: Store, tenant: str) -> None:
        """What a dead replica had decided and not posted never was, and comes too late when it wakes up."""
        ledger = store.ledger()
        opened(ledger, tenant)
        before = everything(ledger, tenant)
        zombie = draws.draw(before.leases[0], None, call(worst=90))
        spending.draw(Till(store.ledger()), tenant, "lease-1", call("draw-2", worst=90))
        after = everything(ledger, tenant)
        with pytest.raises(Conflict):
            ledger.post(zombie)
        assert everything(ledger, tenant) == after
        assert [drawn.id for drawn in after.draws["lease-1"]] == ["draw-2"]

    def test_a_crash_between_post_and_answer_is_made_good(self, store: Store, tenant: str) -> None:
        """Whoever does not know whether it was done does it again, and it was done once."""
        till, other = Till(store.ledger()), Till(store.ledger())
        for _ in range(2):
            spending.open_lease(till, tenant, ask(), UNLIMITED)
            spending.extend(other, tenant, "lease-1", 150, UNLIMITED)
            spending.draw(till, tenant, "lease-1", call(worst=40))
            spending.settle(other, tenant, "lease-1", "draw-1", Outcome(30, 1, 2, "{}"))
        for _ in range(2):
            spending.close(till, tenant, "lease-1")
        seen = everything(other.ledger, tenant)
        assert problems(seen) == []
        assert set(seen.account.books.values()) == {Book(30, 0)}

    def test_replicas_together_lease_no_more_than_the_limit(self, store: Store, tenant: str) -> None:
        """Of eight runs that ask at once for 100 each, a limit of 350 lets in three and forbids the others."""
        tills = [Till(store.ledger()) for _ in range(8)]
        works = [
            lambda till=till, number=number: spending.open_lease(
                till, tenant, ask(f"lease-{number}"), Limits(350, 1000)
            )
            for number, till in enumerate(tills)
        ]
        assert at_once(works) == ["Forbidden"] * 5 + ["done"] * 3
        assert problems(everything(tills[0].ledger, tenant), Limits(350, 1000)) == []

    def test_calls_together_draw_no_more_than_their_lease(self, store: Store, tenant: str) -> None:
        """Of six calls that draw 30 at once from a lease of 100, three are made."""
        opened(store.ledger(), tenant)
        tills = [Till(store.ledger()) for _ in range(6)]
        works = [
            lambda till=till, number=number: spending.draw(till, tenant, "lease-1", call(f"draw-{number}", 30))
            for number, till in enumerate(tills)
        ]
        assert at_once(works) == ["Permanent"] * 3 + ["done"] * 3
        seen = everything(tills[0].ledger, tenant)
        assert (seen.leases[0].held, problems(seen)) == (90, [])
