"""Steps of a run: start (write the intent), finish, fail, give way; and the bill of what its calls drew.

What was used is always billed, once: by a failed attempt, too, and by one whose result came too late.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from shared.core.decision import Decision
from shared.core.journal import Entry, Line, digest
from shared.core.task import Task, check_running, evolve, is_settled
from shared.core.workflow import Step
from shared.errors import Permanent
from shared.events.step import StepCompleted, StepFailed, StepStarted
from shared.events.tool import ToolCalled
from shared.events.usage import UsageCorrected, UsageMetered

if TYPE_CHECKING:
    from shared.events.envelope import Fact

Outcome = Literal["answered", "repaired", "failed", "hedged", "unknown"]


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
    """What one draw of the run's lease cost, in micro-USD, and what for."""

    draw: str
    deployment: str
    model: str
    tokens_in: int
    tokens_out: int
    cost: int
    price_version: str
    outcome: Outcome = "answered"


@dataclass(frozen=True, slots=True)
class Spending:
    """What an attempt did with money: why which model was asked, what was saved, and the charges."""

    notes: tuple[Fact, ...] = ()
    charges: tuple[Charge, ...] = ()


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
    billed = paid.entry or entry
    facts = (
        ToolCalled(
            tool=entry.tool,
            document=entry.document,
            step=entry.step,
            input_sha256=entry.input_sha256,
            output_sha256=digest(output),
        ),
        StepCompleted(
            document=entry.document,
            step=entry.step,
            attempt=entry.attempt,
            output_sha256=digest(output),
            cost_micro_usd=sum({charge.draw: charge.cost for charge in spending.charges}.values()),
        ),
    )
    done = billed.model_copy(update={"output": output})
    return Decision(evolve(paid.task, *facts), (*paid.facts, *facts), entry=done)


def fail(task: Task, entry: Entry, code: str, reason: str, *, final: bool, spending: Spending = NOTHING) -> Decision:
    """Write why an attempt failed and what it cost."""
    paid = bill(task, entry, spending)
    if is_settled(task, entry.document):
        return paid
    fact = StepFailed(
        document=entry.document, step=entry.step, attempt=entry.attempt, code=code, reason=reason, final=final
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
    facts: list[Fact] = list(spending.notes)
    billed, lines, tokens = dict(entry.billed), task.lines, task.tokens
    for charge in spending.charges:
        known = billed.get(charge.draw)
        if known is None:
            lines += 1
            tokens += charge.tokens_in + charge.tokens_out
            facts.append(_metered(task, entry, charge, lines))
        elif known.cost != charge.cost:
            tokens += charge.tokens_in + charge.tokens_out  # of what nobody knew the end of, none were known
            facts.append(_corrected(task, entry, charge, known))
        billed[charge.draw] = Line(line=known.line if known else lines, cost=charge.cost)
    if not facts:
        return Decision(task)
    more = sum(line.cost for line in billed.values()) - sum(line.cost for line in entry.billed.values())
    after = evolve(task, *facts).model_copy(update={"spent": task.spent + more, "lines": lines, "tokens": tokens})
    return Decision(after, tuple(facts), entry=entry.model_copy(update={"billed": billed, "cost": entry.cost + more}))


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
        cloud=task.placed_on or "",
    )


def _corrected(task: Task, entry: Entry, charge: Charge, known: Line) -> UsageCorrected:
    return UsageCorrected(
        document=entry.document,
        step=entry.step,
        line=known.line,
        was_micro_usd=known.cost,
        cost_micro_usd=charge.cost,
        model=charge.model,
        deployment=charge.deployment,
        workflow=task.workflow,
        cloud=task.placed_on or "",
    )
