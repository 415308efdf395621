from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from local.wiring import TENANT
from shared.app.parking import resume_due
from shared.app.tasks import cancel
from shared.app.tracing import Recorder, fault_of
from shared.core.completion import NoAnswer
from shared.core.otlp import request
from shared.core.policy import Policy
from shared.core.spans import Span
from shared.errors import Forbidden, Permanent, Throttled, Transient
from tests.app.world import REVIEWER, SOURCE, World

if TYPE_CHECKING:
    from shared.core.task import Task

CANARY = "Zanzibar"


@pytest.fixture
def recorder(world: World) -> Recorder:
    """Where the world's spans are."""
    made = Recorder()
    world.ports = replace(world.ports, spans=made)
    return made


def named(spans: list[Span], name: str) -> list[Span]:
    """Return the spans whose names begin so."""
    return [span for span in spans if span.name.startswith(name)]


def tree(spans: list[Span]) -> dict[str, list[str]]:
    """Return the names below each span's name."""
    names = {span.about: span.name for span in spans}
    below: dict[str, list[str]] = {}
    for span in spans:
        below.setdefault(names.get(span.within, ""), []).append(span.name)
    return below


def test_a_run_is_one_tree(world: World, recorder: Recorder) -> None:
    """A task's spans are its own, below it its admission and its steps, and below these their calls."""
    task = world.placed()
    world.pipeline(task, 0)
    spans, lost = recorder.take()
    tools = [f"execute_tool {name}" for name in ("extract", "classify", "summarise", "policy")]
    assert tree(spans) == {
        "": ["invoke_workflow document-review"],
        "invoke_workflow document-review": ["admit", *tools],
        tools[1]: ["chat extractive-1"],
        tools[2]: ["chat extractive-1"],
    }
    assert {span.task for span in spans} == {task.id}
    assert len({span.id for span in spans}) == len(spans)
    assert not lost


def test_the_costs_of_calls_are_the_task_s(world: World, recorder: Recorder) -> None:
    """What calls cost adds up to what the task was billed."""
    task = world.placed()
    world.pipeline(task, 0)
    spans, _ = recorder.take()
    calls, (whole,) = named(spans, "chat"), named(spans, "invoke_workflow")
    assert sum(span.facts["agentfabric.cost_micro_usd"] for span in calls) == world.load(task).spent > 0
    assert whole.facts["agentfabric.cost_micro_usd"] == world.load(task).spent
    assert all(span.facts["gen_ai.usage.output_tokens"] == 20 for span in calls)


def test_a_retry_is_a_span_of_its_own(world: World, recorder: Recorder) -> None:
    """A call that brought no answer ends in its fault, and the next attempt is another span of the step."""
    world.models.faults = [NoAnswer("slow", code="too-slow", served=True)]
    task = world.placed()
    world.pipeline(task, 0)
    spans, _ = recorder.take()
    steps = [(span.facts["agentfabric.attempt"], span.fault) for span in named(spans, "execute_tool classify")]
    assert steps == [(1, "Transient"), (2, "")]
    first, second = named(spans, "chat")[:2]
    assert (first.fault, first.facts["agentfabric.outcome"]) == ("too-slow", "unknown")
    assert (second.fault, second.facts["agentfabric.outcome"]) == ("", "answered")
    assert first.parent != second.parent
    assert first.facts["agentfabric.cost_micro_usd"] > 0


def test_a_fallback_is_seen_below_its_step(world: World, recorder: Recorder) -> None:
    """When one deployment is down, the call to it and the one that answered are spans of the same attempt."""
    known = world.ports.policy()
    spare = known.candidates["extractive-1"].model_copy(update={"name": "spare", "provider": "openai", "model": "m2"})
    policy = Policy(tenants=known.tenants, candidates={**known.candidates, "spare": spare})
    world.ports = replace(world.ports, policy=lambda: policy)
    world.models.faults = [NoAnswer("down", code="provider-down", served=False)]
    task = world.placed()
    world.pipeline(task, 0)
    first, second = named(recorder.take()[0], "chat")[:2]
    assert first.facts["agentfabric.deployment"] != second.facts["agentfabric.deployment"]
    assert (first.fault, first.facts["agentfabric.outcome"]) == ("provider-down", "released")
    assert (second.fault, second.facts["agentfabric.kind"]) == ("", "fallback")
    assert (first.parent, first.id != second.id) == (second.parent, True)


