"""Running the steps of a document, recording what came of it, and noting failures."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from shared.app.commit import change, relay
from shared.app.parking import Wait, give_back, give_way_to_others, park
from shared.app.paying import LeasePurse, models_for
from shared.app.purse import UNKNOWN_OUTCOME
from shared.app.tracing import Measured
from shared.core import stepping
from shared.core.admission import tenant_policy
from shared.core.pricing import worst_case
from shared.core.spans import of_attempt
from shared.core.stepping import Call, Spending
from shared.core.task import PARKED
from shared.core.workflow import Step, workflow
from shared.errors import FabricError, Permanent, Throttled, Transient
from shared.events.catalog import Cause
from shared.events.ids import Position, TaskId, Tenant, derive
from shared.tools.registry import Toolbox, get

if TYPE_CHECKING:
    from shared.core.decision import Decision
    from shared.core.journal import Entry
    from shared.core.task import Task
    from shared.ports import Ports


class StepRequest(BaseModel):
    """What a pipeline asks for: which step of which document, and the results of the steps before it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenant: Tenant
    task: TaskId
    document: Position
    step: str
    run: int | None = None  # who does not say it works for whichever run there is
    results: dict[str, Any] = {}
    fallback: bool = False


def run_step(ports: Ports, asked: StepRequest, *, source: str) -> dict[str, Any]:
    """Do a step and return its tool's output; a step that was done before answers from the journal.

    Intent, tool call and result are written down in that order. Transient asks for another attempt.
    """
    task = ports.tasks.load(asked.tenant, asked.task)
    task.at(asked.document)
    _check_run(task, asked.run)
    step = workflow(task.workflow).step(asked.step)
    call = Call(asked.document, step.name, step.arguments(task, asked.document, asked.results), asked.fallback)
    entry = ports.journal.find(task.tenant, task.id, call.document, call.step)
    if entry is not None and entry.output is not None and _answers(entry, call):
        relay(ports, tenant=task.tenant, entity=task.entity)
        return entry.output
    if entry is not None:  # this repeats an attempt that may have ended before it spoke
        relay(ports, tenant=task.tenant, entity=task.entity)
    if step.tokens is not None:
        give_way_to_others(ports, task, _cause(task, call, entry.attempt if entry else 0, "yield", source))
    begun = _begin(ports, task, step, call, entry, source)
    with Measured(ports, partial(of_attempt, begun, task.run)):
        return _attempt(ports, task, step, call, begun, source)


def _answers(entry: Entry, call: Call) -> bool:
    """Tell whether what was done is what is asked for, by the step's own tool or by its stand-in.

    A pipeline that never heard of a step's end asks the stand-in, and must not do again what was shown to somebody.
    """
    return entry.input_sha256 in {call.input_sha256, replace(call, fallback=not call.fallback).input_sha256}


def _check_run(task: Task, run: int | None) -> None:
    """Raise Permanent for a pipeline whose task was parked and goes on as another run."""
    if run is not None and run != task.run:
        raise Permanent(f"run {run} was parked, the task goes on as run {task.run}", code=PARKED)


def _begin(ports: Ports, task: Task, step: Step, call: Call, entry: Entry | None, source: str) -> Entry:
    """Write the intent, as long as the step's entry is the one that was seen; else somebody else is at it."""
    zone = tenant_policy(ports.tenants, task.tenant).data_zone
    busy = Transient(f"another attempt at step {call.step} of document {call.document} has just begun")

    def decide(current: Task) -> Decision:
        _check_run(current, task.run)
        if ports.journal.find(task.tenant, task.id, call.document, call.step) != entry:
            raise busy
        return stepping.start(current, step, call, entry, most=worst_case(ports.policy(), [step], zone))

    attempt = entry.attempt + 1 if entry else 1
    change(ports, _cause(task, call, attempt, "start", source), decide)
    begun = ports.journal.find(task.tenant, task.id, call.document, call.step)
    if begun is None or begun.attempt != attempt:
        raise busy
    return begun


