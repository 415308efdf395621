"""Models for a step of a task: every call is paid from the run's lease, and leaves its trace for the bill.

A draw of the lease is also the call's journal: its intent is stored before the call is made, its answer after it. So a
retry reads what was paid for already, whoever answered then.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from itertools import count
from threading import RLock
from typing import TYPE_CHECKING

from shared.app import ledger, switches
from shared.app.crew import Threads
from shared.app.leases import charge_of, lease_id
from shared.app.purse import UNKNOWN_OUTCOME, Kept, LedgerDown, Terms, Ticket
from shared.app.router import Router
from shared.core import caching, notes, spans
from shared.core.admission import tenant_policy
from shared.core.draws import DrawAsk, Outcome
from shared.core.money import usd
from shared.core.stepping import Charge, Out, Spending
from shared.errors import Permanent, Transient
from shared.events.ids import derive
from shared.events.usage import UsageSaved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shared.app.purse import Paid
    from shared.core.completion import Completion, Prompt
    from shared.core.journal import Entry
    from shared.core.ledger import Draw
    from shared.core.policy import Policy
    from shared.core.task import Task
    from shared.core.workflow import Step
    from shared.events.envelope import Fact
    from shared.events.routing import ModelRouted
    from shared.ports import Models, Ports

_SETTLES = 3
_LATER = 5.0  # seconds that a call may be out beyond its timeout: for a thread, a connection, another clock


def models_for(ports: Ports, purse: LeasePurse, step: Step, *, cacheable: bool) -> Models:
    """Return the models of one attempt at a step."""
    policy, task = purse.policy, purse.task
    tenant = tenant_policy(policy.tenants, task.tenant)
    asked = policy.classes.of(task.priority)
    terms = Terms(
        tenant=task.tenant,
        document=purse.entry.document,
        step=step.name,
        price_version=policy.price_version,
        models_version=policy.models_version,
        priority=task.priority,
        attempt=purse.entry.attempt,
        zone=tenant.data_zone,
        quality=asked.quality,
        sla_ms=asked.sla_ms,
        hard=asked.hard,
        pays_again=policy.on_unknown == "pay-again",
        # Asking a model that always says the same, at no provider's price, is as good as any cache.
        cacheable=cacheable
        and tenant.cache
        and any(one.provider != "extractive" for one in policy.candidates.values()),
        alike=tenant.semantic_threshold if tenant.semantic_cache else 0.0,
        keep_seconds=policy.answers.keep_seconds,
        task=task.id,
        within=spans.attempt(purse.entry, task.run),
    )
    router = Router(
        ports.models,
        lambda: policy.routes,
        lambda: ports.now().timestamp(),
        ports.learned,
        ports.cache,
        _crew() if asked.hard else None,
        ports.nearby,
        ports.spans,
    )
    return router.bound(purse, terms)


@cache
def _crew() -> Threads:
    """Return the threads for calls that race each other, one crew for the process."""
    return Threads()


@dataclass(slots=True)
class LeasePurse:
    """The money of one attempt at a step: draws of its run's lease, at the prices that were in force when it began.

    The step is done on that `cloud`. Why a call is made is told with its price; what led to calls that cost nothing
    goes with the next one.
    """

    ports: Ports
    task: Task
    entry: Entry
    cloud: str = ""
    _notes: list[Fact] = field(default_factory=list)
    _draws: dict[str, Draw] = field(default_factory=dict)
    _routed: dict[str, tuple[ModelRouted, ...]] = field(default_factory=dict)
    _in_vain: tuple[ModelRouted, ...] = ()
    _named: tuple[Prompt, str] | None = None
    _lock: RLock = field(default_factory=RLock)
    policy: Policy = field(init=False)

    def __post_init__(self) -> None:
        self.policy = self.ports.policy()

    @property
    def spending(self) -> Spending:
        """What the attempt did with money so far; a call that is still out is charged when it ends."""
        with self._lock:
            charges, out = list[Charge](), list[Out]()
            for drawn in self._draws.values():
                if drawn.state == "open":
                    out.append(Out(drawn.id, self._routed.get(drawn.id, ())))
                else:
                    charges.append(charge_of(drawn, self.policy, self._routed.get(drawn.id)))
            return Spending((*self._in_vain, *self._notes), tuple(charges), tuple(out))

    def left(self) -> int:
        """Return what may still be put aside, in micro-USD."""
        lease = self.ports.ledger.lease(self.task.tenant, lease_id(self.task.id))
        return lease.amount - lease.settled - lease.held if lease and lease.state == "open" else 0

    def found(self, prompt: Prompt) -> Kept | None:
        """Return the answer that an earlier attempt paid for, or None; a call without an end is charged in full.

        Raises Permanent `unknown-outcome` for such a call, unless the policy pays again.
        """
        with self._lock:
            for _, found in self._earlier(self._question(prompt)):
                if found is not None and found.state == "open":
                    self._lost(found)
                elif found is not None and found.answer:
                    self._draws[found.id] = found
                    return Kept(*caching.read(found.answer))
        return None

    def draw(self, prompt: Prompt, routed: ModelRouted) -> Ticket:
        """Put a call's worst case aside, and keep with it why it is made.

        Raises Permanent `budget-used-up` or `lease-over`, Throttled (`stopped`) while an operator's switch is on. The
        switch is looked at again once the draw is stored: who asks whether all is quiet either sees the draw, or asked
        after the switch was on, and then so is this look.
        """
        switches.check(self.ports, self.task.tenant, self.task.workflow)
        with self._lock:
            question = self._question(prompt)
            free = (name for name, found in self._earlier(question) if found is None or found.state == "released")
            ticket = self._drawn(next(free), question, routed)
        try:
            switches.check(self.ports, self.task.tenant, self.task.workflow)
        except Transient:
            self.release(ticket)
            raise
        return ticket

    def _question(self, prompt: Prompt) -> str:
        """Return the question's name; it is asked for again at once, by whoever is asked next."""
        if self._named is None or self._named[0] is not prompt:
            self._named = (prompt, caching.key(prompt, ""))
        return self._named[1]

    def _earlier(self, question: str) -> Iterator[tuple[str, Draw | None]]:
        """Yield the draws of this question, but for those that this attempt has made, and at last a free name."""
        lease = lease_id(self.task.id)
        for number in count():
            name = derive(lease, self.entry.document, self.entry.step, question, number)
            known = self._draws.get(name)
            if known is not None and known.state != "released":
                continue
            found = self.ports.ledger.draw(self.task.tenant, lease, name)
            yield name, found
            if found is None:
                return

    def _drawn(self, name: str, question: str, routed: ModelRouted) -> Ticket:
        now, worst, deployment = self.ports.now(), routed.worst_micro_usd, routed.deployment
        knows = {"call": name, "at": now, "run": self.task.run, "cloud": self.cloud}
        why = (*self._in_vain, routed.model_copy(update=knows))
        candidate = self.policy.candidates.get(deployment)
        seconds = (candidate.timeout if candidate else 0.0) + _LATER
        asked = DrawAsk(
            *(name, self.entry.document, self.entry.step, deployment, worst, question, now.timestamp(), seconds),
            price_version=self.policy.price_version,
            note=notes.kept(why),
        )
        drawn = ledger.draw(self.ports, self.task.tenant, lease_id(self.task.id), asked)
        if not drawn.fresh:
            raise Transient(f"another attempt at step {self.entry.step} makes this call")
        self._draws.pop(name, None)  # what is drawn again comes after what was drawn meanwhile
        self._draws[name], self._in_vain = drawn.draw, ()
        self._routed[name] = (*why[:-1], why[-1].model_copy(update={"left_micro_usd": drawn.draw.remaining}))
        return Ticket(name, routed.deployment, worst)

    def _lost(self, found: Draw) -> None:
        """Charge a call that an earlier attempt made and whose end nobody knows; the policy says what then."""
        self._tell(ledger.unknown, found.id)
        if self.ports.policy().on_unknown != "pay-again":
            what = f"a call of step {found.step} may have cost {usd(found.worst)}, and nobody knows how it ended"
            raise Permanent(what, code=UNKNOWN_OUTCOME)

    def settle(self, ticket: Ticket, completion: Completion, cost: int, paid: Paid) -> None:
        """Pay what was used and keep the answer, if it is one; the rest goes back."""
        usage = completion.usage
        answer = "" if paid == "failed" else caching.kept(completion, cost)
        outcome = Outcome(cost, usage.tokens_in, usage.tokens_out, answer, paid)
        with self._lock:
            for more in reversed(range(_SETTLES)):  # the answer is paid for, and nowhere but here
                try:
                    self._tell(ledger.settle, ticket.id, outcome)
                except LedgerDown:
                    if not more:
                        raise
                else:
                    return

    def unknown(self, ticket: Ticket) -> None:
        """Pay the worst case: nobody knows whether the provider did the work."""
        with self._lock:
            self._tell(ledger.unknown, ticket.id)

    def release(self, ticket: Ticket) -> None:
        """Take all of it back: the provider did nothing."""
        with self._lock:
            self._tell(ledger.release, ticket.id)
            self._in_vain += self._routed.pop(ticket.id, ())

    def note(self, fact: Fact) -> None:
        """Write down what was decided and why."""
        if isinstance(fact, UsageSaved):
            task, today = self.task, f"{self.ports.now():%Y-%m-%d}"
            knows = {"workflow": task.workflow, "cloud": self.cloud, "day": today}
            fact = fact.model_copy(update=knows | {"left_micro_usd": max(0, task.budget - task.spent)})
        with self._lock:
            self._notes.append(fact)

    def _tell(self, what: Callable[..., Draw], draw: str, *more: Outcome) -> None:
        """Write down what became of a call."""
        try:
            self._draws[draw] = what(self.ports, self.task.tenant, lease_id(self.task.id), draw, *more)
        except Transient as down:
            raise LedgerDown(str(down), retry_after=down.retry_after) from down
