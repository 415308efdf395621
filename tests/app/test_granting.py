from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from local.sqlite.ledger import SqliteLedger
from local.sqlite.settings import SqliteSettings
from local.wiring import TENANT
from shared.app import admission, leases, ledger
from shared.app.admission import held_back, yields
from shared.app.leases import lease_id
from shared.app.switches import stop
from shared.app.tasks import cancel
from shared.core.buckets import Bucket, level
from shared.core.draws import DrawAsk, Outcome
from shared.core.granting import Ask, Grant
from shared.core.ledger import Posting
from shared.core.policy import Policy, TenantPolicy
from shared.core.routing import Candidate
from shared.errors import Forbidden, Throttled, Transient
from tests.app.world import SOURCE

if TYPE_CHECKING:
    from shared.core.ledger import Account, Draw, Lease
    from shared.core.task import Task
    from tests.app.world import World


@dataclass
class Watched(SqliteLedger):
    """A ledger that counts its postings; `before` happens once before the next one, `down` cuts it off."""

    posts: int = 0
    before: list[Callable[[], object]] = field(default_factory=list)
    down: bool = False

    def __init__(self, world: World) -> None:
        super().__init__(world.database)
        self.before = []

    def account(self, tenant: str) -> Account:
        """Read the account, or fail as a store does that is down."""
        if self.down:
            raise Transient("the table cannot be reached")
        return super().account(tenant)

    def post(self, posting: Posting) -> None:
        """Post, after what others do just before."""
        if self.before:
            self.before.pop()()
        self.posts += 1
        super().post(posting)


@pytest.fixture
def watched(world: World) -> Watched:
    """The world's ledger, watched."""
    made = Watched(world)
    world.ports = replace(world.ports, ledger=made)
    return made


def under(world: World, **policy: Any) -> None:
    """Put limits on the tenant."""
    made = Policy(tenants={TENANT: TenantPolicy(**policy)})
    world.ports = replace(world.ports, policy=lambda: made)


def ask(name: str = "1", **said: Any) -> Ask:
    """Return a run's ask."""
    given: dict[str, Any] = {"priority": "standard", "amount": 10} | said
    return Ask(f"lease-{name}", f"task-{name}", "document-review", **given)


def granted(world: World, name: str = "1", **said: Any) -> Grant:
    """Ask for a run's money, and write down what was granted, as whoever admits its task does with it."""
    return given(world, ask(name, **said))


def given(world: World, asked: Ask) -> Grant:
    """Write a grant down."""

    def decide() -> tuple[Posting, Grant]:
        made = admission.grant(world.ports, TENANT, asked)
        return made.posting, made

    made = ledger.posted(world.ports, decide)
    admission.noted(world.ports, TENANT, made.turned_away)
    return made


def finish(world: World, name: str, unused_tokens: int = 0) -> Lease:
    """End a run's lease."""

    def decide() -> tuple[Posting, Lease]:
        ended = admission.finish(world.ports, TENANT, name, unused_tokens=unused_tokens)
        assert ended is not None
        return ended

    return ledger.posted(world.ports, decide)


def refusal(world: World, name: str = "1", **said: Any) -> str:
    """Return the code of the refusal."""
    with pytest.raises((Throttled, Forbidden)) as refused:
        granted(world, name, **said)
    assert isinstance(refused.value, Throttled | Forbidden)
    return refused.value.code


def test_a_run_gets_its_lease(world: World, watched: Watched) -> None:
    """One posting takes from the rates and leases the money."""
    made = granted(world)
    assert world.ports.ledger.lease(TENANT, "lease-1") == made.lease
    assert world.ports.ledger.account(TENANT).runs == 1
    assert watched.posts == 1


def test_a_run_that_has_its_lease_is_not_refused_any_more(world: World) -> None:
    """Neither a rate nor a switch turns away who asks again for what it was given."""
    under(world, request_burst=1, requests_per_minute=1, max_runs=1)
    first = granted(world)
    assert refusal(world, "2") == "requests"
    stop(world.ports, "all", "", by="ann", reason="a leak")
    assert granted(world).lease == first.lease


