from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from local.wiring import TENANT
from shared.app import ledger
from shared.app.leases import lease_id
from shared.app.outcomes import fail_document
from shared.app.tasks import cancel
from shared.core.completion import NoAnswer
from shared.core.draws import DrawAsk
from shared.core.failure import Failure
from shared.core.pricing import worst_case
from shared.core.task import Progress
from shared.errors import FabricError, NotFound, Permanent, Throttled, Transient
from tests.app.faults import CrashError, Rivalry, Trouble
from tests.app.world import FLOW, SOURCE, World

CLASSIFY = FLOW.step("classify")
DOWN = Transient("the connection was lost")
FREE = ["step.started", "tool.called", "step.completed"]
PAID = ["step.started", "model.routed", "usage.metered", "tool.called", "step.completed"]
POISON = Permanent("the model refuses", code="refused")


def extracted(world: World) -> tuple[Any, dict[str, Any]]:
    """Return a task and the results its classification needs."""
    task = world.placed()
    return task, {"extract": world.step(task, "extract", {})}


def bill(world: World, task: Any) -> int:
    """Return what the lines of the bill say, as they were corrected; they are numbered from 1 without a gap."""
    lines: dict[int, int] = {}
    for event in world.published(task.id):
        if event.type in {"usage.metered", "usage.corrected"}:
            assert lines.get(event.data.line, 0) == getattr(event.data, "was_micro_usd", 0)
            lines[event.data.line] = event.data.cost_micro_usd
    assert sorted(lines) == list(range(1, world.load(task).lines + 1))
    return sum(lines.values())


def test_a_document_goes_through_its_steps(world: World) -> None:
    """Each step starts, chooses a model, meters what it used, completes, and leaves its result in the journal."""
    task = world.placed()
    results = world.worked(task)
    assert results["classify"]["label"] == "Pass"
    assert results["policy"]["approval_required"] is False
    assert world.told(task)[3:] == [*FREE, *PAID, *PAID, *FREE]
    assert world.entry(task, "summarise").output == results["summarise"]
    stored = world.load(task)
    assert stored.spent == bill(world, task) == world.lease(task).settled > 0
    assert world.lease(task).held == 0
    assert stored.lines == 2


def test_a_step_that_was_done_answers_from_the_journal(world: World) -> None:
    """The second request gets the same result; the model is not called and nothing is said again."""
    task, results = extracted(world)
    first = world.step(task, "classify", results)
    told = world.told(task)
    assert world.step(task, "classify", results) == first
    assert world.models.calls == ["classify"]
    assert world.told(task) == told


def test_a_lost_answer_does_not_pay_again(world: World) -> None:
    """The result is committed and the commit's answer lost: the next attempt answers from the journal and speaks."""
    task, results = extracted(world)
    sound = world.ports
    world.ports = Trouble(at=2, moment="after", only=("tasks.commit",)).on(sound)
    with pytest.raises(CrashError):
        world.step(task, "classify", results)
    world.ports = sound
    assert world.entry(task, "classify").done
    assert "step.completed" not in world.told(task)[6:]
    assert world.step(task, "classify", results)["label"] == "Pass"
    assert world.models.calls == ["classify"]
    assert world.told(task)[6:] == PAID


def test_a_crash_between_intent_and_result_is_another_attempt(world: World) -> None:
    """The intent is there and the result is not: the step is tried again, counted; the lost call is charged in full."""
    task, results = extracted(world)
    world.models.faults = [RuntimeError("the process is gone")]  # type: ignore[list-item]
    with pytest.raises(RuntimeError):
        world.step(task, "classify", results)
    lost = world.lease(task)
    assert (lost.settled > 0, lost.held) == (True, 0)
    world.step(task, "classify", results)
    entry = world.entry(task, "classify")
    assert (entry.attempt, entry.done) == (2, True)
    stored = world.load(task)
    assert stored.spent == entry.cost == bill(world, task) == world.lease(task).settled > lost.settled
    assert world.told(task).count("step.started") == 3
    assert world.told(task).count("usage.metered") == 2


def test_a_permanent_failure_is_final(world: World) -> None:
    """What can never work is noted as final at once, with its code, and what was put aside for it goes back."""
    task, results = extracted(world)
    world.models.faults = [POISON]
    with pytest.raises(Permanent) as refused:
        world.step(task, "classify", results)
    assert refused.value is POISON
    said = world.published(task.id)[-1].data
    assert (said.step, said.code, said.attempt, said.final) == ("classify", "refused", 1, True)
    assert (world.lease(task).settled, world.lease(task).held, world.load(task).spent) == (0, 0, 0)


