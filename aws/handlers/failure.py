"""The end of a pipeline that failed: the document is noted as failed, with the step that ended it and why."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from aws.adapters.telemetry import count, note
from aws.verdicts import pipeline
from aws.wire import SOURCE, Json
from aws.wiring import ports
from shared.app.outcomes import fail_document
from shared.core.failure import Fault, last_failure
from shared.core.workflow import workflow
from shared.events.catalog import checked
from shared.events.ids import Position, TaskId, Tenant


class Failed(BaseModel):
    """Which document failed, and what the definition's catchers kept, by step."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenant: Tenant
    task: TaskId
    document: Position
    failures: dict[str, Fault]


def failure(event: Json) -> Json:
    """Note the failure and return it as the execution's error and cause."""
    told = checked(Failed, event)
    mine = ports()
    flow = workflow(mine.tasks.load(told.tenant, told.task).workflow)
    last = last_failure(flow, told.failures)
    fail_document(mine, told.tenant, told.task, told.document, last, source=SOURCE)
    count("DocumentsFailed")
    note("document failed", tenant=told.tenant, task=told.task, document=told.document, step=last.step, code=last.code)
    return {"code": last.code, "reason": last.reason}


handler = pipeline(failure)
