"""The lease of a run: opened and closed together with its task, given back while that is parked, and had anew then."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from shared.app import ledger
from shared.core import notes
from shared.core.admission import tenant_policy
from shared.core.draws import charge
from shared.core.ledger import LeaseAsk
from shared.core.stepping import Charge, outcome_of
from shared.errors import NotFound
from shared.events.ids import derive

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from shared.core.journal import Entry
    from shared.core.ledger import Draw, Lease
    from shared.core.policy import Policy
    from shared.core.task import Task
    from shared.events.routing import ModelRouted
    from shared.ports import Ports


@lru_cache(maxsize=1024)
def lease_id(task: str) -> str:
    """Return the id of a task's lease: all its runs spend from the same one."""
    return derive("lease", task)


def ask(ports: Ports, task: Task, amount: int) -> LeaseAsk:
    """Return what a task asks for, `amount` micro-USD in all."""
    at = ports.now().timestamp()
    until = at + ports.policy().runs.lease_seconds
    return LeaseAsk(lease_id(task.id), task.id, task.workflow, task.priority, amount, at, until)


def ensure(ports: Ports, task: Task, *, more: int = 0) -> Lease:
    """Return the task's lease, open and with `more` beside its budget; Forbidden when the tenant has not that much."""
    limits = tenant_policy(ports.tenants, task.tenant).money
    asked = ask(ports, task, task.budget + more)
    opened = ledger.open_lease(ports, task.tenant, asked, limits)
    if opened.state != "open":
        return ledger.reopen(ports, task.tenant, asked, limits)
    return ledger.extend(ports, task.tenant, asked.id, asked.amount, limits, until=asked.expires_at)


def close(ports: Ports, task: Task) -> Lease | None:
    """Give back what the task's run has not spent; None when it never had a lease."""
    try:
        return ledger.close(ports, task.tenant, lease_id(task.id))
    except NotFound:
        return None


def alive(ports: Ports, lease: Lease) -> Task | None:
    """Return the task if it may still spend; one that is parked gets its lease back when it goes on."""
    try:
        task = ports.tasks.load(lease.tenant, lease.task)
    except NotFound:
        return None
    return None if task.over or task.parked_at is not None else task


def charged(lease: Lease) -> int:
    """Return what the run has cost so far, calls that are still out at their worst case."""
    return lease.settled + lease.held


def unbilled(ports: Ports, task: Task, lease: Lease) -> Iterator[tuple[Entry, tuple[Draw, ...]]]:
    """Yield the task's entries whose bill lacks something, with the draws that it lacks or says wrongly."""
    by_step: dict[tuple[int, str], list[Draw]] = {}
    for drawn in ledger.draws_of(ports, lease):
        by_step.setdefault((drawn.document, drawn.step), []).append(drawn)
    for (document, step), drawn_here in sorted(by_step.items()):
        entry = ports.journal.find(task.tenant, task.id, document, step)
        if entry is None:
            continue
        lacking = tuple(drawn for drawn in drawn_here if _differs(entry, drawn))
        if lacking:
            yield entry, lacking


def charges_now(ports: Ports, entry: Entry, draws: Iterable[Draw]) -> tuple[Charge, ...]:
    """Return what these draws put on the bill as it and they are by now; a released one takes back what it says."""
    found = (ports.ledger.draw(drawn.tenant, drawn.lease, drawn.id) or drawn for drawn in draws)
    charges = (charge_of(drawn, ports.policy()) for drawn in found if _differs(entry, drawn))
    said = {name: line.cost for name, line in entry.billed.items()}
    return tuple(replace(one, worst=said.get(one.draw, one.worst)) for one in charges)


def charge_of(drawn: Draw, policy: Policy, routed: tuple[ModelRouted, ...] | None = None) -> Charge:
    """Return what a draw puts on the bill; one whose end nobody knows is charged at its worst case.

    `routed` says why the call was made, if that is at hand: it is in the draw, too.
    """
    candidate = policy.candidates.get(drawn.deployment)
    return Charge(
        draw=drawn.id,
        deployment=drawn.deployment,
        model=candidate.model if candidate else drawn.deployment,
        tokens_in=drawn.tokens_in,
        tokens_out=drawn.tokens_out,
        cost=charge(drawn),
        price_version=drawn.price_version or policy.price_version,
        outcome=outcome_of(drawn.state, drawn.paid),
        day=next((window.removeprefix("day:") for window in drawn.windows if window.startswith("day:")), ""),
        routed=notes.read(drawn.note, drawn.remaining) if routed is None else routed,
        served=drawn.state != "released",
        worst=drawn.worst,
    )


def _differs(entry: Entry, drawn: Draw) -> bool:
    known = entry.billed.get(drawn.id)
    told = known is not None and known.line
    return charge(drawn) != (known.cost if known else 0) or (not told and drawn.state == "settled")
