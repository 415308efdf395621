"""Where a task runs, and why there: the rule and its reason are part of the decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.core.task import Task
    from shared.events.task import Cloud


@dataclass(frozen=True, slots=True)
class Placement:
    """A cloud and the sentence that explains it."""

    cloud: Cloud
    reason: str


def place(task: Task) -> Placement:
    """A batch or a task that may need a human goes to Azure's durable review, anything else to AWS Express.

    Express cannot wait for people, and one execution takes one document.
    """
    count = len(task.documents)
    if count > 1:
        return Placement("azure", f"a batch of {count} documents needs fan-out and fan-in: durable review on Azure")
    if task.may_ask:
        return Placement(
            "azure",
            "its taxonomy may ask for an approval, which Express cannot wait for: durable review on Azure",
        )
    return Placement("aws", "one document and no approval possible: short pipeline on AWS Step Functions Express")