def _attempt(ports: Ports, task: Task, step: Step, call: Call, entry: Entry, source: str) -> dict[str, Any]:
    purse, tool = LeasePurse(ports, task, entry, _cloud(source)), get(entry.tool)
    models = models_for(ports, purse, step, cacheable=tool.cacheable)
    try:
        output = tool.run(call.arguments, Toolbox(ports.documents, models)).model_dump(mode="json")
    except (Permanent, Transient) as error:
        wait = _wait_of(ports, error)
        if wait is not None:
            raise _give_way(ports, _cause(task, call, entry.attempt, "wait", source), entry, wait, purse) from error
        final = isinstance(error, Permanent) or entry.attempt >= step.retry.attempts
        cause = _cause(task, call, entry.attempt, "fail", source)
        _note_failure(ports, cause, entry, error, purse.spending, final=final)
        raise
    except Exception:  # a defect ends the step where it was; what was paid for until then is on the bill all the same
        _bill(ports, _cause(task, call, entry.attempt, "defect", source), entry, purse.spending)
        raise
    return _conclude(ports, _cause(task, call, entry.attempt, "finish", source), entry, output, purse.spending)


def _wait_of(ports: Ports, error: FabricError) -> Wait | None:
    """Return what a step has to wait for, when it did not fail."""
    if isinstance(error, Throttled):
        if error.code == "stopped":
            return Wait("stopped", str(error))
        return Wait("throttled", str(error), ports.now() + timedelta(seconds=error.retry_after))
    code = error.code if isinstance(error, Permanent) else ""
    if code == "budget-used-up" or (code == UNKNOWN_OUTCOME and ports.policy().on_unknown == "ask"):
        return Wait("budget", str(error))
    return Wait("quota", str(error)) if code == "lease-over" else None


def _give_way(ports: Ports, cause: Cause, entry: Entry, wait: Wait, purse: LeasePurse) -> Permanent:
    """Park the step's task and take the attempt back; return what tells the pipeline to stop here."""

    def decide(current: Task) -> Decision:
        stored = _stored(ports, entry)
        if _taken_over(stored, entry):
            return stepping.bill(current, stored, purse.spending)
        back = stepping.give_way(current, stored, purse.spending)
        waits = park(ports, back.task, wait, entry.document)
        return replace(waits, facts=(*back.facts, *waits.facts), entry=back.entry)

    parked = change(ports, cause, decide, claim=cause.id)
    give_back(ports, parked)
    return Permanent(f"the task waits: {wait.reason}", code=PARKED)


def _conclude(ports: Ports, cause: Cause, entry: Entry, output: dict[str, Any], spending: Spending) -> dict[str, Any]:
    """Write the result down, unless another attempt was faster; return the one that is in the journal."""

    def decide(current: Task) -> Decision:
        stored = _stored(ports, entry)
        if stored.done or stored.input_sha256 != entry.input_sha256:
            return stepping.bill(current, stored, spending)
        return stepping.finish(current, stored, output, spending)

    change(ports, cause, decide, claim=cause.id)
    stored = _stored(ports, entry)
    if stored.output is None or stored.input_sha256 != entry.input_sha256:
        raise Permanent(f"the result of step {entry.step} came too late", code="too-late")
    return stored.output


def _note_failure(
    ports: Ports, cause: Cause, entry: Entry, error: FabricError, spending: Spending, *, final: bool
) -> None:
    """Write the failure down, unless another attempt took the step over."""
    code = error.code if isinstance(error, Permanent) else "transient"

    def decide(current: Task) -> Decision:
        stored = _stored(ports, entry)
        if _taken_over(stored, entry):
            return stepping.bill(current, stored, spending)
        return stepping.fail(
            current, stored, code, str(error), final=final, spending=spending, prices=ports.policy().price_version
        )

    change(ports, cause, decide, claim=cause.id)


def _taken_over(stored: Entry, mine: Entry) -> bool:
    """Tell whether another attempt is at the step by now, or has done it; what is on its bill may have changed."""
    return stored.attempt != mine.attempt or stored.done


def _bill(ports: Ports, cause: Cause, entry: Entry, spending: Spending) -> None:
    change(ports, cause, lambda current: stepping.bill(current, _stored(ports, entry), spending), claim=cause.id)


def _stored(ports: Ports, entry: Entry) -> Entry:
    return ports.journal.find(entry.tenant, entry.task, entry.document, entry.step) or entry


def _cloud(source: str) -> str:
    """Return the first word of a source's path: where what it does is done."""
    return source.strip("/").partition("/")[0]


def _cause(task: Task, call: Call, attempt: int, phase: str, source: str) -> Cause:
    name = derive(task.run_id, call.document, call.step, attempt, phase)
    return Cause(name, task.tenant, task.id, task.entity, source)
