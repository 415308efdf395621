"""Steps of a run: start (set money aside, write the intent), finish, fail.

What was used is always billed: by a failed attempt, too, and by one whose result came too late.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.core.decision import Decision
from shared.core.journal import Entry, digest
from shared.core.money import PRICE_VERSION, cost, total
from shared.core.task import Task, check_running, evolve, is_settled
from shared.core.workflow import Step
from shared.errors import Permanent
from shared.events.step import StepCompleted, StepFailed, StepStarted
from shared.events.tool import ToolCalled
from shared.events.usage import UsageMetered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.core.completion import Usage
    from shared.events.envelope import Fact


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


def start(task: Task, step: Step, call: Call, entry: Entry | None) -> Decision:
    """Write the intent and set aside the step's worst case; a second attempt keeps what the first left of it.

    Permanent when the task is over, or its budget cannot bear the step.
    """
    check_running(task)
    if call.fallback and step.fallback is None:
        raise Permanent(f"step {step.name} has no fallback", code="no-fallback", where="fallback")
    again = entry is not None and entry.input_sha256 == call.input_sha256
    held = entry.reserved if entry else 0
    reserve = held if again and held else (0 if call.fallback else step.reserve)
    if task.spent + task.reserved - held + reserve > task.budget:
        left = task.budget - task.spent - task.reserved + held
        raise Permanent(
            f"step {step.name} may cost {reserve} micro-USD, the task has {left} left of {task.budget}",
            code="budget-used-up",
        )
    tool = step.fallback if call.fallback and step.fallback else step.tool
    attempt = (entry.attempt if entry else 0) + 1
    fact = StepStarted(
        document=call.document,
        step=step.name,
        tool=tool,
        attempt=attempt,
        input_sha256=call.input_sha256,
        reserved_micro_usd=reserve,
    )
    after = evolve(task, fact).model_copy(update={"reserved": task.reserved - held + reserve})
    begun = Entry(
        tenant=task.tenant,
        task=task.id,
        document=call.document,
        step=step.name,
        tool=tool,
        input_sha256=call.input_sha256,
        attempt=attempt,
        reserved=reserve,
        cost=entry.cost if entry else 0,
    )
    return Decision(after, (fact,), entry=begun)


def finish(task: Task, entry: Entry, output: dict[str, Any], usages: Sequence[Usage]) -> Decision:
    """Write the result, what it cost, and give back what was set aside and not used."""
    if is_settled(task, entry.document):
        return meter(task, entry, usages)
    spent = total(usages)
    facts: list[Fact] = [
        ToolCalled(
            tool=entry.tool,
            document=entry.document,
            step=entry.step,
            input_sha256=entry.input_sha256,
            output_sha256=digest(output),
        )
    ]
    facts += [_metered(entry, usage) for usage in usages]
    facts.append(
        StepCompleted(
            document=entry.document,
            step=entry.step,
            attempt=entry.attempt,
            output_sha256=digest(output),
            cost_micro_usd=spent,
        )
    )
    money = {"reserved": task.reserved - entry.reserved, "spent": task.spent + spent}
    done = entry.model_copy(update={"output": output, "cost": entry.cost + spent, "reserved": 0})
    return Decision(evolve(task, *facts).model_copy(update=money), tuple(facts), entry=done)


def _metered(entry: Entry, usage: Usage) -> UsageMetered:
    return UsageMetered(
        document=entry.document,
        step=entry.step,
        model=usage.model,
        tokens_in=usage.tokens_in,
        tokens_out=usage.tokens_out,
        cost_micro_usd=cost(usage),
        price_version=PRICE_VERSION,
    )


def fail(task: Task, entry: Entry, code: str, reason: str, *, final: bool, usages: Sequence[Usage] = ()) -> Decision:
    """Write why an attempt failed and what it cost; the rest of what it had set aside stays until the last word."""
    if is_settled(task, entry.document):
        return meter(task, entry, usages)
    fact = StepFailed(
        document=entry.document, step=entry.step, attempt=entry.attempt, code=code, reason=reason, final=final
    )
    if not final and not usages:
        return Decision(evolve(task, fact), (fact,))
    paid = meter(task, entry, usages)
    drawn = paid.entry or entry
    freed = drawn.reserved if final else 0
    after = evolve(paid.task, fact).model_copy(update={"reserved": paid.task.reserved - freed})
    return Decision(after, (*paid.facts, fact), entry=drawn.model_copy(update={"reserved": drawn.reserved - freed}))


def meter(task: Task, entry: Entry, usages: Sequence[Usage]) -> Decision:
    """Bill what an attempt without a result used, as far as possible from what was set aside for its step."""
    if not usages:
        return Decision(task)
    facts = tuple(_metered(entry, usage) for usage in usages)
    spent = total(usages)
    drawn = min(spent, entry.reserved, task.reserved)
    money = {"spent": task.spent + spent, "reserved": task.reserved - drawn}
    billed = entry.model_copy(update={"cost": entry.cost + spent, "reserved": entry.reserved - drawn})
    return Decision(evolve(task, *facts).model_copy(update=money), facts, entry=billed)
