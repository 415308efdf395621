"""The reviews' activities: each one call of a use case.

They may run twice, so each is idempotent below. A permanent verdict is a value (trying again would not help,
and the orchestrator has to go on); a passing one is raised, so that the engine tries again. What nobody foresaw is
raised by the name of its type alone: the engine writes an exception's text down, and that may quote a document.
"""

from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any

import azure.durable_functions as df

from azure.fabric import names, wiring
from azure.fabric.wire import SOURCE, ApprovalOf, DocumentOf, FailureOf, Outcome, UnforeseenError, note
from shared.app import approvals, outcomes
from shared.core.approval import Approval
from shared.core.failure import Failure
from shared.core.workflow import Workflow, pipeline_input, workflow
from shared.errors import FabricError, Permanent
from shared.ports import Ports

FAILED, NEEDS_APPROVAL, PENDING, RECORDED = "failed", "needs-approval", "pending", "recorded"

blueprint = df.Blueprint()


def run_pipeline(given: DocumentOf) -> Outcome:
    """Run the AWS pipeline on one document; it records those that need no human."""

    def work() -> Outcome:
        ports = wiring.ports()
        tenant, task, document = given["tenant"], given["task"], given["document"]
        flow = workflow(ports.tasks.load(tenant, task).workflow)
        name = f"{names.review(task, given['run'])}-{document}"
        output = ports.pipelines.run(flow.name, name=name, given=pipeline_input(tenant, task, document, given["run"]))
        return {"outcome": NEEDS_APPROVAL if _asks(flow, output) else RECORDED}

    return _verdict(given, work)


def fail_document(given: FailureOf) -> Outcome:
    """Note why a document cannot be reviewed."""

    def work() -> Outcome:
        ports = wiring.ports()
        why = Failure(_failed_at(ports, given), given["code"], given["reason"])
        outcomes.fail_document(ports, given["tenant"], given["task"], given["document"], why, source=SOURCE)
        return {"outcome": FAILED, "code": given["code"], "reason": given["reason"]}

    return _verdict(given, work)


def request_approval(given: DocumentOf) -> Outcome:
    """Ask for a document's approval, once."""

    def work() -> Outcome:
        ports = wiring.ports()
        return _standing(
            approvals.request_approval(ports, given["tenant"], given["task"], given["document"], source=SOURCE)
        )

    return _verdict(given, work)


def check_approval(given: ApprovalOf) -> Outcome:
    """Let the store say how an approval stands now, after escalating or expiring it where that is due."""

    def work() -> Outcome:
        ports = wiring.ports()
        if ports.tasks.load(given["tenant"], given["task"]).over:
            raise Permanent("the task is over", code="task-over")
        return _standing(approvals.tick_approval(ports, given["tenant"], given["approval"], source=SOURCE))

    return _verdict(given, work)


def record_document(given: DocumentOf) -> Outcome:
    """Conclude a document whose approval was decided."""

    def work() -> Outcome:
        outcomes.record_document(wiring.ports(), given["tenant"], given["task"], given["document"], source=SOURCE)
        return {"outcome": RECORDED}

    return _verdict(given, work)


def _verdict(given: DocumentOf, work: Callable[[], Outcome]) -> Outcome:
    try:
        outcome = work()
    except Permanent as error:
        outcome = {"outcome": FAILED, "code": error.code, "reason": str(error)[:1000]}
    except FabricError:
        raise
    except Exception as error:  # noqa: BLE001  the door: what the engine writes down must not quote a document
        note(error)
        raise UnforeseenError(type(error).__name__) from None
    finally:
        wiring.flush()
    return {"document": given["document"], **outcome}


def _failed_at(ports: Ports, given: DocumentOf) -> str:
    """Return the step that began and came to no end; without one it is not a step's fault, but the pipeline's."""
    tenant, task, document = given["tenant"], given["task"], given["document"]
    for step in workflow(ports.tasks.load(tenant, task).workflow).steps:
        entry = ports.journal.find(tenant, task, document, step.name)
        if entry is not None and not entry.done:
            return step.name
    return "pipeline"


def _standing(approval: Approval) -> Outcome:
    deadline = approval.deadline.astimezone(UTC).isoformat()
    return {"outcome": approval.status, "approval": approval.id, "deadline": deadline}


def _asks(flow: Workflow, output: Mapping[str, Any]) -> bool:
    step, field = flow.checkpoint.when.split(".")
    try:
        return output["results"][step][field] is True
    except (KeyError, TypeError) as missing:
        raise Permanent(f"the pipeline's output has no {flow.checkpoint.when}", code="not-ready") from missing


for _activity in (run_pipeline, fail_document, request_approval, check_approval, record_document):
    blueprint.activity_trigger(input_name="given")(_activity)
