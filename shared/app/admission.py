"""Granting runs their money and ending their leases: what is decided here is posted with the task that it is for.

What too many requests cost: a read. Those turned away are counted in this process and noted on the account by the next
grant, so that a tenant's flood never becomes writes to the row that all its runs share; a process that ends before
that forgets its count, which is a figure for people and no money. A store that is down refuses: Transient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.app import leases, ledger, pressure, switches
from shared.core import granting
from shared.core.admission import tenant_policy
from shared.core.granting import Ask, Grant
from shared.core.ledger import NOTHING, Posting, left, windows_at
from shared.core.notes import named
from shared.core.policy import TenantPolicy
from shared.core.schedule import Money, give_way, is_held, stay_parked
from shared.errors import Forbidden, Throttled

if TYPE_CHECKING:
    from shared.core.gate import Gate
    from shared.core.ledger import Account, Lease
    from shared.core.task import Task
    from shared.events.routing import Refused
    from shared.ports import Ports


def grant(ports: Ports, tenant: str, ask: Ask) -> Grant:
    """Decide to lease a run's worst case; one that would be refused now gets the lease it was granted before.

    Raises Throttled: `stopped` by a switch; `requests`, `tokens`, `runs` beyond what the tenant may have at a time,
    with the time from when on it may; `pressure` when it would wait too long for the providers; `money` when
    interactive work waits for money that open runs hold. Forbidden: `unknown-tenant`, `priority`, `quota-used-up`.
    """
    policy = ports.policy()
    mine = tenant_policy(policy.tenants, tenant)
    turned = ports.refusals.too_fast.get(tenant, 0)
    asked = ask._replace(turned_away=turned) if turned else ask
    account, now = ports.ledger.account(tenant), ports.now().timestamp()
    try:
        switches.check(ports, tenant, ask.workflow)
        granted = granting.grant(account, policy, mine, asked, now)
        pressure.check(ports, ask.priority)  # behind its own limits, so that it hears of those first
    except (Throttled, Forbidden) as refusal:
        before = _before(ports, account, mine, ask)
        if before is None:
            raise _refused(ports, account, mine, ask, refusal) from refusal
        return before
    return granted


def finish(ports: Ports, tenant: str, lease: str, *, unused_tokens: int = 0) -> tuple[Posting, Lease] | None:
    """Decide to end a run's lease: what it did not spend is the tenant's again, money and tokens.

    Below zero, `unused_tokens` is what it used beyond those it was granted. Posted once: with the end of its task. A
    tenant that the policy no longer knows gets its money back, and has no rates to give tokens back to. None for a
    run that never had a lease.
    """
    known = ports.tenants.get(tenant)
    mine, unused_tokens = (known, unused_tokens) if known else (TenantPolicy(), 0)
    found = ports.ledger.lease(tenant, lease)
    if found is None:
        return None
    posting = granting.finish(ports.ledger.account(tenant), found, mine, unused_tokens, ports.now().timestamp())
    return posting, posting.lease or found


def noted(ports: Ports, tenant: str, turned_away: int) -> None:
    """Take off what a grant that was written has noted on the account; more may have been turned away meanwhile."""
    if turned_away:
        _count(ports, tenant, -turned_away)


def _count(ports: Ports, tenant: str, more: int) -> None:
    kept = ports.refusals
    with kept.lock:
        kept.too_fast[tenant] = max(0, kept.too_fast.get(tenant, 0) + more)


def yields(ports: Ports, task: Task) -> str | None:
    """Return why a task should give way before its next step, or None when it may go on."""
    if task.priority != "background":
        return None
    lease = ports.ledger.lease(task.tenant, leases.lease_id(task.id))
    if lease is None:
        return None
    reason = give_way(lease, _money(ports, task.tenant), _gates(ports), ports.now().timestamp())
    return reason or (_for_urgent_work(ports) if task.run == 1 else None)  # once: it must come to an end


def held_back(ports: Ports, task: Task) -> str | None:
    """Return why a parked task should not go on yet, or None when it may: who gave way must not be back first."""
    if task.priority != "background":
        return None
    needed = max(0, task.budget - task.spent)
    reason = stay_parked(needed, _money(ports, task.tenant), _gates(ports), ports.now().timestamp())
    waited = (ports.now() - (task.parked_at or task.submitted_at)).total_seconds()
    most = ports.policy().classes.of(task.priority).most_wait
    return reason or (_for_urgent_work(ports) if waited < most else None)


def _for_urgent_work(ports: Ports) -> str | None:
    """Return that interactive tasks wait for models, whichever process they were parked in."""
    waiting = pressure.urgent(ports)
    return f"interactive work waits for models, in {waiting} tasks" if waiting else None


def _money(ports: Ports, tenant: str) -> Money:
    policy, now = ports.policy(), ports.now().timestamp()
    account, limits = ports.ledger.account(tenant), tenant_policy(policy.tenants, tenant).money
    return Money(left(account, windows_at(now), limits), granting.waited_for(account, policy, now))


def left_of(ports: Ports, tenant: str) -> int:
    """Return what the tenant may still spend."""
    return max(0, _money(ports, tenant).free)


def left_to_others(ports: Ports) -> tuple[Refused, ...]:
    """Return the deployments that interactive work waits for."""
    now = ports.now().timestamp()
    return named(
        (name, "interactive work waits at its gate")
        for name in ports.policy().candidates
        if is_held(ports.learned.gate(name), now)
    ).refused


def _gates(ports: Ports) -> list[Gate]:
    return [ports.learned.gate(name) for name in ports.policy().candidates]


def _before(ports: Ports, account: Account, mine: TenantPolicy, ask: Ask) -> Grant | None:
    """Return what was granted to the same lease id before."""
    found = ports.ledger.lease(account.tenant, ask.lease)
    if found is None:
        return None
    rest = left(account, windows_at(ports.now().timestamp()), mine.money)
    return Grant(NOTHING, found, "granted before", rest)


def _refused(
    ports: Ports, account: Account, mine: TenantPolicy, ask: Ask, refusal: Throttled | Forbidden
) -> Throttled | Forbidden:
    """Count what came too fast, and let interactive work wait for money that background runs will give back."""
    if isinstance(refusal, Throttled):
        if refusal.code != "stopped":
            _count(ports, account.tenant, 1)
        return refusal
    now = ports.now().timestamp()
    may_wait = refusal.code == "quota-used-up" and ask.priority == "interactive"
    if not may_wait or not granting.held_by_others(account, mine, ask.amount, now):
        return refusal

    def decide() -> tuple[Posting, None]:
        return granting.queue(ports.ledger.account(account.tenant), ports.policy(), ask, now), None

    ledger.posted(ports, decide)
    said = f"{refusal}; background runs give theirs back at their next step, nobody knows how soon"
    return Throttled(said, retry_after=granting.MONEY_RETURNS, code="money")
