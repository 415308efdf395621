"""The end of a lease of which calls were out when it closed, or told after that: bill and ledger agree, and it rests.

Whoever made such a call puts it on the bill, unless the process ends before that. So somebody comes round when no call
can be out any more. All of this may be done twice, and by many at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.app import ledger
from shared.app.commit import bill_the_rest
from shared.errors import NotFound

if TYPE_CHECKING:
    from shared.core.ledger import Lease
    from shared.core.task import Task
    from shared.ports import Ports


def wind_up(ports: Ports, due: Lease, *, source: str) -> None:
    """End the calls of a closing lease, put its task's bill right and let it rest."""
    task = _task(ports, due)

    def bill(seen: Lease) -> None:
        mine = task
        while mine is not None and bill_the_rest(ports, mine, seen, source):
            mine = _task(ports, seen)

    again_at = ports.now().timestamp() + ports.policy().runs.lease_seconds
    ledger.wind_up(ports, due, bill, over=task is None or task.over, again_at=again_at)


def _task(ports: Ports, lease: Lease) -> Task | None:
    try:
        return ports.tasks.load(lease.tenant, lease.task)
    except NotFound:
        return None
