from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from local.wiring import TENANT
from shared.app.steps import MeteredModels
from shared.app.tasks import cancel
from shared.core.completion import Completion, Prompt, Usage
from shared.core.journal import Entry
from shared.core.money import cost
from shared.core.task import Progress
from shared.errors import FabricError, NotFound, Permanent, Transient
from tests.app.faults import CrashError, Rivalry, Trouble
from tests.app.world import FLOW, SOURCE, ScriptedModels, World

CLASSIFY = FLOW.step("classify")
DOWN = Transient("throttled", retry_after=2)
POISON = Permanent("the model refuses", code="refused")


def extracted(world: World) -> tuple[Any, dict[str, Any]]:
    """Return a task and the results its classification needs."""
    task = world.placed()
    return task, {"extract": world.step(task, "extract", {})}


def bill(world: World, task: Any) -> int:
    """Return what was metered."""
    return sum(event.data.cost_micro_usd for event in world.published(task.id) if event.type == "usage.metered")


def test_a_document_goes_through_its_steps(world: World) -> None:
    """Each step starts, calls its tool, meters what it used, completes, and leaves its result in the journal."""
    task = world.placed()
    results = world.worked(task)
    assert results["classify"]["label"] == "Pass"
    assert results["policy"]["approval_required"] is False
    free = ["step.started", "tool.called", "step.completed"]
    paid = ["step.started", "tool.called", "usage.metered", "step.completed"]
    assert world.told(task)[3:] == [*free, *paid, *paid, *free]
    assert world.entry(task, "summarise").output == results["summarise"]
    stored = world.load(task)
    assert (stored.reserved, stored.spent) == (0, bill(world, task))
    assert stored.spent > 0


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
    assert world.told(task)[6:] == ["step.started", "tool.called", "usage.metered", "step.completed"]


def test_a_crash_between_intent_and_result_is_another_attempt(world: World) -> None:
    """The intent is there and the result is not: the step is tried again, counted, with the same money."""
    task, results = extracted(world)
    world.models.faults = [RuntimeError("the process is gone")]  # type: ignore[list-item]
    with pytest.raises(RuntimeError):
        world.step(task, "classify", results)
    assert world.load(task).reserved == CLASSIFY.reserve
    world.step(task, "classify", results)
    entry = world.entry(task, "classify")
    assert (entry.attempt, entry.done) == (2, True)
    stored = world.load(task)
    assert (stored.reserved, stored.spent) == (0, entry.cost)
    assert world.told(task).count("step.started") == 3
    assert world.told(task).count("usage.metered") == 1


def test_a_permanent_failure_is_final(world: World) -> None:
    """What can never work is noted as final at once, with its code, and its money goes back."""
    task, results = extracted(world)
    world.models.faults = [POISON]
    with pytest.raises(Permanent) as refused:
        world.step(task, "classify", results)
    assert refused.value is POISON
    said = world.published(task.id)[-1].data
    assert (said.step, said.code, said.attempt, said.final) == ("classify", "refused", 1, True)
    assert world.load(task).reserved == 0


def test_a_passing_failure_is_final_at_the_last_attempt_only(world: World) -> None:
    """Throttling asks for another attempt until the table's attempts are used up, and keeps its money till then."""
    task, results = extracted(world)
    attempts = CLASSIFY.retry.attempts
    world.models.faults = [DOWN] * attempts
    aside = []
    for _ in range(attempts):
        with pytest.raises(Transient) as late:
            world.step(task, "classify", results)
        assert late.value.retry_after == 2
        aside.append(world.load(task).reserved)
    finals = [event.data.final for event in world.published(task.id) if event.type == "step.failed"]
    assert finals == [False] * (attempts - 1) + [True]
    assert aside == [CLASSIFY.reserve] * (attempts - 1) + [0]


def test_a_recovered_step_is_billed_once(world: World) -> None:
    """Throttled twice and then answered: one usage, one completion, on the third attempt."""
    task, results = extracted(world)
    world.models.faults = [DOWN, DOWN]
    for _ in range(2):
        with pytest.raises(Transient):
            world.step(task, "classify", results)
    world.step(task, "classify", results)
    assert world.told(task)[-4:] == ["step.started", "tool.called", "usage.metered", "step.completed"]
    assert world.published(task.id)[-1].data.attempt == 3


