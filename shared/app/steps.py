"""Running the steps of a document, recording what came of it, and noting failures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from shared.app.commit import change, relay
from shared.core import stepping
from shared.core.completion import Completion, Prompt, Usage
from shared.core.money import cost, total, worst_case
from shared.core.stepping import Call
from shared.core.workflow import Step, workflow
from shared.errors import FabricError, Permanent, Transient
from shared.events.catalog import Cause
from shared.events.ids import Position, TaskId, Tenant, derive
from shared.tools.registry import Toolbox, get

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.core.decision import Decision
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
    """The models, counting what is used and refusing what the attempt did not set money aside for."""

    models: Models
    entry: Entry
    used: list[Usage] = field(default_factory=list)

    def complete(self, prompt: Prompt) -> Completion:
        """Answer within what is set aside; Permanent, before anything is paid, when the call could cost more."""
        left = self.entry.reserved - total(self.used)
        most = worst_case(prompt.tokens_in, prompt.max_output_tokens)
        if most > left:
            what = f"a call of step {self.entry.step} may cost {most} micro-USD, {left} of what it set aside are left"
            raise Permanent(what, code="budget-used-up")
        completion = self.models.complete(prompt)
        cost(completion.usage)  # a model nobody has priced ends the step here, not in the middle of its bookkeeping
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
    if entry is not None:  # this repeats an attempt that may have ended before it spoke
        relay(ports, tenant=task.tenant, entity=task.entity)
    begun = _begin(ports, task, step, call, entry, source)
    return _attempt(ports, task, step, call, begun, source)


def _begin(ports: Ports, task: Task, step: Step, call: Call, entry: Entry | None, source: str) -> Entry:
    """Write the intent, as long as the step's entry is the one that was seen; else somebody else is at it."""
    busy = Transient(f"another attempt at step {call.step} of document {call.document} has just begun")

    def decide(current: Task) -> Decision:
        if ports.journal.find(task.tenant, task.id, call.document, call.step) != entry:
            raise busy
        return stepping.start(current, step, call, entry)

    attempt = entry.attempt + 1 if entry else 1
    change(ports, _cause(task, call, attempt, "start", source), decide)
    begun = ports.journal.find(task.tenant, task.id, call.document, call.step)
    if begun is None or begun.attempt != attempt:
        raise busy
    return begun


def _attempt(ports: Ports, task: Task, step: Step, call: Call, entry: Entry, source: str) -> dict[str, Any]:
    models = MeteredModels(ports.models, entry)
    try:
        output = get(entry.tool).run(call.arguments, Toolbox(ports.documents, models)).model_dump(mode="json")
    except (Permanent, Transient) as error:
        final = isinstance(error, Permanent) or entry.attempt >= step.retry.attempts
        _note_failure(ports, _cause(task, call, entry.attempt, "fail", source), entry, error, models.used, final=final)
        raise
    return _conclude(ports, _cause(task, call, entry.attempt, "finish", source), entry, output, models.used)


def _conclude(
    ports: Ports, cause: Cause, entry: Entry, output: dict[str, Any], used: Sequence[Usage]
) -> dict[str, Any]:
    """Write the result down, unless another attempt was faster; return the one that is in the journal."""

    def decide(current: Task) -> Decision:
        stored = _stored(ports, entry)
        if stored.done or stored.input_sha256 != entry.input_sha256:
            return stepping.meter(current, stored, used)
        return stepping.finish(current, stored, output, used)

    change(ports, cause, decide, claim=cause.id)
    stored = _stored(ports, entry)
    if stored.output is None or stored.input_sha256 != entry.input_sha256:
        raise Permanent(f"the result of step {entry.step} came too late", code="too-late")
    return stored.output


def _note_failure(
    ports: Ports, cause: Cause, entry: Entry, error: FabricError, used: Sequence[Usage], *, final: bool
) -> None:
    """Write the failure down, unless another attempt took the step over."""
    code = error.code if isinstance(error, Permanent) else "transient"

    def decide(current: Task) -> Decision:
        stored = _stored(ports, entry)
        if stored != entry:
            return stepping.meter(current, stored, used)
        return stepping.fail(current, entry, code, str(error), final=final, usages=used)

    change(ports, cause, decide, claim=cause.id)


def _stored(ports: Ports, entry: Entry) -> Entry:
    return ports.journal.find(entry.tenant, entry.task, entry.document, entry.step) or entry


def _cause(task: Task, call: Call, attempt: int, phase: str, source: str) -> Cause:
    name = derive(task.run_id, call.document, call.step, attempt, phase)
    return Cause(name, task.tenant, task.id, task.entity, source)
