"""Steps of a run: start (write the intent), finish, fail, give way; and the bill of what its calls drew.

What was used is always billed, once: by a failed attempt, too, and by one whose result came too late.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from shared.core.decision import Decision
from shared.core.journal import Entry, Line, digest
from shared.core.task import Task, check_running, evolve, is_settled
from shared.core.workflow import Step
from shared.errors import Permanent
from shared.events.step import StepCompleted, StepFailed, StepStarted
from shared.events.tool import ToolCalled
from shared.events.usage import UsageCorrected, UsageMetered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.events.envelope import Fact
    from shared.events.routing import ModelRouted

Outcome = Literal["answered", "repaired", "failed", "hedged", "unknown"]
_PAID: Mapping[str, Outcome] = {"answered": "answered", "repaired": "repaired", "failed": "failed", "hedged": "hedged"}


@dataclass(frozen=True, slots=True)
class Call:
    """A step of a document with its tool's arguments; `fallback` asks the stand-in tool."""

    document: int
    step: str
    arguments: dict[str, Any]
    fallback: bool = False

    @property
    def input_sha256(self) -> str:
        """What makes two requests the same request."""
        return digest({"arguments": self.arguments, "fallback": self.fallback})


@dataclass(frozen=True, slots=True)
class Charge:
    """What one draw of the run's lease cost, in micro-USD, and what for; `routed` are the choices that led to it.

    One that was not `served` is no line of the bill, and takes back the one that charged it at its `worst`. Any other
    line of its name is of a later call, which was made under the name that became free.
    """

    draw: str
    deployment: str
    model: str
    tokens_in: int
    tokens_out: int
    cost: int
    price_version: str
    outcome: Outcome = "answered"
    day: str = ""
    routed: tuple[ModelRouted, ...] = ()
    by: str = ""  # who said so, when it is by hand, and why
    reason: str = ""
    served: bool = True
    worst: int = 0


class Out(NamedTuple):
    """A call that is not back yet: it is charged when it ends, why it was made is told now."""

    draw: str
    routed: tuple[ModelRouted, ...]


@dataclass(frozen=True, slots=True)
class Spending:
    """What an attempt did with money: what was saved, who was asked for nothing, the charges, what is not back yet."""

    notes: tuple[Fact, ...] = ()
    charges: tuple[Charge, ...] = ()
    out: tuple[Out, ...] = ()


NOTHING = Spending()


def start(task: Task, step: Step, call: Call, entry: Entry | None, *, most: int) -> Decision:
    """Write the intent to do a step that may cost up to `most`; Permanent when the task does not run."""
    check_running(task)
    if call.fallback and step.fallback is None:
        raise Permanent(f"step {step.name} has no fallback", code="no-fallback", where="fallback")
    tool = step.fallback if call.fallback and step.fallback else step.tool
    begun = Entry(
        tenant=task.tenant,
        task=task.id,
        document=call.document,
        step=step.name,
        tool=tool,
        input_sha256=call.input_sha256,
        attempt=(entry.attempt if entry else 0) + 1,
        cost=entry.cost if entry else 0,
        billed=entry.billed if entry else {},
    )
    fact = StepStarted(
        document=begun.document,
        step=begun.step,
        tool=tool,
        attempt=begun.attempt,
        input_sha256=begun.input_sha256,
        reserved_micro_usd=most,
    )
    return Decision(evolve(task, fact), (fact,), entry=begun)


def finish(task: Task, entry: Entry, output: dict[str, Any], spending: Spending = NOTHING) -> Decision:
    """Write the result and what it cost."""
    paid = bill(task, entry, spending)
    if is_settled(task, entry.document):
        return paid
    billed, told = paid.entry or entry, digest(output)
    facts = (
        ToolCalled(
            tool=entry.tool,
            document=entry.document,
            step=entry.step,
            input_sha256=entry.input_sha256,
            output_sha256=told,
        ),
        StepCompleted(
            document=entry.document,
            step=entry.step,
            attempt=entry.attempt,
            output_sha256=told,
            cost_micro_usd=sum({charge.draw: charge.cost for charge in spending.charges}.values()),
        ),
    )
    done = billed.model_copy(update={"output": output})
    return Decision(evolve(paid.task, *facts), (*paid.facts, *facts), entry=done)


