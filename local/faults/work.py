"""What the processes do with a message: the use cases, driven as the clouds' engines drive them.

The dispatcher is the real Lambda handler, because what it reports of a batch is what brings the rest of it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local import wiring
from local.clouds import aws
from shared.app.approvals import request_approval
from shared.app.outcomes import fail_document, record_document
from shared.app.record import record
from shared.app.steps import StepRequest, run_step
from shared.core.failure import Failure
from shared.core.task import SETTLED, Progress, Status
from shared.core.workflow import workflow
from shared.errors import FabricError, Permanent, Transient
from shared.events.catalog import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.sqlite.broker import Message
    from shared.core.task import Task
    from shared.core.workflow import Step
    from shared.events.catalog import AnyEvent
    from shared.ports import Ports

SOURCE = "/storm"
_BOOKKEEPING = 4  # attempts at writing down how a document ended, as the state machine has it


def dispatch_batch(ports: Ports, messages: Sequence[Message]) -> set[int]:
    """Hand a Kinesis batch to the dispatcher; return the ids it wants again."""
    with wiring.using(ports):
        return aws.deliver_work(messages)


def record_message(ports: Ports, message: Message) -> None:
    """Write an event into the record."""
    record(ports, message.body, message.attributes)


def run_pipeline(ports: Ports, message: Message) -> None:
    """Do what Step Functions does with a placed task; Transient when it ended and the task's run did not."""
    event = parse(message.body)
    task = ports.tasks.load(event.tenant, event.taskid)
    if task.status not in {Status.PLACED, Status.RUNNING} or task.run != event.data.run:
        return
    _document(ports, task, 0)
    after = ports.tasks.load(event.tenant, event.taskid)
    if not after.over and after.status is not Status.PARKED and after.run == task.run:
        raise Transient("the execution ended, its task goes on")


def review(ports: Ports, message: Message) -> None:
    """Do what the durable review does: documents one after the other, a question where one is due, its answer."""
    event = parse(message.body)
    task = ports.tasks.load(event.tenant, event.taskid)
    if event.type == "approval.decided":
        _decided(ports, task, event)
    elif event.type == "task.placed" and task.run == event.data.run and not task.over:
        for document in range(len(task.documents)):
            _reviewed(ports, task, document)


def _decided(ports: Ports, task: Task, event: AnyEvent) -> None:
    document = event.data.document
    if not task.over and task.at(document) is Progress.DECIDED:
        record_document(ports, task.tenant, task.id, document, source=SOURCE)


def _reviewed(ports: Ports, task: Task, document: int) -> None:
    now = ports.tasks.load(task.tenant, task.id)
    if now.over or now.status is Status.PARKED or now.run != task.run or now.at(document) in SETTLED:
        return
    if _document(ports, task, document):
        return
    if request_approval(ports, task.tenant, task.id, document, source=SOURCE).status != "pending":
        record_document(ports, task.tenant, task.id, document, source=SOURCE)


def _document(ports: Ports, task: Task, document: int) -> bool:
    """Run a document's steps and write down how they ended; False when a human has to be asked."""
    results: dict[str, Any] = {}
    for step in workflow(task.workflow).steps:
        failure = _step(ports, task, step, results, document)
        if failure is not None:
            _written(lambda: fail_document(ports, task.tenant, task.id, document, failure, source=SOURCE))  # noqa: B023  called at once
            return True
    if results["policy"]["approval_required"]:
        return False
    _written(lambda: record_document(ports, task.tenant, task.id, document, source=SOURCE))
    return True


def _step(ports: Ports, task: Task, step: Step, results: dict[str, Any], document: int) -> Failure | None:
    """Try a step as often as the table says, and its fallback; put its output into `results` or say why not."""
    last: FabricError = Permanent("it was never tried")
    for fallback in (False, True)[: 2 if step.fallback else 1]:
        asked = StepRequest(
            tenant=task.tenant,
            task=task.id,
            run=task.run,
            document=document,
            step=step.name,
            results=dict(results),
            fallback=fallback,
        )
        for _ in range(step.retry.attempts):
            try:
                results[step.name] = run_step(ports, asked, source=SOURCE)
            except Transient as passing:
                last = passing
            except Permanent as final:
                last = final
                break
            else:
                return None
    return Failure(step.name, getattr(last, "code", "transient"), str(last))


def _written(write: Any) -> None:  # noqa: ANN401  any use case
    for left in reversed(range(_BOOKKEEPING)):
        try:
            write()
        except Transient:
            if not left:
                raise
        else:
            return