def test_a_passing_failure_is_final_at_the_last_attempt_only(world: World) -> None:
    """A lost call asks for another attempt until the table's attempts are used up; each is billed at its worst case."""
    task, results = extracted(world)
    attempts = CLASSIFY.retry.attempts
    world.models.faults = [DOWN] * attempts
    for _ in range(attempts):
        with pytest.raises(Transient):
            world.step(task, "classify", results)
        world.clock.wait(60)
        assert world.lease(task).held == 0
    finals = [event.data.final for event in world.published(task.id) if event.type == "step.failed"]
    assert finals == [False] * (attempts - 1) + [True]
    lost = [event.data for event in world.published(task.id) if event.type == "usage.metered"]
    assert [used.outcome for used in lost] == ["unknown"] * attempts
    assert bill(world, task) == world.load(task).spent == world.lease(task).settled


def test_a_recovered_step_is_billed_for_every_call(world: World) -> None:
    """Lost twice and then answered: a line for each call, one completion, on the third attempt."""
    task, results = extracted(world)
    world.models.faults = [DOWN, DOWN]
    for _ in range(2):
        with pytest.raises(Transient):
            world.step(task, "classify", results)
        world.clock.wait(60)
    world.step(task, "classify", results)
    assert world.told(task)[-5:] == PAID
    outcomes = [event.data.outcome for event in world.published(task.id) if event.type == "usage.metered"]
    assert outcomes == ["unknown", "unknown", "answered"]
    assert bill(world, task) == world.load(task).spent == world.lease(task).settled
    assert world.published(task.id)[-1].data.attempt == 3


def test_an_answer_nobody_can_use_is_billed(world: World) -> None:
    """The model was paid for an answer that the tool refuses: the failure and the usage are both written down."""
    task, results = extracted(world)
    world.models.answers["classify"] = {"label": "no such class", "score": 1}
    with pytest.raises(Permanent) as refused:
        world.step(task, "classify", results)
    assert refused.value.code == "bad-answer"
    assert world.told(task)[-5:] == [
        "step.started",
        "model.routed",
        "usage.metered",
        "model.unrouted",
        "step.failed",
    ]
    stored = world.load(task)
    assert stored.spent == bill(world, task) == world.entry(task, "classify").cost == world.lease(task).settled > 0


def test_a_step_given_up_may_be_asked_for_again_and_pays_from_new_money(world: World) -> None:
    """A repeated execution tries a failed step anew; its document's cost is the sum of all its bills."""
    task, results = extracted(world)
    world.models.answers["classify"] = {"label": "no such class", "score": 1}
    with pytest.raises(Permanent):
        world.step(task, "classify", results)
    world.models.answers.clear()
    world.step(task, "classify", results)
    entry = world.entry(task, "classify")
    assert (entry.attempt, entry.done) == (2, True)
    assert world.load(task).spent == entry.cost == bill(world, task)
    assert world.told(task).count("usage.metered") == 2


def test_the_fallback_does_the_step_without_a_model(world: World) -> None:
    """When summarising cannot work the stand-in does it, for nothing, and the journal says which tool it was."""
    task = world.placed()
    results = world.worked(task, until="summarise")
    world.models.faults = [POISON]
    with pytest.raises(Permanent):
        world.step(task, "summarise", results)
    output = world.step(task, "summarise", results, fallback=True)
    assert output["summary"].startswith("Pass it on")
    entry = world.entry(task, "summarise")
    assert (entry.tool, entry.cost, entry.done) == ("excerpt", 0, True)
    assert world.step(task, "summarise", results, fallback=True) == output


@pytest.mark.parametrize("first", [False, True])
def test_a_step_that_was_done_is_not_done_again_by_the_other_tool(world: World, *, first: bool) -> None:
    """A pipeline that never heard that a step was done gets its result, whether it asks the tool or the stand-in."""
    task = world.placed()
    results = world.worked(task, until="summarise")
    output = world.step(task, "summarise", results, fallback=first)
    calls = len(world.models.calls)
    assert world.step(task, "summarise", results, fallback=not first) == output
    assert len(world.models.calls) == calls
    assert world.told(task).count("step.completed") == 3


def test_a_step_without_a_fallback_has_none(world: World) -> None:
    """Asking for the stand-in of `classify` is refused, and the tool itself is not run without money."""
    task, results = extracted(world)
    with pytest.raises(Permanent) as refused:
        world.step(task, "classify", results, fallback=True)
    assert refused.value.code == "no-fallback"
    assert world.models.calls == []


