from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shared.core.workflow import WORKFLOWS, Workflow
from shared.render import asl

FLOWS = pytest.mark.parametrize("flow", WORKFLOWS.values(), ids=list(WORKFLOWS))


@pytest.fixture
def written(root: Path, flow: Workflow) -> Any:
    """The definition as it is deployed."""
    return json.loads((root / "statemachines" / f"{flow.name.replace('-', '_')}.asl.json").read_text())


@FLOWS
def test_a_definition_is_what_the_table_renders(flow: Workflow, written: Any) -> None:
    """The deployed definition is the rendered one, so nobody edits it by hand."""
    assert written == asl(flow)


@FLOWS
def test_every_definition_has_its_workflow(flow: Workflow, root: Path) -> None:
    """There is a definition for each workflow and no other."""
    assert flow.name.replace("-", "_") + ".asl.json" in {file.name for file in (root / "statemachines").iterdir()}
    assert len(list((root / "statemachines").iterdir())) == len(WORKFLOWS)


@FLOWS
def test_the_steps_follow_one_another_as_in_the_table(flow: Workflow, written: Any) -> None:
    """From its start, a document passes the table's steps in their order."""
    states, name, passed = written["States"], written["StartAt"], []
    while states[name]["Type"] == "Task" and "step" in states[name]["Parameters"]:
        passed.append(states[name]["Parameters"]["step"])
        name = states[name]["Next"]
    assert passed == [step.name for step in flow.steps]


@FLOWS
def test_attempts_are_the_tables(flow: Workflow, written: Any) -> None:
    """The first attempt and its retries are together the table's attempts, with the table's pauses and limit."""
    for step in flow.steps:
        state = written["States"][step.name.capitalize()]
        (retry,) = state["Retry"]
        assert 1 + retry["MaxAttempts"] == step.retry.attempts
        assert (retry["IntervalSeconds"], retry["BackoffRate"]) == (step.retry.interval, step.retry.backoff)
        assert state["TimeoutSeconds"] == step.timeout
        assert "Transient" in retry["ErrorEquals"]
        assert "Permanent" not in retry["ErrorEquals"]


@FLOWS
def test_only_steps_with_a_fallback_have_one(flow: Workflow, written: Any) -> None:
    """A step that fails goes to its fallback where the table names one, and to the failure's record elsewhere."""
    for step in flow.steps:
        (catch,) = written["States"][step.name.capitalize()]["Catch"]
        expected = f"{step.name.capitalize()}Fallback" if step.fallback else "RecordFailure"
        assert (catch["Next"], catch["ErrorEquals"]) == (expected, ["States.ALL"])
