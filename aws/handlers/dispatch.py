"""The dispatcher: a Kinesis batch of events in, admitted tasks placed.

A record that can never be handled goes to the dead letters at once, with its reason and its content: the event
source's own destination would be told a sequence number only, after the shard had stood still for every retry.
That destination is left for what fails for a passing reason longer than the retries last.
"""

from __future__ import annotations

from aws.adapters.telemetry import count, note
from aws.verdicts import buried, unforeseen
from aws.wire import SOURCE, Json, failures, kinesis_body
from aws.wiring import ports
from shared.app.tasks import dispatch
from shared.errors import Permanent, Transient
from shared.events.catalog import parse
from shared.ports import Ports


def place(event: Json, _context: object = None) -> Json:
    """Handle a batch in order; answer with the records that have to come again.

    Kinesis delivers again from the lowest of them on. A key's later records wait for it; other keys' records may
    go ahead, because their second delivery changes nothing.
    """
    mine = ports()
    failed: list[str] = []
    held: set[str] = set()
    for record in event["Records"]:
        kinesis = record["kinesis"]
        if kinesis["partitionKey"] in held or not _handled(mine, record):
            held.add(kinesis["partitionKey"])
            failed.append(kinesis["sequenceNumber"])
    return failures(failed)


def _handled(mine: Ports, record: Json) -> bool:
    """Return whether the record is done with; False asks for it again."""
    number = record["kinesis"]["sequenceNumber"]
    try:
        task = dispatch(mine, parse(kinesis_body(record), transport="kinesis"), source=SOURCE)
    except Transient:
        note("record delayed", sequence=number)
        return False
    except Permanent as poison:
        count("RecordsPoisoned")
        note("record poisoned", severe=True, code=poison.code, sequence=number)
        return buried(mine, record["kinesis"]["data"], poison, record["eventID"])
    except Exception as error:  # noqa: BLE001  one bad record must not fail its batch
        unforeseen(error)
        return False
    if task is not None:
        count("TasksPlaced")
        note("task placed", tenant=task.tenant, task=task.id, sequence=number)
    return True


handler = place
