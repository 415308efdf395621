from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from shared.core.journal import Line
from shared.core.stepping import NOTHING, Call, Charge, Out, Spending, bill, fail, finish, give_way, start
from shared.core.task import Progress, Status, cancel, park, place, resume, settle
from shared.core.workflow import DOCUMENT_REVIEW
from shared.errors import Permanent
from shared.events.step import StepCompleted, StepStarted
from shared.events.usage import UsageCorrected, UsageMetered
from tests.core.given import NOON, failed, placed_task, reviewed, routed

if TYPE_CHECKING:
    from shared.core.decision import Decision
    from shared.core.journal import Entry
    from shared.core.task import Task

EXTRACT, CLASSIFY, SUMMARISE, POLICY = DOCUMENT_REVIEW.steps
MOST = 341


def charge(draw: str = "d1", cost: int = 9, **more: Any) -> Charge:
    """Return what a call cost."""
    return Charge(
        draw=draw,
        deployment="eu-2",
        model="extractive-1",
        tokens_in=400,
        tokens_out=20,
        cost=cost,
        price_version="2026-11",
        **more,
    )


def paid(*charges: Charge) -> Spending:
    """Return an attempt's spending, with no word about how its models were chosen."""
    return Spending(charges=charges)


def call(step: str = "classify", document: int = 0, said: str = "a", *, fallback: bool = False) -> Call:
    """Return a request for a step; `said` makes it another one."""
    return Call(document, step, {"said": said}, fallback)


def begun(task: Task, asked: Call, entry: Entry | None = None) -> tuple[Task, Entry]:
    """Return the task and the entry after an attempt's start."""
    return written(start(task, DOCUMENT_REVIEW.step(asked.step), asked, entry, most=MOST))


def written(decision: Decision) -> tuple[Task, Entry]:
    """Return the task and the entry that a decision wants stored."""
    assert decision.entry is not None
    return decision.task, decision.entry


def told(decision: Decision) -> list[str]:
    """Return the types of what was said."""
    return [fact.type for fact in decision.facts]


def lines(decision: Decision) -> list[tuple[int, int]]:
    """Return number and amount of each new line of the bill."""
    return [(fact.line, fact.cost_micro_usd) for fact in decision.facts if isinstance(fact, UsageMetered)]


def paused(task: Task) -> Task:
    """Return the task in its next run."""
    return place(resume(park(task, "throttled", "too many calls", NOON).task, "again").task).task


def test_a_start_writes_the_intent() -> None:
    """The intent names its tool, its attempt and the most it may cost, and nothing is spent yet."""
    decision = start(placed_task(), CLASSIFY, call(), None, most=MOST)
    (fact,) = decision.facts
    assert isinstance(fact, StepStarted)
    assert (fact.tool, fact.attempt, fact.reserved_micro_usd) == ("classify", 1, MOST)
    task, entry = written(decision)
    assert (task.status, task.progress) == (Status.RUNNING, (Progress.RUNNING,))
    assert (task.spent, task.lines, entry.cost, entry.billed, entry.done) == (0, 0, 0, {}, False)


@pytest.mark.parametrize("said", ["a", "b"])
def test_a_second_attempt_keeps_the_bill_of_the_first(said: str) -> None:
    """Trying again, with the same input or another, counts the attempt and keeps what was billed before."""
    task, entry = begun(placed_task(), call())
    task, entry = written(fail(task, entry, "transient", "throttled", final=False, spending=paid(charge())))
    _, again = begun(task, call(said=said), entry)
    assert (again.attempt, again.cost, again.billed) == (2, 9, {"d1": Line(line=1, cost=9, deployment="eu-2")})
    assert (again.input_sha256 == entry.input_sha256) is (said == "a")


def test_a_fallback_is_done_by_the_stand_in() -> None:
    """The entry tells that the answer is not the step's own."""
    task, entry = begun(placed_task(), call("summarise"))
    _, spare = begun(task, call("summarise", fallback=True), entry)
    assert (spare.tool, spare.attempt) == ("excerpt", 2)


def test_a_fallback_that_the_table_lacks_is_refused() -> None:
    """Asking for the stand-in of a step without one does not run the step itself."""
    with pytest.raises(Permanent) as refused:
        start(placed_task(), CLASSIFY, call(fallback=True), None, most=0)
    assert refused.value.code == "no-fallback"