def test_the_promised_time_is_kept(world: World) -> None:
    """A refused client that comes back at Retry-After is let in, and one that comes a tick earlier is not."""
    under(world, request_burst=1, requests_per_minute=7)
    granted(world)
    with pytest.raises(Throttled) as refused:
        granted(world, "2")
    world.clock.wait(refused.value.retry_after - 1e-6)
    assert refusal(world, "2") == "requests"
    world.clock.wait(1e-6)
    assert granted(world, "2").lease.id == "lease-2"


def test_a_refusal_writes_nothing(world: World, watched: Watched) -> None:
    """A flood costs reads; what was turned away is told by the next grant, once."""
    under(world, request_burst=1, requests_per_minute=60)
    granted(world)
    for number in range(50):
        assert refusal(world, f"flood-{number}") == "requests"
    assert watched.posts == 1
    world.clock.wait(1)
    assert granted(world, "2").turned_away == 50
    assert world.ports.ledger.account(TENANT).turned_away == 50
    world.clock.wait(1)
    assert granted(world, "3").turned_away == 0


def test_a_store_that_is_down_refuses(world: World, watched: Watched) -> None:
    """Nothing is granted that cannot be written down: it is a passing failure, and no rate."""
    watched.down = True
    with pytest.raises(Transient) as refused:
        granted(world)
    assert not isinstance(refused.value, Throttled)


def test_a_lost_race_is_decided_again(world: World, watched: Watched) -> None:
    """Somebody else's grant in between is seen, and its money is not given twice."""
    under(world, daily_budget=15)
    watched.before.append(lambda: granted(world, "other"))
    assert refusal(world) == "quota-used-up"
    assert world.ports.ledger.account(TENANT).runs == 1


@pytest.mark.parametrize(
    ("limits", "said", "code"),
    [
        ({"max_runs": 1}, {}, "runs"),
        ({"token_burst": 100, "tokens_per_minute": 1}, {"tokens": 60}, "tokens"),
        ({"daily_budget": 19}, {}, "quota-used-up"),
        ({"monthly_budget": 19}, {}, "quota-used-up"),
    ],
)
def test_each_limit_has_its_code(world: World, limits: dict[str, Any], said: dict[str, Any], code: str) -> None:
    """Rates and open runs are 429, used-up money is 403, and the code says which it is."""
    under(world, **limits)
    granted(world, **said)
    assert refusal(world, "2", **said) == code


def test_strangers_and_the_stopped_get_nothing(world: World, watched: Watched) -> None:
    """Without a policy, or behind a switch, nothing is leased."""
    with pytest.raises(Forbidden, match="unknown tenant"):
        admission.grant(world.ports, "evil", ask())
    stop(replace(world.ports, settings=SqliteSettings(world.database)), "tenant", TENANT, by="ann", reason="a leak")
    assert refusal(world) == "stopped"
    assert watched.posts == 0
    assert world.ports.refusals.too_fast == {}


def test_what_was_not_used_comes_back(world: World) -> None:
    """A run that ends frees its money, its place and its tokens; ending it again changes nothing."""
    under(world, token_burst=1000, tokens_per_minute=1, max_runs=1)
    granted(world, tokens=900)
    now = world.clock.now().timestamp()
    ledger.draw(world.ports, TENANT, "lease-1", DrawAsk("d", 0, "classify", "embedded", 10, "0" * 64, now, 30.0))
    ledger.settle(world.ports, TENANT, "lease-1", "d", Outcome(4))
    for unused in (700, 0):
        ended = finish(world, "lease-1", unused_tokens=unused)
        account = world.ports.ledger.account(TENANT)
        assert (ended.state, ended.settled, account.runs) == ("closed", 4, 0)
        assert level(account.tokens, world.ports.tenants[TENANT].tokens, now) == 800
    granted(world, "2", tokens=800)


def test_background_runs_give_way_to_interactive_work(world: World) -> None:
    """Interactive work waits for money that background runs hold; they give it back, and it gets it before them."""
    task = world.submit(priority="background").model_copy(update={"id": "another", "budget": 90})
    for lease in world.ports.ledger.leases(TENANT, limit=10):
        finish(world, lease.id)
    under(world, daily_budget=100)
    background = lease_of(world, task.id)
    assert yields(world.ports, task) is None
    assert refusal(world, "urgent", amount=50, priority="interactive") == "money"
    assert "waits for $0.000050, and $0.000010 are free" in str(yields(world.ports, task))
    assert yields(world.ports, task.model_copy(update={"priority": "standard"})) is None
    finish(world, background.id)
    assert yields(world.ports, task) is None
    assert held_back(world.ports, task) is not None
    assert refusal(world, "late", amount=60, priority="background") == "money"
    assert granted(world, "urgent", amount=50, priority="interactive").left == 50
    assert held_back(world.ports, task.model_copy(update={"budget": 50})) is None


