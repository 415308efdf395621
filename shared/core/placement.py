"""Where a task runs, and why there: the rule and its reason are part of the decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.core.task import Task
    from shared.events.task import Cloud


@dataclass(frozen=True, slots=True)
class Placement:
    """A cloud and the sentence that explains it; the others, and why not there."""

    cloud: Cloud
    reason: str
    refused: tuple[tuple[Cloud, str], ...] = ()


_RECORDS: tuple[Cloud, str] = ("gcp", "it keeps the record and runs no reviews")


def place(task: Task) -> Placement:
    """A batch or a task that may need a human goes to Azure's durable review, anything else to AWS Express.

    Express cannot wait for people, and one execution takes one document.
    """
    count = len(task.documents)
    if count > 1:
        return Placement(
            "azure",
            f"a batch of {count} documents needs fan-out and fan-in: durable review on Azure",
            (("aws", "an Express execution takes one document"), _RECORDS),
        )
    if task.may_ask:
        return Placement(
            "azure",
            "its taxonomy may ask for an approval, which Express cannot wait for: durable review on Azure",
            (("aws", "Express cannot wait for a person"), _RECORDS),
        )
    return Placement(
        "aws",
        "one document and no approval possible: short pipeline on AWS Step Functions Express",
        (("azure", "nothing is to be fanned out or waited for: a durable review would be slower"), _RECORDS),
    )