def test_nothing_starts_for_a_task_that_is_over() -> None:
    """A cancelled task pays for nothing more."""
    with pytest.raises(Permanent) as refused:
        start(cancel(placed_task(), "ann", "a mistake").task, CLASSIFY, call(), None, most=MOST)
    assert refused.value.code == "task-over"


def test_nothing_starts_for_a_task_that_waits() -> None:
    """A parked task pays for nothing, nor does one that is resumed and not placed; its next run does."""
    task, entry = begun(placed_task(), call())
    waits = park(task, "budget", "used up", NOON).task
    for idle in (waits, resume(waits, "granted").task):
        with pytest.raises(Permanent) as refused:
            start(idle, CLASSIFY, call(), entry, most=MOST)
        assert refused.value.code == "task-parked"
    assert begun(paused(task), call(), entry)[0].status is Status.RUNNING


def test_a_result_and_its_bill_go_down_together() -> None:
    """Why a model was asked, what it cost and that its tool was called come before the completion."""
    task, entry = begun(placed_task(), call())
    spending = paid(charge("d1", 5, routed=(routed(),)), charge("d2", 7))
    decision = finish(task, entry, {"label": "MIT"}, spending)
    assert told(decision) == [
        "model.routed",
        "usage.metered",
        "usage.metered",
        "tool.called",
        "step.completed",
    ]
    after, done = written(decision)
    assert (after.spent, after.lines, done.cost, done.output) == (12, 2, 12, {"label": "MIT"})
    assert done.billed == {"d1": Line(line=1, cost=5, deployment="eu-2"), "d2": Line(line=2, cost=7, deployment="eu-2")}
    assert isinstance(decision.facts[-1], StepCompleted)
    assert decision.facts[-1].cost_micro_usd == 12


def test_a_line_tells_what_was_paid_for() -> None:
    """A line of the bill says which deployment was paid, at which price, and for what."""
    task, entry = begun(placed_task(), call())
    (fact,) = bill(task, entry, paid(charge(outcome="hedged"))).facts
    assert isinstance(fact, UsageMetered)
    assert (fact.document, fact.step, fact.line, fact.cost_micro_usd) == (0, "classify", 1, 9)
    assert (fact.model, fact.tokens_in, fact.tokens_out) == ("extractive-1", 400, 20)
    assert (fact.deployment, fact.price_version, fact.outcome) == ("eu-2", "2026-11", "hedged")


def test_a_call_is_told_once_with_its_first_line() -> None:
    """Whoever bills a draw tells why its call was made, where, and on which day's budget; a correction does not."""
    task, entry = begun(placed_task(), call())
    why = routed().model_copy(update={"cloud": "aws", "call": "d1"})
    lost = charge(cost=MOST, outcome="unknown", day="2026-11-21", routed=(why,))
    decision = bill(task, entry, paid(lost))
    told_of, line = decision.facts
    assert told_of == why
    assert isinstance(line, UsageMetered)
    assert (line.call, line.cloud, line.day) == ("d1", "aws", "2026-11-21")
    after, billed = written(decision)
    (corrected,) = bill(after, billed, paid(replace(lost, cost=9, outcome="answered"))).facts
    assert isinstance(corrected, UsageCorrected)
    assert (corrected.call, corrected.cloud, corrected.day) == ("d1", "aws", "2026-11-21")


def test_a_call_that_is_out_is_told_before_it_is_billed() -> None:
    """Why a slow call was made is told with its step; its price comes when it is back, and its reason not again."""
    task, entry = begun(placed_task(), call())
    decision = finish(task, entry, {}, Spending(out=(Out("d2", (routed(),)),)))
    assert told(decision) == ["model.routed", "tool.called", "step.completed"]
    assert (decision.task.lines, decision.task.spent) == (0, 0)
    late_one = bill(*written(decision), paid(charge("d2", routed=(routed(),))))
    assert (told(late_one), lines(late_one)) == (["usage.metered"], [(1, 9)])


def test_a_failed_attempt_is_billed() -> None:
    """What a failed attempt paid is on the bill; the one that succeeds adds its own."""
    task, entry = begun(placed_task(), call())
    decision = fail(task, entry, "transient", "throttled", final=False, spending=paid(charge("d1", 40)))
    assert told(decision) == ["usage.metered", "step.failed"]
    task, again = begun(decision.task, call(), decision.entry)
    after, done = written(finish(task, again, {}, paid(charge("d2", 2))))
    assert (after.spent, after.lines, done.cost) == (42, 2, 42)


