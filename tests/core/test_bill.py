"""The bill of a task under every order of steps, pauses, corrections and endings, told by its facts alone.

The machine reads the facts as a biller does: it keeps a book of lines, and that must be what task and entries say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from shared.core import stepping
from shared.core.stepping import Call, Charge, Spending, bill, fail, finish, give_way, start
from shared.core.task import (
    SETTLED,
    Progress,
    Status,
    Task,
    cancel,
    evolve,
    park,
    place,
    resume,
    settle,
)
from shared.core.workflow import DOCUMENT_REVIEW
from shared.errors import Permanent
from shared.events.usage import UsageCorrected, UsageMetered
from tests.core.given import NOON, failed, placed_task, reviewed, routed

if TYPE_CHECKING:
    from shared.core.decision import Decision
    from shared.core.journal import Entry
    from shared.events.envelope import Fact

STEPS = st.sampled_from(["extract", "classify", "summarise"])
CODES = st.sampled_from(["budget", "quota", "throttled", "preempted", "stopped"])
Key = tuple[int, str]


def at_work(entry: Entry) -> bool:
    """Return whether an attempt may be under way: the step is not done, and not every attempt gave way."""
    return not entry.done and entry.attempt > 0


class Runs(RuleBasedStateMachine):
    """Steps of several documents start, end, give way and are billed, while their task is parked and goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.task = placed_task()
        self.entries: dict[Key, Entry] = {}
        self.attempts: dict[Key, int] = {}
        self.charged: dict[Key, dict[str, Charge]] = {}
        self.book: dict[int, int] = {}
        self.resumed = 0
        self.facts: list[Fact] = []
        self.names = map("d{}".format, count())

    @initialize(documents=st.integers(1, 3))
    def submitted(self, documents: int) -> None:
        """Begin with a task that is placed."""
        self.task = placed_task(documents)

    def write(self, decision: Decision) -> None:
        """Keep what was decided, as a store would, and enter the facts in the book, as a biller would."""
        self.task = decision.task
        self.facts.extend(decision.facts)
        for fact in decision.facts:
            if isinstance(fact, UsageMetered):
                assert fact.line not in self.book
                self.book[fact.line] = fact.cost_micro_usd
            elif isinstance(fact, UsageCorrected):
                assert self.book[fact.line] == fact.was_micro_usd
                self.book[fact.line] = fact.cost_micro_usd
        if decision.entry is not None:
            self.entries[decision.entry.document, decision.entry.step] = decision.entry

    def spending(self, data: Any, key: Key) -> Spending:
        """Return new charges, repeated ones and corrected ones of a step, in any number and order."""
        known = self.charged.setdefault(key, {})
        charges = []
        for kind in data.draw(st.lists(st.sampled_from(["new", "again", "corrected"]), max_size=3), label="charges"):
            cost = data.draw(st.integers(0, 500), label="cost")
            if kind == "new" or not known:
                charge = Charge(next(self.names), "eu-2", "extractive-1", 400, 20, cost, "2026-11")
            else:
                charge = data.draw(st.sampled_from(list(known.values())), label="draw")
                charge = charge if kind == "again" else replace(charge, cost=cost)
            known[charge.draw] = charge
            charges.append(charge)
        notes = (routed(key[0]),) if data.draw(st.booleans(), label="noted") else ()
        return Spending(notes, tuple(charges))

    def begun(self, data: Any, *, done: bool = False) -> Entry:
        """Return any step that somebody works on; also one that is done or gave way, if that is wanted."""
        found = [entry for entry in self.entries.values() if done or at_work(entry)]
        return data.draw(st.sampled_from(found))  # type: ignore[no-any-return]

    @rule(number=st.integers(0, 2), step=STEPS, said=st.sampled_from("ab"), fallback=st.booleans())
    def starts(self, number: int, step: str, said: str, fallback: bool) -> None:  # noqa: FBT001
        """Start a step, for the first time, again, otherwise, or its fallback; only a task that runs lets it."""
        number %= len(self.task.documents)
        if self.task.over or self.task.at(number) in SETTLED:
            return
        asked = Call(number, step, {"said": said}, fallback and step == "summarise")
        try:
            decision = start(self.task, DOCUMENT_REVIEW.step(step), asked, self.entries.get((number, step)), most=341)
        except Permanent as refused:
            assert refused.code == "task-parked"  # noqa: PT017  any other refusal is a finding
            assert self.task.status in {Status.PARKED, Status.ADMITTED}
        else:
            self.attempts[number, step] = self.attempts.get((number, step), 0) + 1
            self.write(decision)

    @precondition(lambda self: any(map(at_work, self.entries.values())))
    @rule(data=st.data())
    def finishes(self, data: Any) -> None:
        """Finish a step, also one of a document that was given up meanwhile, or of a task that waits or is over."""
        entry = self.begun(data)
        self.write(finish(self.task, entry, {}, self.spending(data, (entry.document, entry.step))))

    @precondition(lambda self: any(map(at_work, self.entries.values())))
    @rule(data=st.data(), final=st.booleans())
    def fails(self, data: Any, final: bool) -> None:  # noqa: FBT001
        """Fail a step, for now or for good, after paying for something or nothing."""
        entry = self.begun(data)
        spending = self.spending(data, (entry.document, entry.step))
        self.write(fail(self.task, entry, "transient", "throttled", final=final, spending=spending))

    @precondition(lambda self: any(map(at_work, self.entries.values())))
    @rule(data=st.data())
    def gives_way(self, data: Any) -> None:
        """Give a step's attempt back."""
        entry = self.begun(data)
        key = (entry.document, entry.step)
        settled = self.task.over or self.task.at(entry.document) in SETTLED
        self.write(give_way(self.task, entry, self.spending(data, key)))
        self.attempts[key] -= not settled

    @precondition(lambda self: self.entries)
    @rule(data=st.data())
    def bills(self, data: Any) -> None:
        """Bill what is found late, of a step that is done, too; the same once more changes nothing but the notes."""
        entry = self.begun(data, done=True)
        key = (entry.document, entry.step)
        spending = self.spending(data, key)
        self.write(stepping.bill(self.task, entry, spending))
        again = Spending(charges=tuple({charge.draw: charge for charge in spending.charges}.values()))
        assert stepping.bill(self.task, self.entries[key], again).nothing

    @rule(number=st.integers(0, 2), well=st.booleans())
    def settles(self, number: int, well: bool) -> None:  # noqa: FBT001
        """Settle a document, at whatever point of its run and its task's."""
        number %= len(self.task.documents)
        well = well and not self.task.over and self.task.at(number) is Progress.RUNNING
        self.write(settle(self.task, reviewed(number) if well else failed(number)))

    @precondition(lambda self: not self.task.over)
    @rule(really=st.integers(0, 9))
    def cancels(self, really: int) -> None:
        """Cancel, once in a while."""
        if really == 0:
            self.write(cancel(self.task, "ann", "a mistake"))

    @rule(code=CODES)
    def parks(self, code: Any) -> None:
        """Park the task, whatever it does."""
        self.write(park(self.task, code, "it has to wait", NOON))

    @rule(more=st.integers(0, 100), at_once=st.booleans())
    def resumes(self, more: int, at_once: bool) -> None:  # noqa: FBT001
        """Let the task go on, and place its next run at once or later."""
        decision = resume(self.task, "again", more=more)
        self.resumed += bool(decision.facts)
        self.write(decision)
        if at_once:
            self.write(place(self.task))

    @invariant()
    def the_bill_has_no_gap(self) -> None:
        """The lines that were told are numbered from one, and the task knows how many there are."""
        assert set(self.book) == set(range(1, self.task.lines + 1))

    @invariant()
    def the_books_agree(self) -> None:
        """What the task spent is what its entries cost, line by line, and what the facts add up to."""
        kept = {line.line: line.cost for entry in self.entries.values() for line in entry.billed.values()}
        assert kept == self.book
        assert sum(len(entry.billed) for entry in self.entries.values()) == len(self.book)
        assert self.task.spent == sum(self.book.values()) == sum(entry.cost for entry in self.entries.values())

    @invariant()
    def every_draw_is_billed_at_its_last_amount(self) -> None:
        """No charge that was reported is missing, none is there twice, and a correction has the last word."""
        for key, charges in self.charged.items():
            billed = {draw: line.cost for draw, line in self.entries[key].billed.items()}
            assert billed == {draw: charge.cost for draw, charge in charges.items()}

    @invariant()
    def attempts_that_gave_way_are_not_counted(self) -> None:
        """An entry's attempt is the number of its starts that did not give way."""
        assert {key: entry.attempt for key, entry in self.entries.items()} == self.attempts

    @invariant()
    def a_task_waits_or_it_does_not(self) -> None:
        """Only a parked task says what it waits for, and runs are counted by resumptions."""
        assert (self.task.status is Status.PARKED) == (self.task.parked_at is not None)
        assert (self.task.parked_for is None) == (self.task.parked_at is None)
        assert self.task.run == 1 + self.resumed

    @invariant()
    def the_facts_tell_the_task(self) -> None:
        """Status and progress can be told from the facts alone."""
        fresh = placed_task(len(self.task.documents))
        again = evolve(fresh, *self.facts)
        assert (again.status, again.progress) == (self.task.status, self.task.progress)