def lease_of(world: World, task: str) -> Lease:
    """Lease most of the day's money for a task in the background."""
    one = ask(amount=90, priority="background")._replace(lease=lease_id(task), task=task)
    return given(world, one).lease


def test_money_that_is_spent_is_not_waited_for(world: World) -> None:
    """What is gone does not come back by waiting: interactive work is refused like any other."""
    under(world, daily_budget=100)
    granted(world, "spender", amount=90)
    now = world.clock.now().timestamp()
    drawn = ledger.draw(world.ports, TENANT, "lease-spender", DrawAsk("d", 0, "s", "e", 90, "0" * 64, now, 30.0))
    settled: Draw = ledger.settle(world.ports, TENANT, "lease-spender", drawn.draw.id, Outcome(90))
    assert settled.actual == 90
    finish(world, "lease-spender")
    assert refusal(world, "urgent", amount=50, priority="interactive") == "quota-used-up"
    assert world.ports.ledger.account(TENANT).waits == {}


def test_tokens_are_taken_by_the_bound_that_prices_them(world: World) -> None:
    """A provider that bills a token a byte can fill its bound: the rate is taken by what the money is set aside for."""
    far = Candidate(name="far", provider="openai", model="m", tokens_in=1_000_000, tokens_out=1_000_000)
    policy = Policy(tenants={TENANT: TenantPolicy(max_budget=10**9, daily_budget=10**9)}, candidates={"far": far})
    world.ports = replace(world.ports, policy=partial(Policy.model_copy, policy))
    task = world.submit("Pass it on.", "Pass it on, too.")
    tokens = world.ports.ledger.account(TENANT).tokens
    assert policy.tenants[TENANT].token_burst - tokens.level == task.tokens_taken == task.budget


@pytest.mark.parametrize(("used", "left"), [(20, 80), (100, 0), (130, -30)])
def test_a_tasks_end_settles_the_rate(world: World, used: int, left: int) -> None:
    """What a task did not use comes back at its end, what it used beyond is owed: once, also if it was parked then."""
    under(world, token_burst=100, tokens_per_minute=1)
    task = granted_task(world, taken=100, used=used)
    leases.close(world.ports, task)
    for _ in range(2):
        cancel(world.ports, TENANT, task.id, "ann", "enough", source=SOURCE)
        account = world.ports.ledger.account(TENANT)
        assert level(account.tokens, world.ports.tenants[TENANT].tokens, world.clock.now().timestamp()) == left


def granted_task(world: World, *, taken: int, used: int) -> Task:
    """Return a task that has taken so many tokens of its tenant's rate, and used some."""
    burst = world.ports.tenants[TENANT].token_burst
    under(world, token_burst=10**6, tokens_per_minute=1)
    task = world.submit()
    under(world, token_burst=burst, tokens_per_minute=1)
    account, now = world.ports.ledger.account(TENANT), world.clock.now().timestamp()
    world.ports.ledger.post(Posting(account._replace(tokens=Bucket(burst - taken, now), version=account.version + 1)))
    changed = task.model_copy(update={"tokens": used, "tokens_taken": taken})
    with world.database.transaction() as connection:
        connection.execute("UPDATE tasks SET body = ? WHERE id = ?", (changed.model_dump_json(), task.id))
    return changed


def test_money_that_nobody_gives_back_is_not_waited_for(world: World) -> None:
    """Where no background run holds anything, interactive work is refused at once, and others need not wait for it."""
    under(world, daily_budget=100)
    granted(world, "first", amount=90, priority="interactive")
    assert refusal(world, "second", amount=50, priority="interactive") == "quota-used-up"
    assert world.ports.ledger.account(TENANT).waits == {}
    assert granted(world, "third", amount=10).left == 0
