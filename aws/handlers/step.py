"""One step of a pipeline: Step Functions asks, the step's tool answers."""

from __future__ import annotations

from aws.adapters.telemetry import count, note
from aws.verdicts import pipeline
from aws.wire import SOURCE, Json
from aws.wiring import ports
from shared.app.steps import StepRequest, run_step
from shared.events.catalog import checked


def step(event: Json) -> Json:
    """Run the step, or return what it gave before."""
    asked = checked(StepRequest, event)
    output = run_step(ports(), asked, source=SOURCE)
    count("StepsDone")
    note("step done", tenant=asked.tenant, task=asked.task, document=asked.document, step=asked.step)
    return output


handler = pipeline(step)
