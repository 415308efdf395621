from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.core.policy import Policy
from shared.core.pricing import worst_case
from shared.core.workflow import WORKFLOWS, Workflow, pipeline_input, workflow
from shared.errors import NotFound, Permanent
from shared.events.limits import CLAIM_CHECK
from shared.tools.classify import classify
from shared.tools.registry import get, names
from shared.tools.summarise import summarise
from tests.core.given import new_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.core.workflow import Step

FLOWS = sorted(WORKFLOWS.values(), key=lambda flow: flow.name)
STEPS = [pytest.param(flow, step, id=f"{flow.name}.{step.name}") for flow in FLOWS for step in flow.steps]
FIRST, *_ = FLOWS


def tools_of(step: Step) -> list[str]:
    """Return the tools that may do a step."""
    return [step.tool, *([step.fallback] if step.fallback else [])]


def gives(flow: Workflow, path: str, before: int) -> bool:
    """Tell whether an earlier step, whichever of its tools did it, has a result of that path."""
    name, field = path.split(".")
    earlier = {step.name: step for step in flow.steps[:before]}
    return name in earlier and all(field in get(tool).gives.model_fields for tool in tools_of(earlier[name]))


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_a_workflow_is_found_by_its_name(flow: Workflow) -> None:
    """The table's key is the workflow's name, and its steps' names are unique."""
    assert workflow(flow.name) is flow
    steps = [step.name for step in flow.steps]
    assert len(set(steps)) == len(steps)


def test_an_unknown_workflow_or_step_names_those_there_are() -> None:
    """Asking for what does not exist says what does."""
    with pytest.raises(NotFound, match="document-review"):
        workflow("no-such")
    with pytest.raises(NotFound, match="extract, classify, summarise, policy"):
        FIRST.step("no-such")


@pytest.mark.parametrize(("flow", "step"), STEPS)
def test_a_step_takes_what_is_there(flow: Workflow, step: Step) -> None:
    """Everything a step takes is a document, the taxonomy, or a result of an earlier step."""
    position = flow.steps.index(step)
    missing = [
        path for path in step.takes.values() if path not in ("document", "taxonomy") and not gives(flow, path, position)
    ]
    assert not missing


@pytest.mark.parametrize(("flow", "step"), STEPS)
def test_a_step_gives_its_tools_what_they_need(flow: Workflow, step: Step) -> None:
    """Each tool of a step, its fallback too, exists, knows every argument, and gets all that it requires."""
    assert flow.step(step.name) is step
    for name in tools_of(step):
        assert name in names()
        fields = get(name).takes.model_fields
        assert set(step.takes) <= set(fields)
        assert {field for field, known in fields.items() if known.is_required()} <= set(step.takes)


@pytest.mark.parametrize(("flow", "step"), STEPS)
def test_a_steps_limits_make_sense(flow: Workflow, step: Step) -> None:
    """A step may be tried, ends in time, waits no shorter for each retry, and costs exactly if it has tokens."""
    assert step.retry.attempts >= 1
    assert 0 < step.timeout < flow.timeout
    assert 0 < step.retry.interval <= step.retry.max_interval
    assert step.retry.backoff >= 1
    assert (worst_case(Policy(), [step]) > 0) == (step.tokens is not None)


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_a_workflow_as_a_whole_makes_sense(flow: Workflow) -> None:
    """The checkpoint asks a result of the steps, it may cost something, and a batch fits the events' positions."""
    assert gives(flow, flow.checkpoint.when, len(flow.steps))
    step, field = flow.checkpoint.when.split(".")
    assert get(flow.step(step).tool).gives.model_fields[field].annotation is bool
    assert worst_case(Policy(), flow.steps) > 0
    assert 1 <= flow.max_documents < 1000


@pytest.mark.parametrize(("name", "function"), [("classify", classify), ("summarise", summarise)])
def test_the_largest_prompt_fits_the_steps_money(name: str, function: Callable[..., object]) -> None:
    """A tool that pays for a model cuts its text so that the step's tokens always suffice."""
    head = function.__globals__["_HEAD"]
    tokens = FIRST.step(name).tokens
    assert tokens is not None
    assert (head + 2000) // 4 <= tokens.most_in


def test_arguments_come_from_the_task_and_earlier_results() -> None:
    """A step's arguments are resolved for its document, from the results that travel with the run."""
    task = new_task(2)
    assert FIRST.step("extract").arguments(task, 1, {}) == {"document": task.documents[1].model_dump(mode="json")}
    given = FIRST.step("classify").arguments(task, 0, {"extract": {"text": "a reference"}})
    assert given == {"text": "a reference", "taxonomy": task.taxonomy.model_dump(mode="json")}


@pytest.mark.parametrize("results", [{}, {"extract": {}}, {"extract": None}, {"extract": "text"}, {"extract": []}])
def test_a_missing_result_is_named(results: dict[str, object]) -> None:
    """A step that comes too early, or after a result of another shape, says what it misses."""
    with pytest.raises(Permanent) as refused:
        FIRST.step("classify").arguments(new_task(), 0, results)
    assert (refused.value.code, refused.value.where) == ("not-ready", "results.extract.text")


def test_a_pipeline_starts_from_names_only() -> None:
    """An execution's input says which document of which run, far below any transport's limit."""
    given = pipeline_input("acme", "t1", 3, 2)
    assert given == {"tenant": "acme", "task": "t1", "run": 2, "document": 3, "results": {}}
    assert len(str(given)) < CLAIM_CHECK
