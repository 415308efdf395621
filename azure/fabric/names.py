"""What things are called at the durable hub: functions, instances, events.

Every name is derived from the run, so that whoever starts, wakes or stops an instance finds the same one.
An orchestrator that changes while instances run needs a new name beside the old one (`review_v2`).
"""

from __future__ import annotations

REVIEW = "review_v1"
REVIEW_DOCUMENT = "review_document_v1"
APPROVAL_CHECKPOINT = "approval_checkpoint_v1"

RUN_PIPELINE = "run_pipeline"
FAIL_DOCUMENT = "fail_document"
REQUEST_APPROVAL = "request_approval"
CHECK_APPROVAL = "check_approval"
RECORD_DOCUMENT = "record_document"

REVIEWS_QUEUE = "reviews"
STORAGE = "AzureWebJobsStorage"


def review(task: str, run: int) -> str:
    """Return the instance that reviews a task: the id of its run."""
    return f"{task}.{run}"


def parts_of(review_id: str) -> str:
    """Return what the ids of all of a review's sub-orchestrations begin with."""
    return f"{review_id}."


def document(review_id: str, position: int) -> str:
    """Return the instance that reviews one document."""
    return f"{parts_of(review_id)}document.{position}"


def checkpoint(review_id: str, position: int) -> str:
    """Return the instance in which one document waits for a human."""
    return f"{parts_of(review_id)}approval.{position}"


def decided(approval: str) -> str:
    """Return the event that wakes the checkpoint of an approval; no two checkpoints share one."""
    return f"approval-{approval}"