def test_a_changed_input_is_another_call(world: World) -> None:
    """A step that is asked for with another input runs again, and its bill is added to the first one."""
    task, results = extracted(world)
    world.step(task, "classify", results)
    other = world.document("Ask somebody.").model_dump(mode="json")
    changed = world.step(task, "classify", {"extract": {"text": other}})
    assert changed["label"] == "Ask"
    assert world.models.calls == ["classify"] * 2
    assert world.load(task).spent == world.entry(task, "classify").cost == bill(world, task)


@pytest.mark.parametrize(
    ("step", "document", "verdict"), [("no-such", 0, NotFound), ("extract", 1, Permanent), ("classify", 0, Permanent)]
)
def test_a_request_out_of_order_is_refused(world: World, step: str, document: int, verdict: type[FabricError]) -> None:
    """An unknown step, an unknown document and a missing result are each Permanent and leave no trace."""
    task = world.placed()
    told = world.told(task)
    with pytest.raises(verdict):
        world.step(task, step, {}, document)
    assert world.told(task) == told


def test_nothing_starts_before_the_task_is_placed(world: World) -> None:
    """A step of a task that waits for its placement does not start."""
    task = world.submit()
    with pytest.raises(Permanent) as refused:
        world.step(task, "extract", {})
    assert refused.value.code == "task-parked"


def test_nothing_is_paid_after_the_end(world: World) -> None:
    """A cancelled task starts no step; what was done before still answers."""
    task, results = extracted(world)
    cancel(world.ports, TENANT, task.id, "ann", "a mistake", source=SOURCE)
    with pytest.raises(Permanent) as refused:
        world.step(task, "classify", results)
    assert refused.value.code == "task-over"
    assert world.step(task, "extract", {}) == results["extract"]
    assert world.models.calls == []


@pytest.mark.parametrize("answer", ["well", "badly"])
def test_a_call_in_flight_when_the_task_is_cancelled_is_billed(world: World, answer: str) -> None:
    """The end bills the worst case of what is out; what it really cost replaces that, and the result is refused."""
    task, results = extracted(world)
    world.ports = replace(
        world.ports,
        models=Rivalry(world.models, lambda: cancel(world.ports, TENANT, task.id, "ann", "a mistake", source=SOURCE)),
    )
    if answer == "badly":
        world.models.answers["classify"] = {"label": "no such class", "score": 1}
    with pytest.raises(Permanent) as refused:
        world.step(task, "classify", results)
    assert refused.value.code == ("too-late" if answer == "well" else "bad-answer")
    told = ["model.routed", "usage.metered", "task.cancelled", "usage.corrected"]
    assert world.told(task)[-5:] == (["step.started", *told] if answer == "well" else [*told, "model.unrouted"])
    stored = world.load(task)
    assert (stored.status, stored.spent) == ("cancelled", bill(world, task))
    assert (world.lease(task).state, world.lease(task).settled, world.lease(task).held) == ("closing", stored.spent, 0)
    assert stored.progress == (Progress.CANCELLED,)


def test_a_slow_attempt_that_finishes_first_wins(world: World) -> None:
    """A second attempt began because the first was slow: one result stands, and both calls are billed."""
    task, results = extracted(world)
    quick = World(world.database)
    world.ports = replace(world.ports, models=Rivalry(world.models, lambda: quick.step(task, "classify", results)))
    slow = world.step(task, "classify", results)
    entry = world.entry(task, "classify")
    assert slow == entry.output
    assert (world.models.calls, quick.models.calls) == (["classify"], ["classify"])
    assert world.told(task).count("step.completed") == 2
    assert world.told(task).count("usage.metered") == 2
    stored = world.load(task)
    assert entry.cost == stored.spent == bill(world, task) == world.lease(task).settled


def test_a_slow_attempt_that_fails_does_not_undo_the_quick_one(world: World) -> None:
    """The first attempt fails after the second one was done: the result stays, and no failure is written."""
    task, results = extracted(world)
    quick = World(world.database)
    world.models.answers["classify"] = {"label": "no such class", "score": 1}
    world.ports = replace(world.ports, models=Rivalry(world.models, lambda: quick.step(task, "classify", results)))
    with pytest.raises(Permanent):
        world.step(task, "classify", results)
    assert world.entry(task, "classify").done
    assert "step.failed" not in world.told(task)
    assert world.step(task, "classify", results)["label"] == "Pass"
    assert world.load(task).spent == bill(world, task) == world.lease(task).settled


