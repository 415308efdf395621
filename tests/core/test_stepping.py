from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.core.completion import Usage
from shared.core.money import PRICES, cost
from shared.core.stepping import Call, fail, finish, meter, start
from shared.core.task import OVER, SETTLED, Progress, cancel, settle
from shared.core.workflow import DOCUMENT_REVIEW
from shared.errors import Permanent
from shared.events.step import StepStarted
from tests.core.given import failed, placed_task, reviewed

if TYPE_CHECKING:
    from shared.core.decision import Decision
    from shared.core.journal import Entry
    from shared.core.task import Task

MODEL = "extractive-1"
EXTRACT, CLASSIFY, SUMMARISE, POLICY = DOCUMENT_REVIEW.steps
RESERVE = CLASSIFY.reserve


def usage(micro_usd: int) -> Usage:
    """Return a usage that costs exactly this."""
    return Usage(MODEL, micro_usd * 1_000_000 // PRICES[MODEL].tokens_in, 0)


def call(step: str = "classify", document: int = 0, said: str = "a", *, fallback: bool = False) -> Call:
    """Return a request for a step; `said` makes it another one."""
    return Call(document, step, {"said": said}, fallback)


def begun(task: Task, asked: Call, entry: Entry | None = None) -> tuple[Task, Entry]:
    """Return the task and the entry after an attempt's start."""
    decision = start(task, DOCUMENT_REVIEW.step(asked.step), asked, entry)
    assert decision.entry is not None
    return decision.task, decision.entry


def told(decision: Decision) -> list[str]:
    """Return the types of what was said."""
    return [fact.type for fact in decision.facts]


def test_the_examples_cost_what_they_say() -> None:
    """The amounts that these tests work with are the ones the price table makes of them."""
    assert [cost(usage(amount)) for amount in (0, 1, RESERVE)] == [0, 1, RESERVE]


def test_a_start_sets_the_worst_case_aside() -> None:
    """The intent names its tool, its attempt and its money, and nothing is spent yet."""
    decision = start(placed_task(), CLASSIFY, call(), None)
    fact = decision.facts[0]
    assert isinstance(fact, StepStarted)
    assert (fact.tool, fact.attempt, fact.reserved_micro_usd) == ("classify", 1, RESERVE)
    assert (decision.task.reserved, decision.task.spent) == (RESERVE, 0)
    assert decision.task.progress == (Progress.RUNNING,)


def test_a_step_without_a_model_sets_nothing_aside() -> None:
    """Extracting costs nothing, so nothing is set aside for it."""
    task, entry = begun(placed_task(), call("extract"))
    assert task.reserved == entry.reserved == 0


def test_a_second_attempt_keeps_the_money_of_the_first() -> None:
    """Trying again counts the attempt and sets nothing aside a second time."""
    task, entry = begun(placed_task(), call())
    task, again = begun(task, call(), entry)
    assert (task.reserved, again.reserved, again.attempt) == (RESERVE, RESERVE, 2)


def test_a_changed_input_frees_what_the_old_one_held() -> None:
    """Another input is another call: the money of the abandoned one goes back when its own is set aside."""
    task, entry = begun(placed_task(), call())
    task, other = begun(task, call(said="b"), entry)
    assert (task.reserved, other.reserved) == (RESERVE, RESERVE)
    assert other.input_sha256 != entry.input_sha256


def test_a_fallback_frees_what_the_step_held_and_needs_no_money() -> None:
    """The stand-in tool gets no money, so it cannot pay for a model."""
    task, entry = begun(placed_task(), call("summarise"))
    task, spare = begun(task, call("summarise", fallback=True), entry)
    assert (spare.tool, spare.reserved, task.reserved) == ("excerpt", 0, 0)


def test_a_fallback_that_the_table_lacks_is_refused() -> None:
    """Asking for the stand-in of a step without one does not run the step itself without any money."""
    with pytest.raises(Permanent) as refused:
        start(placed_task(), CLASSIFY, call(fallback=True), None)
    assert refused.value.code == "no-fallback"


def test_a_step_that_was_given_up_gets_new_money_when_it_is_asked_for_again() -> None:
    """The last word freed the money, so that an execution which is repeated sets it aside anew."""
    task, entry = begun(placed_task(), call())
    given_up = fail(task, entry, "transient", "throttled", final=True)
    assert given_up.entry is not None
    assert given_up.task.reserved == 0
    task, again = begun(given_up.task, call(), given_up.entry)
    assert (task.reserved, again.reserved, again.attempt) == (RESERVE, RESERVE, 2)


def test_what_the_budget_cannot_bear_is_refused() -> None:
    """A step whose worst case does not fit beside what is spent and set aside never starts."""
    task, _ = begun(placed_task(2, budget=2 * RESERVE - 1), call(document=0))
    with pytest.raises(Permanent, match=f"has {RESERVE - 1} left of {2 * RESERVE - 1}") as refused:
        start(task, CLASSIFY, call(document=1), None)
    assert refused.value.code == "budget-used-up"


def test_the_last_micro_dollar_may_be_used() -> None:
    """A step that fits exactly is allowed."""
    task, _ = begun(placed_task(2, budget=2 * RESERVE), call(document=0))
    task, _ = begun(task, call(document=1))
    assert task.reserved == task.budget


def test_nothing_starts_for_a_task_that_is_over() -> None:
    """A cancelled task pays for nothing more."""
    with pytest.raises(Permanent) as refused:
        start(cancel(placed_task(), "ann", "a mistake").task, CLASSIFY, call(), None)
    assert refused.value.code == "task-over"


def test_a_result_settles_the_money() -> None:
    """The result, the usage and the rest of the money go down together, tool and usages before the completion."""
    task, entry = begun(placed_task(), call())
    decision = finish(task, entry, {"label": "MIT"}, [usage(5), usage(7)])
    assert told(decision) == ["tool.called", "usage.metered", "usage.metered", "step.completed"]
    assert (decision.task.spent, decision.task.reserved) == (12, 0)
    assert decision.entry is not None
    assert (decision.entry.output, decision.entry.cost, decision.entry.reserved) == ({"label": "MIT"}, 12, 0)


def test_a_failed_attempt_keeps_the_rest_of_its_money() -> None:
    """What a failed attempt paid is billed and drawn from its reserve; the next attempt has what is left."""
    task, entry = begun(placed_task(), call())
    decision = fail(task, entry, "transient", "throttled", final=False, usages=[usage(40)])
    assert told(decision) == ["usage.metered", "step.failed"]
    assert (decision.task.spent, decision.task.reserved) == (40, RESERVE - 40)
    task, again = begun(decision.task, call(), decision.entry)
    assert (again.reserved, again.cost, task.reserved) == (RESERVE - 40, 40, RESERVE - 40)
    done = finish(task, again, {}, [usage(2)])
    assert done.entry is not None
    assert (done.task.spent, done.task.reserved, done.entry.cost) == (42, 0, 42)


def test_a_failure_that_cost_nothing_leaves_the_entry_alone() -> None:
    """Throttling before anything was paid changes no money."""
    task, entry = begun(placed_task(), call())
    decision = fail(task, entry, "transient", "throttled", final=False)
    assert (decision.task.reserved, decision.task.spent, decision.entry) == (RESERVE, 0, None)


def test_the_last_failure_frees_the_money() -> None:
    """After the last word nothing stays set aside, and what was paid is billed."""
    task, entry = begun(placed_task(), call())
    decision = fail(task, entry, "bad-answer", "no such class", final=True, usages=[usage(30)])
    assert decision.entry is not None
    assert (decision.task.spent, decision.task.reserved) == (30, 0)
    assert (decision.entry.cost, decision.entry.reserved, decision.entry.done) == (30, 0, False)


@pytest.mark.parametrize("late", ["finish", "fail"])
def test_what_comes_after_the_end_is_billed_and_nothing_else(late: str) -> None:
    """A call in flight when its task is cancelled was paid for: the bill says so, the result is dropped."""
    task, entry = begun(placed_task(), call())
    over = cancel(task, "ann", "a mistake").task
    decision = (
        finish(over, entry, {"label": "MIT"}, [usage(9)])
        if late == "finish"
        else fail(over, entry, "bad-answer", "no such class", final=True, usages=[usage(9)])
    )
    assert told(decision) == ["usage.metered"]
    assert decision.entry is not None
    assert (decision.task.status, decision.task.spent, decision.task.reserved) == (over.status, 9, 0)
    assert not decision.entry.done


def test_a_late_result_that_cost_nothing_changes_nothing() -> None:
    """Without usage there is nothing to write about an attempt nobody waits for."""
    task, entry = begun(placed_task(), call("extract"))
    over = cancel(task, "ann", "a mistake").task
    assert finish(over, entry, {}, []).nothing
    assert meter(over, entry, []).nothing


def test_a_provider_that_counts_more_than_was_set_aside_is_believed() -> None:
    """Money that is spent is recorded as spent; what follows is refused once the budget is gone."""
    task, entry = begun(placed_task(2, budget=2 * RESERVE), call(document=0))
    task = finish(task, entry, {}, [usage(RESERVE + 1)]).task
    assert (task.spent, task.reserved) == (RESERVE + 1, 0)
    with pytest.raises(Permanent) as refused:
        start(task, CLASSIFY, call(document=1), None)
    assert refused.value.code == "budget-used-up"


class Spending(RuleBasedStateMachine):
    """Steps of several documents start, finish and fail in any order; usage stays within what was set aside."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[int, str], Entry] = {}
        self.billed = 0
        self.task = placed_task()

    @initialize(documents=st.integers(1, 3), slack=st.integers(0, 2 * RESERVE))
    def submitted(self, documents: int, slack: int) -> None:
        """Begin with a task that may spend its worst case and a little more."""
        self.task = placed_task(documents, budget=DOCUMENT_REVIEW.reserve * documents + slack)

    def write(self, decision: Decision) -> None:
        """Keep what was decided, as a store would."""
        self.task = decision.task
        self.billed += sum(
            getattr(fact, "cost_micro_usd", 0) for fact in decision.facts if fact.type == "usage.metered"
        )
        if decision.entry is not None:
            self.entries[decision.entry.document, decision.entry.step] = decision.entry

    def entry_of(self, data: Any) -> Entry:
        """Return any step that is begun and not done."""
        return data.draw(st.sampled_from([entry for entry in self.entries.values() if not entry.done]))  # type: ignore[no-any-return]

    @rule(
        number=st.integers(0, 2),
        step=st.sampled_from(["extract", "classify", "summarise"]),
        said=st.sampled_from("ab"),
        fallback=st.booleans(),
    )
    def starts(self, number: int, step: str, said: str, fallback: bool) -> None:  # noqa: FBT001
        """Start a step, for the first time, again, otherwise, or its fallback; the budget may refuse it."""
        number %= len(self.task.documents)
        if self.task.over or self.task.at(number) in SETTLED:
            return
        asked = call(step, number, said, fallback=fallback and step == "summarise")
        try:
            self.write(start(self.task, DOCUMENT_REVIEW.step(step), asked, self.entries.get((number, step))))
        except Permanent as refused:
            assert refused.code == "budget-used-up"  # noqa: PT017  any other refusal is a finding

    @precondition(lambda self: any(not entry.done for entry in self.entries.values()))
    @rule(data=st.data(), share=st.fractions(0, 1))
    def finishes(self, data: Any, share: Any) -> None:
        """Finish a step, also one of a document that was given up meanwhile."""
        entry = self.entry_of(data)
        self.write(finish(self.task, entry, {}, self.used(entry, share)))

    @precondition(lambda self: any(not entry.done for entry in self.entries.values()))
    @rule(data=st.data(), share=st.fractions(0, 1), final=st.booleans())
    def fails(self, data: Any, share: Any, final: bool) -> None:  # noqa: FBT001
        """Fail a step, for now or for good, after paying for something or nothing."""
        entry = self.entry_of(data)
        self.write(fail(self.task, entry, "transient", "throttled", final=final, usages=self.used(entry, share)))

    def used(self, entry: Entry, share: Any) -> list[Usage]:
        """Return a usage of a share of what is set aside."""
        return [usage(int(entry.reserved * share))] if entry.reserved and not self.task.over else []

    @rule(number=st.integers(0, 2), well=st.booleans())
    def settles(self, number: int, well: bool) -> None:  # noqa: FBT001
        """Settle a document, at whatever point of its run."""
        number %= len(self.task.documents)
        well = well and not self.task.over and self.task.at(number) is Progress.RUNNING
        self.write(settle(self.task, reviewed(number) if well else failed(number)))

    @precondition(lambda self: not self.task.over)
    @rule(really=st.integers(0, 9))
    def cancels(self, really: int) -> None:
        """Cancel, once in a while."""
        if really == 0:
            self.write(cancel(self.task, "ann", "a mistake"))

    @invariant()
    def the_budget_holds(self) -> None:
        """Neither amount is negative, and together they stay within the budget."""
        assert self.task.spent >= 0
        assert self.task.reserved >= 0
        assert self.task.spent + self.task.reserved <= self.task.budget

    @invariant()
    def the_books_agree(self) -> None:
        """The task's sums are those of its steps, and every micro-dollar that was spent was metered."""
        assert self.task.spent == self.billed == sum(entry.cost for entry in self.entries.values())
        if self.task.status not in OVER:
            assert self.task.reserved == sum(entry.reserved for entry in self.entries.values())

    @invariant()
    def nothing_stays_aside(self) -> None:
        """When every document is settled nothing is set aside any more."""
        if all(progress in SETTLED for progress in self.task.progress):
            assert self.task.reserved == 0


TestSpending = Spending.TestCase
TestSpending.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
