"""The end of a pipeline that nobody had to be asked in: the document's review is concluded."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from aws.adapters.telemetry import count, note
from aws.verdicts import pipeline
from aws.wire import SOURCE, Json
from aws.wiring import ports
from shared.app.outcomes import record_document
from shared.events.catalog import checked
from shared.events.ids import Position, TaskId, Tenant


class Concluded(BaseModel):
    """Which document is through."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenant: Tenant
    task: TaskId
    document: Position


def record(event: Json) -> Json:
    """Conclude the review from its journal."""
    done = checked(Concluded, event)
    task = record_document(ports(), done.tenant, done.task, done.document, source=SOURCE)
    count("DocumentsReviewed")
    note("document reviewed", tenant=done.tenant, task=done.task, document=done.document)
    return {"status": task.status}


handler = pipeline(record)
