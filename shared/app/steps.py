"""Running the steps of a document, recording what came of it, and noting failures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from shared.app.commit import change, relay
from shared.core import stepping
from shared.core.completion import Completion, Prompt, Usage
from shared.core.stepping import Call
from shared.core.workflow import Step, workflow
from shared.errors import FabricError, Permanent, Transient
from shared.events.catalog import Cause
from shared.events.ids import Position, TaskId, Tenant, derive
from shared.tools.registry import Toolbox, get

if TYPE_CHECKING:
    from shared.core.journal import Entry
    from shared.core.task import Task
    from shared.ports import Models, Ports


class StepRequest(BaseModel):
    """What a pipeline asks for: which step of which document, and the results of the steps before it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenant: Tenant
    task: TaskId
    document: Position
    step: str
    results: dict[str, Any] = {}
    fallback: bool = False


@dataclass(frozen=True, slots=True)
class MeteredModels:
    """The models, counting what is used and refusing what the step did not set money aside for."""

    models: Models
    step: Step
    used: list[Usage] = field(default_factory=list)

    def complete(self, prompt: Prompt) -> Completion:
        """Answer within the step's reserve; Permanent when the call would cost more than is left of it."""
        if self.step.tokens is None:
            raise Permanent(f"step {self.step.name} has no money for a model", code="budget-used-up")
        completion = self.models.complete(prompt)
        self.used.append(completion.usage)
        return completion


def run_step(ports: Ports, asked: StepRequest, *, source: str) -> dict[str, Any]:
    """Do a step and return its tool's output; a step that was done before answers from the journal.

    Intent, tool call and result are written down in that order. Transient asks for another attempt.
    """
    task = ports.tasks.load(asked.tenant, asked.task)
    task.at(asked.document)
    step = workflow(task.workflow).step(asked.step)
    call = Call(asked.document, step.name, step.arguments(task, asked.document, asked.results), asked.fallback)
    entry = ports.journal.find(task.tenant, task.id, call.document, call.step)
    if entry is not None and entry.output is not None and entry.input_sha256 == call.input_sha256:
        relay(ports, tenant=task.tenant, entity=task.entity)
        return entry.output
    begun = _begin(ports, task, step, call, entry, source)
    return _attempt(ports, task, step, call, begun, source)


def _begin(ports: Ports, task: Task, step: Step, call: Call, entry: Entry | None, source: str) -> Entry:
    cause = _cause(task, call, entry.attempt + 1 if entry else 1, "start", source)
    change(ports, cause, lambda current: stepping.start(current, step, call, entry), claim=cause.id)
    begun = ports.journal.find(task.tenant, task.id, call.document, call.step)
    if begun is None:
        raise Transient(f"the intent of {call.step} is not readable yet")
    return begun


def _attempt(ports: Ports, task: Task, step: Step, call: Call, entry: Entry, source: str) -> dict[str, Any]:
    models = MeteredModels(ports.models, step)
    try:
        output = get(entry.tool).run(call.arguments, Toolbox(ports.documents, models)).model_dump(mode="json")
    except Permanent as error:
        _note_failure(ports, _cause(task, call, entry.attempt, "fail", source), entry, error, final=True)
        raise
    except Transient as error:
        final = entry.attempt >= step.retry.attempts
        _note_failure(ports, _cause(task, call, entry.attempt, "fail", source), entry, error, final=final)
        raise
    cause = _cause(task, call, entry.attempt, "finish", source)
    change(ports, cause, lambda current: stepping.finish(current, entry, output, models.used), claim=cause.id)
    return output


def _note_failure(ports: Ports, cause: Cause, entry: Entry, error: FabricError, *, final: bool) -> None:
    code = error.code if isinstance(error, Permanent) else "transient"
    change(ports, cause, lambda now: stepping.fail(now, entry, code, str(error), final=final), claim=cause.id)


def _cause(task: Task, call: Call, attempt: int, phase: str, source: str) -> Cause:
    name = derive(task.run_id, call.document, call.step, attempt, phase)
    return Cause(name, task.tenant, task.id, task.entity, source)