QUICK = settings(max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TestRuns = Runs.TestCase
TestRuns.settings = QUICK

Bill = Callable[[Task, "Entry", Spending], "Decision"]


def forgetful(task: Task, entry: Entry, spending: Spending) -> Decision:
    """Plant: what is billed already is not known."""
    return bill(task, entry.model_copy(update={"billed": {}}), spending)


def stubborn(task: Task, entry: Entry, spending: Spending) -> Decision:
    """Plant: a line that is billed is never corrected."""
    news = tuple(charge for charge in spending.charges if charge.draw not in entry.billed)
    return bill(task, entry, replace(spending, charges=news))


def gappy(task: Task, entry: Entry, spending: Spending) -> Decision:
    """Plant: a line number is drawn before it is known whether there is a line."""
    return bill(task.model_copy(update={"lines": task.lines + 1}), entry, spending)


def deaf(task: Task, entry: Entry, spending: Spending) -> Decision:
    """Plant: nobody pays after the end."""
    return bill(task, entry, Spending() if task.over else spending)


def counting(task: Task, entry: Entry, spending: Spending) -> Decision:
    """Plant: a correction is added instead of replacing its line's amount."""
    decision = bill(task, entry, spending)
    extra = sum(fact.was_micro_usd for fact in decision.facts if isinstance(fact, UsageCorrected))
    return replace(decision, task=decision.task.model_copy(update={"spent": decision.task.spent + extra}))


@pytest.mark.parametrize("plant", [forgetful, stubborn, gappy, deaf, counting])
def test_a_planted_fault_is_found(plant: Bill, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine fails for each way to get the bill wrong."""
    monkeypatch.setattr(stepping, "bill", plant)
    unshrunk = settings(QUICK, database=None, derandomize=True, phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises((AssertionError, KeyError)):
        run_state_machine_as_test(Runs, settings=unshrunk)
