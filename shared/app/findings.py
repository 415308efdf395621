"""What a run found out about one document, read back from its journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.core.workflow import workflow
from shared.errors import Permanent

if TYPE_CHECKING:
    from shared.core.task import Task
    from shared.events.document import DocumentRef
    from shared.ports import Ports


@dataclass(frozen=True, slots=True)
class Findings:
    """The outputs of a document's steps by step name, and what they cost in micro-USD."""

    document: DocumentRef
    steps: dict[str, dict[str, Any]]
    cost: int

    @property
    def reason(self) -> str:
        """Why policy wants a human, or does not."""
        return str(self.steps["policy"]["reason"])

    @property
    def asks(self) -> bool:
        """Whether policy wants a human."""
        return bool(self.steps["policy"]["approval_required"])

    @property
    def shown(self) -> dict[str, Any]:
        """What an approver is shown and decides on; an approval is bound to its digest."""
        return {
            "sha256": self.document.sha256,
            "label": self.steps["classify"]["label"],
            "summary": self.steps["summarise"]["summary"],
            "reason": self.reason,
        }


def findings(ports: Ports, task: Task, document: int) -> Findings:
    """Return what is known of a document; Permanent when a step has no result yet."""
    task.at(document)
    steps: dict[str, dict[str, Any]] = {}
    cost = 0
    for step in workflow(task.workflow).steps:
        entry = ports.journal.find(task.tenant, task.id, document, step.name)
        if entry is None or entry.output is None:
            raise Permanent(f"step {step.name} of document {document} has no result yet", code="not-ready")
        steps[step.name] = entry.output
        cost += entry.cost
    return Findings(task.documents[document], steps, cost)
