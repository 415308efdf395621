from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from aws.handlers import run
from local.wiring import TENANT, using
from shared.app.commit import change
from shared.app.tasks import cancel
from shared.core.task import park, resume
from shared.core.workflow import pipeline_input
from shared.errors import Permanent, Transient
from shared.events.catalog import Cause, encode
from tests.aws.stage import NoPipelines, lane_event, sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.core.task import Task
    from tests.aws.stage import Stage


@dataclass
class Machines(NoPipelines):
    """Pipelines that note what is started, unless they have been told what to say to it."""

    says: dict[str, list[Exception]] = field(default_factory=dict)
    started: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)

    def start(self, workflow: str, name: str, given: Mapping[str, Any]) -> None:
        """Note the start, or refuse it."""
        if waiting := self.says.get(name):
            raise waiting.pop(0)
        self.started.append((workflow, name, given))


@pytest.fixture
def machines(stage: Stage) -> Iterator[Machines]:
    """Pipelines behind the lanes' consumer."""
    made = Machines()
    stage.ports = replace(stage.ports, pipelines=made)
    with using(stage.ports):
        yield made


def deliver(*bodies: str) -> list[int]:
    """Hand a batch over; return the positions of the messages that come again."""
    told = run.handler(lane_event(bodies), None)
    return [int(failed["itemIdentifier"]) for failed in told["batchItemFailures"]]


def placed(stage: Stage, entity: str, **changes: Any) -> tuple[Task, str]:
    """Return a task that was placed on AWS, and its message as it waits in a lane."""
    task = stage.placed(stage.submitted(key=entity, entity=entity, **changes))
    (event,) = (event for event in stage.said(task) if event.type == "task.placed")
    return task, encode(event, "sqs")


def test_a_placed_task_is_started(stage: Stage, machines: Machines) -> None:
    """A message from a lane starts its task's pipeline, under the name of the task's run."""
    task, body = placed(stage, "a")
    assert deliver(body) == []
    assert machines.started == [("document-review", task.run_id, pipeline_input(TENANT, task.id, 0))]


def test_a_message_delivered_twice_names_one_execution(stage: Stage, machines: Machines) -> None:
    """A second delivery asks for the same execution by the same name."""
    _, body = placed(stage, "a")
    assert deliver(body, body) == []
    first, second = machines.started
    assert first == second


def test_a_task_that_was_cancelled_meanwhile_is_not_started(stage: Stage, machines: Machines) -> None:
    """What ended while it waited in its lane costs nothing any more."""
    task, body = placed(stage, "a")
    cancel(stage.ports, TENANT, task.id, "ann", "", source="/test")
    assert deliver(body) == []
    assert machines.started == []


def test_a_task_that_is_parked_waits_for_its_next_run(stage: Stage, machines: Machines) -> None:
    """A run that was parked while it waited in its lane is not started, and neither is it when the next one goes on."""
    task, body = placed(stage, "a")
    cause = Cause("test", task.tenant, task.id, task.entity, "/test")
    change(stage.ports, cause, lambda now: park(now, "stopped", "a switch", stage.clock.now()))
    assert deliver(body) == []
    change(stage.ports, replace(cause, id="again"), lambda now: resume(now, "the switch is on again"))
    assert deliver(body) == []
    assert machines.started == []
    assert stage.letters.kept == []


def test_a_throttled_start_comes_again_alone(stage: Stage, machines: Machines) -> None:
    """Of a batch only what could not be started now comes again, is no poison, and is started then."""
    (_, first), (busy, second), (_, third) = (placed(stage, entity) for entity in "abc")
    machines.says[busy.run_id] = [Transient("too many starts")]
    assert deliver(first, second, third) == [1]
    assert len(machines.started) == 2
    assert deliver(second) == []
    assert [name for _, name, _ in machines.started].count(busy.run_id) == 1
    assert stage.letters.kept == []


@pytest.mark.parametrize(
    ("poison", "code"),
    [
        ("", "broken-json"),
        ("no event", "broken-json"),
        ('{"type": "task.teleported"}', "unknown-event-type"),
        (sample("lane.json")["Records"][0]["body"], "not-found"),
        (sample("sqs.json")["Records"][0]["body"], "no-route"),
    ],
)
def test_what_can_never_be_started_is_buried(stage: Stage, machines: Machines, poison: str, code: str) -> None:
    """No event, an event of no task, and a task that was placed elsewhere are dead letters at once, with reasons."""
    _, good = placed(stage, "a")
    assert deliver(poison, good) == []
    ((body, reason, origin),) = stage.letters.kept
    assert (body, reason.split("]")[0]) == (poison, f"[{code}")
    assert origin == "arn:aws:sqs:eu-central-1:123456789012:agentfabric/0"
    assert len(machines.started) == 1


def test_a_start_that_is_refused_for_good_is_buried(stage: Stage, machines: Machines) -> None:
    """What Step Functions refuses as it is would be refused again."""
    task, body = placed(stage, "a")
    machines.says[task.run_id] = [Permanent("no such state machine", code="refused-by-aws")]
    assert deliver(body) == []
    assert [reason for _, reason, _ in stage.letters.kept] == ["[refused-by-aws] no such state machine"]


def test_poison_that_cannot_be_buried_comes_again(stage: Stage, machines: Machines) -> None:
    """Without dead letters at hand a poisoned message stays in its lane."""

    class Full:
        def bury(self, body: str, reason: str, origin: str) -> None:
            raise Transient(f"full: {len(body)} {reason} {origin}")

    for letters in (Full(), None):
        with using(replace(stage.ports, dead_letters=letters)):
            assert deliver("no event") == [0]
    assert machines.started == []


def test_a_surprise_fails_one_message(stage: Stage, machines: Machines, capfd: Any) -> None:
    """A defect that one message meets does not fail its batch, and is noted by its type."""
    (bad, first), (_, second) = placed(stage, "a"), placed(stage, "b")
    machines.says[bad.run_id] = [ZeroDivisionError("secret")]
    assert deliver(first, second) == [0]
    assert len(machines.started) == 1
    told = capfd.readouterr().err
    assert "ZeroDivisionError" in told
    assert "secret" not in told


def test_a_place_that_starts_nothing_keeps_its_messages(stage: Stage) -> None:
    """Where pipelines cannot be started, messages stay in their lane."""
    _, body = placed(stage, "a")
    assert deliver(body) == [0]
    assert stage.letters.kept == []