def test_two_who_begin_at_once_do_not_both_pay(world: World) -> None:
    """Whoever sees that another attempt has just begun stands back; the model is asked once."""
    task, results = extracted(world)
    quick = World(world.database)
    begun = Rivalry(world.ports.tasks, lambda: quick.step(task, "classify", results), method="commit")
    world.ports = replace(world.ports, tasks=begun)
    with pytest.raises(Transient, match="just begun"):
        world.step(task, "classify", results)
    assert (world.models.calls, quick.models.calls) == ([], ["classify"])
    stored = world.load(task)
    assert stored.spent == bill(world, task) == world.lease(task).settled
    assert world.step(task, "classify", results)["label"] == "Pass"
    assert world.models.calls == []


@pytest.mark.parametrize(
    "fault",
    [
        Throttled("too many requests", retry_after=30),
        NoAnswer("the connection was refused", code="unreachable", served=False, retry_after=30),
    ],
    ids=["throttled", "unreachable"],
)
def test_a_provider_that_takes_no_calls_is_waited_for(world: World, fault: FabricError) -> None:
    """Nothing failed: the task is parked until calls are taken again, no attempt is used up, nothing is paid."""
    task, results = extracted(world)
    world.models.faults = [fault]
    with pytest.raises(Permanent) as stopped:
        world.step(task, "classify", results)
    assert stopped.value.code == "task-parked"
    waits = world.load(task)
    assert (waits.status, waits.parked_for, waits.spent) == ("parked", "throttled", 0)
    assert waits.parked_until == world.clock.now() + timedelta(seconds=30)
    assert world.entry(task, "classify").attempt == 0
    assert "step.failed" not in world.told(task)
    assert (world.lease(task).settled, world.lease(task).held) == (0, 0)


def park_for_budget(world: World) -> tuple[Any, dict[str, Any]]:
    """Return a task, and results, whose lease another spender used up before its classification."""
    task, results = extracted(world)
    left = world.lease(task).amount - world.lease(task).settled
    drawn = DrawAsk("other", 0, "extract", "extractive-1", left, "", world.clock.now().timestamp(), 30.0)
    ledger.draw(world.ports, TENANT, lease_id(task.id), drawn)
    return task, results


def test_a_step_that_its_budget_cannot_bear_parks_the_task(world: World) -> None:
    """The model is not asked, nothing fails, the attempt is taken back, and a person is asked for more."""
    task, results = park_for_budget(world)
    with pytest.raises(Permanent) as stopped:
        world.step(task, "classify", results)
    assert stopped.value.code == "task-parked"
    assert world.models.calls == []
    stored = world.load(task)
    assert (stored.status, stored.parked_for, stored.parked_at) == ("parked", "budget", world.clock.now())
    assert stored.progress == (Progress.RUNNING,)
    assert world.entry(task, "classify").attempt == 0
    (asked,) = world.ports.approvals.pending(TENANT, limit=10)
    assert (asked.about, asked.document, asked.task) == ("budget", 0, task.id)
    assert asked.amount > 0
    assert world.told(task)[-2:] == ["task.parked", "approval.requested"]
    assert "step.failed" not in world.told(task)


def test_who_works_for_a_parked_task_stops_and_nothing_fails(world: World) -> None:
    """The pipeline that is told so gives its document up, and that changes nothing; what was done still answers."""
    task, results = park_for_budget(world)
    with pytest.raises(Permanent):
        world.step(task, "classify", results)
    waits, told = world.load(task), world.told(task)
    with pytest.raises(Permanent) as stopped:
        world.step(task, "classify", results)
    assert stopped.value.code == "task-parked"
    why = Failure("classify", stopped.value.code, str(stopped.value))
    assert fail_document(world.ports, TENANT, task.id, 0, why, source=SOURCE) == waits
    assert world.step(task, "extract", {}) == results["extract"]
    assert (world.load(task), world.told(task)) == (waits, told)


@pytest.mark.parametrize("step", ["classify", "summarise"])
def test_the_longest_text_fits(world: World, step: str) -> None:
    """However long a document is, the tools cut it so that what the step may cost at most suffices."""
    task = world.placed("Pass " + "very long words, one after the other. " * 10_000)
    results = world.worked(task, until=step)
    assert world.step(task, step, results)
    assert world.entry(task, step).cost <= worst_case(world.ports.policy(), [FLOW.step(step)])