def test_a_parked_run_waits_in_a_span(world: World, recorder: Recorder) -> None:
    """A task that was throttled has the span of its wait, and its steps before and after are of two runs."""
    world.models.faults = [Throttled("later", retry_after=30.0)]
    task = world.placed()
    with suppress(Permanent):
        world.worked(task)
    world.clock.wait(60.0)
    assert resume_due(world.ports, source=SOURCE) == 1
    spans, _ = recorder.take()
    (wait,) = named(spans, "parked throttled")
    assert wait.end - wait.start == pytest.approx(60.0)
    assert wait.facts["agentfabric.run"] == 1
    (tried,) = named(spans, "execute_tool classify")
    assert (tried.fault, tried.facts["agentfabric.outcome"]) == ("", "parked")
    (call,) = named(spans, "chat")
    assert (call.fault, call.facts["agentfabric.cost_micro_usd"]) == ("throttled", 0)


def test_an_approval_is_a_span_from_the_question_to_the_answer(world: World, recorder: Recorder) -> None:
    """A decision that was owed has a span as long as it took, with its verdict and nobody's name."""
    task, approval = world.asked()
    world.clock.wait(90.0)
    world.vote(approval, by=REVIEWER)
    (span,) = named(recorder.take()[0], "approval")
    assert span.end - span.start == pytest.approx(90.0)
    assert span.facts["agentfabric.outcome"] == "approved"
    assert span.within == task.id
    assert f'"{REVIEWER.name}"' not in json.dumps(span)


def test_a_withdrawn_approval_ends_with_its_task(world: World, recorder: Recorder) -> None:
    """Cancelling a task ends its span, with that as its fault, and the span of what it asked."""
    task, _ = world.asked()
    cancel(world.ports, TENANT, task.id, "ann", CANARY, source=SOURCE)
    spans, _ = recorder.take()
    assert [span.facts["agentfabric.outcome"] for span in named(spans, "approval")] == ["withdrawn"]
    assert [span.fault for span in named(spans, "invoke_workflow")] == ["cancelled"]


def test_a_refused_task_has_a_trace(world: World, recorder: Recorder) -> None:
    """A submission that the tenant may not make leaves its admission and its end, both with the reason's code."""
    with pytest.raises(Forbidden):
        world.submit(budget_micro_usd=10**12)
    found = {span.name: span.fault for span in recorder.take()[0]}
    assert found["invoke_workflow document-review"] == "rejected"


def test_a_repetition_records_nothing_new(world: World, recorder: Recorder) -> None:
    """A submission, a step and a document's end that come again leave no span behind."""
    task = world.placed()
    world.pipeline(task, 0)
    assert recorder.take()[0]
    assert world.submit().id == task.id
    world.worked(task)
    world.record(task)
    assert recorder.take() == ([], 0)


def test_no_text_gets_into_a_span(world: World, recorder: Recorder) -> None:
    """Whatever fails on the way, no span quotes the document, the model's answer or an error's words."""
    world.models.faults = [
        Transient(f"{CANARY} broke"),
        NoAnswer(CANARY, code="too-slow", served=True),
        Permanent(CANARY, code="provider-refused"),
    ]
    task = world.placed(f"{CANARY} pass it on. {CANARY} {CANARY}.", f"Ask {CANARY}.")
    for document in (0, 1):
        with suppress(Permanent):
            world.pipeline(task, document)
    cancel(world.ports, TENANT, task.id, CANARY, CANARY, source=SOURCE)
    spans, _ = recorder.take()
    assert Counter(bool(span.fault) for span in spans)[True] >= 3
    assert CANARY not in json.dumps([spans, request(spans, {})])


def test_a_defect_is_told_by_its_type() -> None:
    """An error that nobody foresaw is a fault by the name of its type, one of ours by its code."""
    assert fault_of(KeyError(CANARY)) == "KeyError"
    assert fault_of(Transient(CANARY)) == "Transient"
    assert fault_of(Permanent(CANARY, code="bad-answer")) == "bad-answer"
    assert fault_of(None) == ""


def test_a_full_recorder_counts_what_it_loses(world: World) -> None:
    """Where nobody takes spans away, those that find no room are counted, and the work goes on."""
    full = Recorder(most=3)
    world.ports = replace(world.ports, spans=full)
    task: Task = world.placed()
    world.pipeline(task, 0)
    spans, lost = full.take()
    assert (len(spans), lost) == (3, 5)
    assert full.take() == ([], 0)


def test_without_anybody_who_looks_nothing_is_recorded(world: World) -> None:
    """A fabric without the port works all the same."""
    assert world.ports.spans is None
    assert world.pipeline(world.placed(), 0)
