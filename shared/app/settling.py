"""Settling by hand what nobody knew: an operator says what a call has cost, as the provider's own records have it.

A call without an end is charged at its worst case. Its answer may be lost for good, but its price often is not: the
provider's console or invoice has it. Who said so and why is noted in the trail before it is done, and on the bill.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from shared.app import leases, ledger, trail
from shared.app.commit import change, relay
from shared.app.trail import Doing
from shared.core import stepping
from shared.core.draws import Outcome
from shared.core.money import usd
from shared.core.stepping import Spending
from shared.errors import NotFound, Permanent
from shared.events.catalog import Cause
from shared.events.ids import derive

if TYPE_CHECKING:
    from shared.core.decision import Decision
    from shared.core.ledger import Draw
    from shared.core.task import Task
    from shared.ports import Ports


_BEYOND = 10  # times its worst case: no call has cost that much


class Said(NamedTuple):
    """What an operator says a call has cost, in micro-USD, and why they know."""

    draw: str
    cost: int
    tokens_in: int
    tokens_out: int
    by: str
    reason: str


def unknown(ports: Ports, tenant: str, task: str) -> list[Draw]:
    """Return the calls of a task that are charged at their worst case because nobody knows how they ended."""
    return [drawn for drawn in _drawn(ports, ports.tasks.load(tenant, task)) if drawn.state == "unknown"]


def settle(ports: Ports, tenant: str, task: str, said: Said, *, source: str) -> Draw:
    """Charge what a call of unknown outcome has cost, in the ledger and on its task's bill; saying it again is as good.

    Raises NotFound for a call that the task never made, Permanent for one whose end is known or may still come.
    """
    found = ports.tasks.load(tenant, task)
    drawn = next((one for one in _drawn(ports, found) if one.id == said.draw), None)
    if drawn is None:
        raise NotFound(f"task {task} made no call {said.draw[:80]!r}")
    if drawn.state != "settled" or drawn.actual != said.cost:
        _check_unknown(drawn)
        _check_likely(drawn, said)
        _bill(ports, found, drawn, said, source)  # at its worst, so that what follows corrects it
        _note(ports, found, drawn, said)
        outcome = Outcome(said.cost, said.tokens_in, said.tokens_out)
        drawn = ledger.correct(ports, tenant, drawn.lease, drawn.id, outcome)
    mine = drawn.actual == said.cost
    _bill(ports, found, drawn, said if mine else said._replace(by="", reason=""), source)
    if not mine:  # the call's own end was found meanwhile
        _check_unknown(drawn)
    return drawn


def _drawn(ports: Ports, task: Task) -> list[Draw]:
    lease = ports.ledger.lease(task.tenant, leases.lease_id(task.id))
    return list(ledger.draws_of(ports, lease)) if lease else []


def _check_unknown(drawn: Draw) -> None:
    if drawn.state == "open":
        raise Permanent(f"call {drawn.id} may still end by itself", code="call-out")
    if drawn.state != "unknown":
        raise Permanent(f"call {drawn.id} is {drawn.state}: it cost {usd(drawn.actual)}", code="already-settled")


def _check_likely(drawn: Draw, said: Said) -> None:
    """Refuse a slip of the finger: what is settled stays, and worst cases are bounds that providers rarely pass."""
    if said.cost > _BEYOND * drawn.worst:
        what = f"{usd(said.cost)} is more than {_BEYOND} times the {usd(drawn.worst)} that it may cost at most"
        raise Permanent(f"{what}; costs are in millionths of a dollar", code="unlikely-cost")


def _note(ports: Ports, task: Task, drawn: Draw, said: Said) -> None:
    cost, tokens = {"cost_micro_usd": said.cost}, {"tokens_in": said.tokens_in, "tokens_out": said.tokens_out}
    text = json.dumps({"tenant": task.tenant, "task": task.id, "draw": drawn.id} | cost | tokens, sort_keys=True)
    policy = ports.policy().version
    doing = Doing("settle", f"call {drawn.id}", said.by, text, drawn.version + 1, policy, said.reason)
    trail.note(ports.settings, doing, ports.now())


def _bill(ports: Ports, task: Task, drawn: Draw, said: Said, source: str) -> None:
    """Put it on the bill, unless it is there: a process that ended before it spoke is made up for."""
    cause = Cause(derive(task.id, drawn.id, drawn.version, "by hand"), task.tenant, task.id, task.entity, source)

    def decide(current: Task) -> Decision:
        entry = ports.journal.find(task.tenant, task.id, drawn.document, drawn.step)
        if entry is None:
            raise NotFound(f"task {task.id} has no step {drawn.step} of document {drawn.document}")
        charge = replace(leases.charge_of(drawn, ports.policy()), by=said.by, reason=said.reason)
        return stepping.bill(current, entry, Spending(charges=(charge,)))

    change(ports, cause, decide)
    relay(ports, tenant=task.tenant, entity=task.entity)