def test_a_failure_that_cost_nothing_leaves_the_entry_alone() -> None:
    """Throttling before anything was paid changes no money."""
    task, entry = begun(placed_task(), call())
    decision = fail(task, entry, "transient", "throttled", final=True)
    assert told(decision) == ["step.failed"]
    assert (decision.task.spent, decision.task.lines, decision.entry) == (0, 0, None)


@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_draw_is_billed_once(times: int) -> None:
    """However often the same charge is reported, at once or again, it is one line of the bill."""
    task, entry = begun(placed_task(), call())
    task, entry = written(bill(task, entry, paid(*[charge()] * times)))
    assert (task.spent, task.lines, entry.cost) == (9, 1, 9)
    for _ in range(times):
        assert bill(task, entry, paid(charge())).nothing
    done, billed = written(finish(task, entry, {}, paid(charge())))
    assert (done.spent, done.lines, billed.cost, billed.billed) == (9, 1, 9, entry.billed)


@pytest.mark.parametrize("really", [0, 9, 400])
def test_a_correction_replaces_the_amount_of_its_line(really: int) -> None:
    """A call of unknown end is billed at its worst; what it really cost, less or more, takes the line's place."""
    task, entry = begun(placed_task(), call())
    task, entry = written(bill(task, entry, paid(charge("d1", 5), charge("d2", MOST, outcome="unknown"))))
    decision = bill(task, entry, paid(charge("d2", really)))
    (fact,) = decision.facts
    assert isinstance(fact, UsageCorrected)
    assert (fact.document, fact.step, fact.line) == (0, "classify", 2)
    assert (fact.was_micro_usd, fact.cost_micro_usd) == (MOST, really)
    after, billed = written(decision)
    assert (after.spent, after.lines, billed.cost) == (5 + really, 2, 5 + really)
    assert billed.billed["d2"] == Line(line=2, cost=really, deployment="eu-2")
    assert bill(after, billed, paid(charge("d2", really))).nothing


@pytest.mark.parametrize(("really", "new"), [(9, 0), (9, 20), (400, 20)])
def test_a_result_that_comes_with_a_correction_costs_what_its_calls_did(really: int, new: int) -> None:
    """A step that finds the answer of an earlier call completes for that call's price, however it was billed before."""
    task, entry = begun(placed_task(), call())
    task, entry = written(give_way(task, entry, paid(charge("d1", MOST, outcome="unknown"))))
    task, entry = begun(paused(task), call(), entry)
    decision = finish(task, entry, {}, paid(charge("d1", really), *([charge("d2", new)] if new else [])))
    assert isinstance(decision.facts[-1], StepCompleted)
    assert decision.facts[-1].cost_micro_usd == decision.task.spent == really + new


def test_lines_are_counted_through_the_whole_task() -> None:
    """Two documents' steps share one bill, whose lines have no gap and no repeat."""
    task = placed_task(2)
    task, first = begun(task, call(document=0))
    task, second = begun(task, call(document=1))
    numbers = []
    for draw, entry in (("a", first), ("b", second)):
        decision = finish(task, entry, {}, paid(charge(f"{draw}1"), charge(f"{draw}2")))
        numbers += [number for number, _ in lines(decision)]
        task = decision.task
    assert numbers == [1, 2, 3, 4]
    assert task.lines == 4


def test_giving_way_takes_the_attempt_back() -> None:
    """Nothing failed: the next run's attempt has the same number, and what this one paid stays billed."""
    task, entry = begun(placed_task(), call())
    task, entry = begun(task, call(), entry)
    decision = give_way(task, entry, paid(charge("d1", 7)))
    assert told(decision) == ["usage.metered"]
    task, back = written(decision)
    assert (back.attempt, back.cost, task.spent, task.progress) == (1, 7, 7, (Progress.RUNNING,))
    _, again = begun(paused(task), call(), back)
    assert (again.attempt, again.billed) == (2, {"d1": Line(line=1, cost=7, deployment="eu-2")})


def test_giving_way_before_anything_was_paid_says_nothing() -> None:
    """An attempt that could not even begin leaves its number to the next one, and no fact."""
    task, entry = begun(placed_task(), call())
    decision = give_way(task, entry)
    assert decision.facts == ()
    assert decision.task == task
    assert written(decision)[1].attempt == 0


