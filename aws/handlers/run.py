"""The lanes' consumer: placed tasks in, their pipelines started.

Both lanes lead here; what makes one fast is how many of its batches are handled at a time. A start that failed for
a passing reason is reported and comes again when its queue shows it again: nobody else tries. What can never be
started goes to the dead letters at once, with its reason and its content.
"""

from __future__ import annotations

from aws.adapters.telemetry import count, note
from aws.verdicts import buried, unforeseen
from aws.wire import Json, failures, sqs_body
from aws.wiring import ports, starts
from shared.app.tasks import to_start
from shared.core.workflow import pipeline_input
from shared.errors import Permanent, Transient
from shared.events.catalog import AnyEvent, parse


def run(event: Json, _context: object = None) -> Json:
    """Start what a batch names; answer with the messages that have to come again.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    return failures([record["messageId"] for record in event["Records"] if not _handled(record)])


def _handled(record: Json) -> bool:
    """Return whether the message is done with; False asks for it again."""
    message = record["messageId"]
    try:
        _start(parse(sqs_body(record), transport="sqs"))
    except Transient:
        count("StartsDelayed")
        note("start delayed", sequence=message)
        return False
    except Permanent as poison:
        count("StartsRefused")
        note("start refused", severe=True, code=poison.code, sequence=message)
        return buried(ports(), record["body"], poison, f"{record['eventSourceARN']}/{message}")
    except Exception as error:  # noqa: BLE001  one bad message must not fail its batch
        unforeseen(error)
        return False
    return True


def _start(event: AnyEvent) -> None:
    """Start the pipeline of a placed task under its run's name."""
    task = to_start(ports(), event)
    if task is None:
        note("nothing to start any more", tenant=event.tenant, task=event.taskid)
        return
    starts().start(task.workflow, task.run_id, pipeline_input(task.tenant, task.id, 0, task.run))
    count("PipelinesStarted")
    note("pipeline started", tenant=task.tenant, task=task.id)


handler = run