def test_an_answer_nobody_can_use_is_billed(world: World) -> None:
    """The model was paid for an answer that the tool refuses: the failure and the usage are both written down."""
    task, results = extracted(world)
    world.models.answers["classify"] = {"label": "no such class", "score": 1}
    with pytest.raises(Permanent) as refused:
        world.step(task, "classify", results)
    assert refused.value.code == "bad-answer"
    assert world.told(task)[-3:] == ["step.started", "usage.metered", "step.failed"]
    stored = world.load(task)
    assert stored.spent == bill(world, task) == world.entry(task, "classify").cost > 0
    assert stored.reserved == 0


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
    """A step of a task that waits for its placement is an illegal move."""
    task = world.submit()
    with pytest.raises(Permanent) as refused:
        world.step(task, "extract", {})
    assert refused.value.code == "illegal-move"


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
    """The provider wants its money all the same: the usage is on the bill, and the result is refused."""
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
    assert world.told(task)[-2:] == ["task.cancelled", "usage.metered"]
    stored = world.load(task)
    assert (stored.status, stored.spent, stored.reserved) == ("cancelled", bill(world, task), 0)
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
    assert (stored.spent, stored.reserved) == (bill(world, task), 0)
    assert entry.cost == stored.spent


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
    assert world.load(task).reserved == 0


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
    assert (stored.spent, stored.reserved) == (bill(world, task), 0)
    assert world.step(task, "classify", results)["label"] == "Pass"
    assert world.models.calls == []


def test_a_model_without_a_price_ends_the_step(world: World) -> None:
    """A model that nobody priced is a failure of the step, noted as one, and the money goes back."""
    task, results = extracted(world)
    world.models.model = "mystery"
    with pytest.raises(Permanent) as refused:
        world.step(task, "classify", results)
    assert refused.value.code == "unknown-price"
    assert world.told(task)[-1] == "step.failed"
    assert world.load(task).reserved == 0


def prompt(characters: int) -> Prompt:
    """Return a prompt of that length."""
    return Prompt("classify", "", "a" * characters, {}, max_output_tokens=100)


def entry(reserved: int) -> Entry:
    """Return an attempt with that much money."""
    return Entry(
        tenant=TENANT, task="t", document=0, step="classify", tool="classify", input_sha256="i", reserved=reserved
    )


def test_a_call_that_could_cost_too_much_is_refused_unpaid() -> None:
    """A prompt that does not fit what is set aside never reaches the model."""
    models = ScriptedModels()
    with pytest.raises(Permanent) as refused:
        MeteredModels(models, entry(5)).complete(prompt(4 * 50 + 1))
    assert refused.value.code == "budget-used-up"
    assert models.calls == []


def test_a_step_without_money_has_no_model() -> None:
    """A tool whose step set nothing aside, or a fallback, cannot call a model at all."""
    models = ScriptedModels()
    with pytest.raises(Permanent, match="0 of what it set aside"):
        MeteredModels(models, entry(0)).complete(prompt(0))
    assert models.calls == []


def test_calls_are_paid_from_what_the_earlier_ones_left() -> None:
    """An attempt may call as often as its money lasts, by what the calls really cost."""

    class Cheap:
        def complete(self, asked: Prompt) -> Completion:
            """Answer for almost nothing."""
            return Completion({"length": len(asked.text)}, Usage("extractive-1", 50, 0))

    metered = MeteredModels(Cheap(), entry(6))
    assert [metered.complete(prompt(200)).answer["length"] for _ in range(2)] == [200, 200]
    with pytest.raises(Permanent, match="4 of what it set aside"):
        metered.complete(prompt(201))
    assert sum(map(cost, metered.used)) == 2


@pytest.mark.parametrize("step", ["classify", "summarise"])
def test_the_longest_text_fits(world: World, step: str) -> None:
    """However long a document is, the tools cut it so that the step's money suffices."""
    task = world.placed("Pass " + "very long words, one after the other. " * 10_000)
    results = world.worked(task, until=step)
    assert world.step(task, step, results)
    assert world.entry(task, step).cost <= FLOW.step(step).reserve
