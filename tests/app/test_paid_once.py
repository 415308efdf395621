"""The process dies at any access of a step that calls a model: nothing runs afterwards, no handler of an exception.

What the next process finds decides: a call whose end is known is never paid again, one whose end is not is charged at
its worst, and the policy says what becomes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from local.faults.process import Death, behind
from local.sqlite.database import Database
from local.wiring import TENANT
from shared.app import ledger
from shared.app.commit import relay
from shared.app.leases import charged
from shared.app.parking import resume_due
from shared.app.paying import LeasePurse
from shared.app.tasks import cancel, dispatch
from shared.core.completion import NoAnswer, Prompt
from shared.core.policy import Policy
from shared.errors import Permanent
from shared.events.routing import ModelRouted
from tests.app.faults import Rivalry
from tests.app.world import OWNER, SOURCE, World
from tests.core.given import routed

if TYPE_CHECKING:
    from shared.core.policy import OnUnknown
    from shared.core.task import Task
    from shared.ports import Ports
    from tests.app.faults import Moment

PORTS = ("tasks", "outbox", "bus", "journal", "approvals", "ledger", "models", "cache")
DRAWN, CALLED, SETTLED = "ledger.post 1", "models.complete 1", "ledger.post 2"


@dataclass
class Dying:
    """Counts a process's accesses; at one of them, before its effect or after it, the process dies."""

    at: int
    moment: Moment
    seen: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    dead: bool = False

    def around(self, name: str, work: Callable[[], Any]) -> Any:
        """Do the work, unless the process is dead or dies of it."""
        if self.dead:
            raise Death(f"{name} by a dead process")
        self.seen.append(f"{name} {sum(one.split()[0] == name for one in self.seen) + 1}")
        mine = len(self.seen) == self.at
        if mine and self.moment == "before":
            self._die()
        done = work()
        self.done.append(self.seen[-1])
        if mine:
            self._die()
        return done

    def _die(self) -> None:
        self.dead = True
        raise Death(self.seen[-1])

    def on(self, ports: Ports) -> Ports:
        """Return the ports as the process has them."""
        return behind(ports, self._access, PORTS)

    def _access(self, name: str, work: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        return self.around(name, lambda: work(*given, **named))


@dataclass
class Story:
    """A task whose classification began in a process that died, and what the next processes find."""

    world: World
    task: Task
    results: dict[str, Any]
    process: Dying

    @property
    def end(self) -> str:
        """What was known of the call when the process died: not made, not known, or known."""
        if DRAWN not in self.process.done:
            return "not made"
        return "known" if SETTLED in self.process.done else "not known"

    def classified(self) -> dict[str, Any]:
        """Ask for the step as the next process does."""
        return self.world.step(self.task, "classify", self.results)

    @property
    def calls(self) -> int:
        """How often a model was asked."""
        return len(self.world.models.calls)

    def bill(self) -> list[int]:
        """Return the lines of the bill as they were corrected; they count from 1, and add up to the ledger."""
        lines: dict[int, int] = {}
        for event in self.world.published(self.task.id):
            if event.type in {"usage.metered", "usage.corrected"}:
                lines[event.data.line] = event.data.cost_micro_usd
        stored, lease = self.world.load(self.task), self.world.lease(self.task)
        assert list(lines) == list(range(1, stored.lines + 1))
        assert sum(lines.values()) == stored.spent == charged(lease)
        assert (lease.held == 0 or lease.state == "closing", lease.overrun) == (True, 0)
        return list(lines.values())

    def told(self, kind: str) -> list[Any]:
        """Return what was said of that kind."""
        return [event.data for event in self.world.published(self.task.id) if event.type == kind]


def lived(at: int, moment: Moment, on_unknown: OnUnknown) -> tuple[Story, Database]:
    """Let a process die at that access of a classification."""
    database = Database(None)
    world = World(database)
    policy = world.ports.policy().model_copy(update={"on_unknown": on_unknown})
    world.ports = sound = replace(world.ports, policy=lambda: policy)
    task = world.placed()
    results = {"extract": world.step(task, "extract", {})}
    process = Dying(at, moment)
    world.ports = process.on(sound)
    try:
        world.step(task, "classify", results)
    except Death:
        assert process.dead
    world.ports = sound
    return Story(world, task, results, process), database


def deaths(on_unknown: OnUnknown) -> Iterator[Story]:
    """Yield the story of each death there can be: at each access, before it and after it."""
    for moment in ("before", "after"):
        for at in count(1):
            story, database = lived(at, moment, on_unknown)
            try:
                if not story.process.dead:
                    break
                yield story
            finally:
                database.close()


def test_the_deaths_are_those_that_matter() -> None:
    """Processes die before the draw, between draw and call, call and settling, settling and commit, and after it."""
    stories = list(deaths("pay-again"))
    died = {(story.process.seen[-1], story.process.moment) for story in stories}
    moments = {(DRAWN, "before"), (DRAWN, "after"), (CALLED, "before"), (CALLED, "after"), (SETTLED, "before")}
    assert moments | {(SETTLED, "after"), ("tasks.commit 2", "before"), ("tasks.commit 2", "after")} <= died
    assert {story.end for story in stories} == {"not made", "not known", "known"}
    assert len(stories) > 30


def test_only_a_call_of_unknown_end_is_paid_again() -> None:
    """The retry ends well whatever died; it makes a second call only after one that nobody knows the end of."""
    for story in deaths("pay-again"):
        made = story.calls
        assert story.classified()["label"] == "Pass"
        assert story.classified()["label"] == "Pass"
        bill = story.bill()
        if story.end == "not known":
            worst = story.told("model.routed")[-1].worst_micro_usd
            assert (story.calls, len(bill)) == (made + 1, 2)
            assert bill[0] == worst > bill[1]
            assert [used.outcome for used in story.told("usage.metered")] == ["unknown", "answered"]
        else:
            assert (story.calls, len(bill)) == (1, 1)
        saved = story.told("usage.saved")
        assert [one.by for one in saved] in ([], ["journal"])
        assert [one.saved_micro_usd for one in saved] in ([], bill)
        if story.end == "known" and "tasks.commit 2" not in story.process.done:
            assert saved


def test_each_call_is_told_with_its_own_money() -> None:
    """Whoever tells of a call says when it was made and what became of that very call, the dead process's, too."""
    for story in deaths("pay-again"):
        died = story.world.clock.now()
        story.world.clock.wait(60)
        story.classified()
        routed = {one.call: one for one in story.told("model.routed")}
        lines = {one.call: one for one in story.told("usage.metered")}  # some are published twice
        assert sorted(routed) == sorted(lines)
        for line in lines.values():
            assert routed[line.call].worst_micro_usd >= line.cost_micro_usd
            assert (line.outcome == "unknown") <= (routed[line.call].at == died)
        if story.end == "not known":
            assert [(one.at - died).seconds for one in routed.values()] == [0, 60]
            assert [one.kind for one in routed.values()] == ["first", "retry"]
            lost, again = routed.values()
            assert lost.left_micro_usd - again.left_micro_usd == again.worst_micro_usd


def test_a_policy_that_fails_pays_once_and_fails_the_step() -> None:
    """A call of unknown end is charged at its worst and not made again; the step fails for good and says why."""
    for story in deaths("fail"):
        made = story.calls
        if story.end != "not known":
            assert story.classified()["label"] == "Pass"
            assert story.bill()
            continue
        with pytest.raises(Permanent) as refused:
            story.classified()
        assert (refused.value.code, story.calls) == ("unknown-outcome", made)
        (failed,) = story.told("step.failed")
        assert (failed.final, failed.code) == (True, "unknown-outcome")
        assert "nobody knows how it ended" in failed.reason
        (worst,) = story.bill()
        assert worst > 0


def test_a_policy_that_asks_leaves_it_to_a_person() -> None:
    """The task waits, charged at the worst case; with a person's consent its next run makes the call again."""
    for story in deaths("ask"):
        made = story.calls
        if story.end != "not known":
            assert story.classified()["label"] == "Pass"
            assert story.bill()
            continue
        with pytest.raises(Permanent) as stopped:
            story.classified()
        assert (stopped.value.code, story.calls) == ("task-parked", made)
        waits = story.world.load(story.task)
        assert (waits.status, waits.parked_for) == ("parked", "budget")
        assert len(story.bill()) == 1
        (asked,) = story.world.ports.approvals.pending(TENANT, limit=2)
        assert (asked.about, "nobody knows how it ended" in asked.reason) == ("budget", True)
        story.world.vote(asked, by=OWNER)
        assert resume_due(story.world.ports, source=SOURCE) == 1
        dispatch(story.world.ports, story.world.published(story.task.id)[-1], source=SOURCE)
        assert story.classified()["label"] == "Pass"
        assert (story.calls, len(story.bill())) == (made + 1, 2)


def test_nothing_is_left_over_when_nobody_comes_back() -> None:
    """A task that is cancelled after a death is billed for what its lease was charged, and holds nothing."""
    for story in deaths("pay-again"):
        cancel(story.world.ports, TENANT, story.task.id, "ann", "enough", source=SOURCE)
        relay(story.world.ports)
        bill = story.bill()
        assert len(bill) == (DRAWN in story.process.done)
        account = story.world.ports.ledger.account(TENANT)
        assert account.runs == 0
        assert {(book.settled, book.open) for book in account.books.values()} == {(sum(bill), 0)}


def cheaper(policy: Policy) -> Policy:
    """Return the policy at lower prices, so that budgets still do."""
    candidates = {
        name: one.model_copy(update={"tokens_out": one.tokens_out // 2}) for name, one in policy.candidates.items()
    }
    said = {name: getattr(policy, name) for name in Policy.model_fields}
    return Policy.model_validate(said | {"candidates": candidates})


def test_a_call_is_billed_at_the_prices_it_was_made_at() -> None:
    """Prices that change between a call and its bill are not the ones that the bill names; a later call has those."""
    seen = set()
    for story in deaths("pay-again"):
        policy = story.world.ports.policy()
        other = cheaper(policy)
        story.world.ports = replace(story.world.ports, policy=lambda: other)  # noqa: B023  called before the next one
        story.classified()
        story.bill()
        metered = [one for one in story.world.published(story.task.id) if one.type == "usage.metered"]
        versions = list({event.id: event.data.price_version for event in metered}.values())  # some were sent twice
        before, after = policy.price_version, other.price_version
        expected = {"not made": [after], "not known": [before, after], "known": [before]}
        assert versions == expected[story.end]
        seen.add(story.end)
    assert seen == {"not made", "not known", "known"}


def test_prices_that_change_while_a_call_is_out_are_not_its_own() -> None:
    """An attempt pays what its policy said when it began, and its bill names that policy."""
    with closing(Database(None)) as database:
        world = World(database)
        task = world.placed()
        results = {"extract": world.step(task, "extract", {})}
        policy = world.ports.policy()
        told: list[str] = []
        models: Any = Rivalry(world.models, lambda: told.append("new"))
        newer = cheaper(policy)
        world.ports = replace(world.ports, models=models, policy=lambda: newer if told else policy)
        world.step(task, "classify", results)
        (used,) = [event.data for event in world.published(task.id) if event.type == "usage.metered"]
        (drawn,) = ledger.draws_of(world.ports, world.lease(task))
        assert told == ["new"]
        assert used.price_version == drawn.price_version == policy.price_version != newer.price_version


def test_what_came_to_nothing_goes_with_the_next_call(world: World) -> None:
    """A process asks one that throttles, then another, and dies: who finds the second call tells of both."""
    task = world.placed()
    world.step(task, "extract", {})
    entry = world.entry(task, "extract")
    prompt = Prompt("classify", "Classify.", "Pass it on.", {})
    purse = LeasePurse(world.ports, world.load(task), entry, "aws")
    asked = [routed().model_copy(update={"deployment": name, "worst_micro_usd": 5}) for name in ("busy", "other")]
    purse.release(purse.draw(prompt, asked[0]))
    assert [fact.deployment for fact in purse.spending.notes if isinstance(fact, ModelRouted)] == ["busy"]
    purse.draw(prompt, asked[1])
    assert (purse.spending.notes, purse.spending.charges) == ((), ())
    (out,) = purse.spending.out
    after = LeasePurse(world.ports, world.load(task), entry, "aws")
    assert after.found(prompt) is None
    (charge,) = after.spending.charges
    assert (charge.outcome, charge.cost, charge.routed) == ("unknown", 5, out.routed)
    assert [(one.deployment, one.cloud, one.run, one.at) for one in charge.routed] == [
        (name, "aws", 1, world.clock.now()) for name in ("busy", "other")
    ]


def test_a_call_that_was_not_served_after_all_is_taken_off_the_bill() -> None:
    """A retry charges a slow call at its worst; when that is refused in the end, even after its task, it costs 0."""
    database = Database(None)
    try:
        world = World(database)
        task = world.placed("Pass it on. Keep the notice.", asks=False)
        results = {"extract": world.step(task, "extract", {})}
        world.models.faults = [None, None, NoAnswer("503", code="provider-down", served=False)]
        sound = world.ports
        slow = Rivalry(world.models, lambda: ended(world, sound, task))
        world.ports = replace(sound, models=slow)
        with pytest.raises(Permanent):
            world.step(task, "classify", results)
        world.ports = sound
        assert world.load(task).status == "completed"
        story = Story(world, task, results, Dying(0, "before"))
        first, *_ = story.bill()
        assert (first, [told.was_micro_usd > 0 for told in story.told("usage.corrected")]) == (0, [True])
    finally:
        database.close()


def ended(world: World, sound: Ports, task: Task) -> None:
    """Let another execution do all that is to be done."""
    world.ports = sound
    world.worked(task)
    world.record(task)