def fail(
    task: Task, entry: Entry, code: str, reason: str, *, final: bool, spending: Spending = NOTHING, prices: str = ""
) -> Decision:
    """Write why an attempt failed and what it cost; `prices` names those in force."""
    paid = bill(task, entry, spending)
    if is_settled(task, entry.document):
        return paid
    fact = StepFailed(
        document=entry.document,
        step=entry.step,
        attempt=entry.attempt,
        code=code,
        reason=reason,
        final=final,
        price_version=prices,
        left_micro_usd=paid.task.left,
    )
    return Decision(evolve(paid.task, fact), (*paid.facts, fact), entry=paid.entry)


def give_way(task: Task, entry: Entry, spending: Spending = NOTHING) -> Decision:
    """Take the attempt back, as nothing failed: the next run's is the same one. What it cost is billed."""
    paid = bill(task, entry, spending)
    if is_settled(task, entry.document):
        return paid
    back = (paid.entry or entry).model_copy(update={"attempt": entry.attempt - 1})
    return Decision(paid.task, paid.facts, entry=back)


def bill(task: Task, entry: Entry, spending: Spending) -> Decision:
    """Put on the bill what is not on it yet, and correct what turned out otherwise."""
    facts: list[Fact] = []
    billed, lines, tokens = dict(entry.billed), task.lines, task.tokens
    for charge in spending.charges:
        known = billed.get(charge.draw)
        if not charge.served and (known is None or not known.line or known.cost != charge.worst):
            continue
        if known is None or not known.line:
            lines += 1
            tokens += charge.tokens_in + charge.tokens_out
            routed = () if known and known.deployment == charge.deployment else charge.routed
            facts += (*routed, _metered(task, entry, charge, lines))
            known = Line(line=lines, cost=0)
        elif known.cost != charge.cost:
            tokens += charge.tokens_in + charge.tokens_out  # of what nobody knew the end of, none were known
            facts.append(_corrected(task, entry, charge, known))
        billed[charge.draw] = Line(line=known.line, cost=charge.cost, deployment=charge.deployment)
    for call in spending.out:
        if call.draw not in billed:
            facts += call.routed
            billed[call.draw] = Line(line=0, cost=0, deployment=call.routed[-1].deployment if call.routed else "")
    facts += spending.notes  # what came of it all
    if not facts:
        return Decision(task)
    more = sum(line.cost for line in billed.values()) - sum(line.cost for line in entry.billed.values())
    after = evolve(task, *facts).model_copy(update={"spent": task.spent + more, "lines": lines, "tokens": tokens})
    return Decision(after, tuple(facts), entry=entry.model_copy(update={"billed": billed, "cost": entry.cost + more}))


def outcome_of(state: str, paid: str) -> Outcome:
    """Return what a draw's money was paid for; who does not say so was answered."""
    return "unknown" if state in {"open", "unknown"} else _PAID.get(paid, "answered")


def _made_on(task: Task, charge: Charge) -> str:
    return (charge.routed[-1].cloud if charge.routed else "") or task.placed_on or ""


def _metered(task: Task, entry: Entry, charge: Charge, line: int) -> UsageMetered:
    return UsageMetered(
        document=entry.document,
        step=entry.step,
        model=charge.model,
        tokens_in=charge.tokens_in,
        tokens_out=charge.tokens_out,
        cost_micro_usd=charge.cost,
        price_version=charge.price_version,
        line=line,
        deployment=charge.deployment,
        outcome=charge.outcome,
        workflow=task.workflow,
        cloud=_made_on(task, charge),
        call=charge.draw,
        day=charge.day,
    )


def _corrected(task: Task, entry: Entry, charge: Charge, known: Line) -> UsageCorrected:
    return UsageCorrected(
        document=entry.document,
        step=entry.step,
        line=known.line,
        was_micro_usd=known.cost,
        cost_micro_usd=charge.cost,
        tokens_in=charge.tokens_in,
        tokens_out=charge.tokens_out,
        by=charge.by,
        reason=charge.reason,
        model=charge.model,
        deployment=charge.deployment,
        workflow=task.workflow,
        cloud=_made_on(task, charge),
        call=charge.draw,
        day=charge.day,
    )
