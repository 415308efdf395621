"""What becomes of the documents of a message that nobody could handle: each fails, with the reason, and nobody waits.

Goes through the use cases, so that the record tells it like any other ending.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shared.app.outcomes import fail_document
from shared.app.tasks import dispatch
from shared.core.failure import Failure
from shared.core.task import is_settled
from shared.errors import Permanent
from shared.events.catalog import parse

if TYPE_CHECKING:
    from shared.core.task import Task
    from shared.events.catalog import AnyEvent
    from shared.ports import Ports

_SOURCE = "/local"


def fail_documents(ports: Ports, body: str, reason: str) -> None:
    """Fail what the message was about and is not settled; a message that names no task of ours is about nothing."""
    found = _about(ports, body)
    if found is None:
        return
    event, task = found
    if not task.over:
        dispatch(ports, event, source=_SOURCE)  # nothing can fail before it is placed
    for document in _documents(event, task):
        why = Failure("delivery", "undeliverable", reason)
        fail_document(ports, task.tenant, task.id, document, why, source=_SOURCE)


def _about(ports: Ports, body: str) -> tuple[AnyEvent, Task] | None:
    try:
        event = parse(body)
        return event, ports.tasks.load(event.tenant, event.taskid)
    except Permanent:
        return None


def _documents(event: AnyEvent, task: Task) -> Sequence[int]:
    one = getattr(event.data, "document", None)
    concerned = range(len(task.documents)) if one is None else [one]
    return [document for document in concerned if not is_settled(task, document)]
