"""A call of a model whose end nobody will ever know, for tests of those who look after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.app import ledger
from shared.app.commit import change
from shared.app.leases import lease_id
from shared.core import task as tasks
from shared.core.draws import DrawAsk
from shared.core.stepping import Call, start
from shared.core.workflow import workflow
from shared.events.catalog import Cause

if TYPE_CHECKING:
    from shared.core.task import Task
    from shared.ports import Ports

DRAW, WORST = "a-call", 9


def lose_a_call(ports: Ports, task: Task) -> None:
    """Place the task if nobody has, and have a call of its first document out that ends without a word."""
    cause = Cause("lost", task.tenant, task.id, task.entity, "/test")
    if task.status is tasks.Status.ADMITTED:
        task = change(ports, cause, tasks.place)
    step, begun = workflow(task.workflow).step("classify"), Call(0, "classify", {})
    change(ports, cause, lambda now: start(now, step, begun, None, most=WORST))
    asked = DrawAsk(DRAW, 0, step.name, "extractive-1", WORST, "a" * 64, ports.now().timestamp(), 30.0)
    ledger.draw(ports, task.tenant, lease_id(task.id), asked)
    ledger.unknown(ports, task.tenant, lease_id(task.id), DRAW)