def test_a_parked_task_hears_of_what_was_under_way() -> None:
    """A call in flight when its task is parked was paid for and is worth its money: bill and result are kept."""
    task, entry = begun(placed_task(), call())
    waits = park(task, "preempted", "urgent work waits", NOON).task
    decision = finish(waits, entry, {"label": "MIT"}, paid(charge()))
    after, done = written(decision)
    assert (after.status, after.spent, after.parked_for, done.done) == (Status.PARKED, 9, "preempted", True)
    failing = fail(waits, entry, "transient", "throttled", final=False, spending=paid(charge()))
    assert (failing.task.status, told(failing)) == (Status.PARKED, ["usage.metered", "step.failed"])


def late(how: str, task: Task, entry: Entry, spending: Spending = NOTHING) -> Decision:
    """Return what becomes of an attempt that ends that way."""
    if how == "finish":
        return finish(task, entry, {"label": "MIT"}, spending)
    if how == "give way":
        return give_way(task, entry, spending)
    return fail(task, entry, "bad-answer", "no such class", final=True, spending=spending)


@pytest.mark.parametrize("how", ["finish", "fail", "give way"])
def test_what_comes_after_the_end_is_billed_and_nothing_else(how: str) -> None:
    """A call in flight when its task is cancelled was paid for: the bill says so, the result is dropped."""
    task, entry = begun(placed_task(), call())
    over = cancel(task, "ann", "a mistake").task
    decision = late(how, over, entry, paid(charge(routed=(routed(),))))
    assert told(decision) == ["model.routed", "usage.metered"]
    after, billed = written(decision)
    assert (after.status, after.spent, after.progress) == (Status.CANCELLED, 9, over.progress)
    assert (billed.done, billed.attempt, billed.cost) == (False, 1, 9)


@pytest.mark.parametrize("how", ["finish", "fail", "give way"])
def test_a_late_result_that_cost_nothing_changes_nothing(how: str) -> None:
    """Without a charge there is nothing to write about an attempt nobody waits for."""
    task, entry = begun(placed_task(2), call())
    assert late(how, cancel(task, "ann", "a mistake").task, entry).nothing
    assert late(how, settle(task, failed(0)).task, entry).nothing


def test_a_late_correction_is_taken_after_the_end() -> None:
    """What a call of unknown end really cost may be found when its task is long over."""
    task, entry = begun(placed_task(), call())
    task, entry = written(bill(task, entry, paid(charge("d1", MOST, outcome="unknown"))))
    over = settle(task, reviewed(0)).task
    after, billed = written(bill(over, entry, paid(charge("d1", 9))))
    assert (after.status, after.spent, billed.cost) == (Status.COMPLETED, 9, 9)


def test_nothing_to_bill_is_nothing() -> None:
    """An attempt that used no model leaves the task and its entry alone."""
    task, entry = begun(placed_task(), call("extract"))
    assert bill(task, entry, NOTHING).nothing
    decision = finish(task, entry, {})
    assert told(decision) == ["tool.called", "step.completed"]
    assert (decision.task.spent, decision.task.lines) == (0, 0)


@pytest.mark.parametrize("status", [Status.ADMITTED, Status.PARKED, Status.CANCELLED])
def test_choosing_without_paying_is_told(status: Status) -> None:
    """A choice of a model that led to no charge is on record, whatever the task does, and changes no money."""
    task, entry = begun(placed_task(), call())
    decision = bill(task.model_copy(update={"status": status}), entry, Spending(notes=(routed(),)))
    assert told(decision) == ["model.routed"]
    assert (decision.task.spent, decision.task.lines, decision.entry) == (0, 0, entry)


@pytest.mark.parametrize("cost", [0, 1, 10**9])
def test_a_charge_is_believed(cost: int) -> None:
    """Money that is spent is recorded as spent, a free call has its line too, and no budget cuts the bill."""
    task, entry = begun(placed_task(budget=5), call())
    decision = bill(task, entry, paid(replace(charge(), cost=cost)))
    assert lines(decision) == [(1, cost)]
    assert decision.task.spent == cost


def test_the_examples_stay_what_they_are() -> None:
    """Steps of the workflow that these tests name are there, in this order."""
    assert [step.name for step in (EXTRACT, CLASSIFY, SUMMARISE, POLICY)] == [
        "extract",
        "classify",
        "summarise",
        "policy",
    ]
