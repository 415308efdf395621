"""Spans: how long each piece of a task's work took, what came of it, what it cost.

A span says what it is about, and its ids are derived from that: whoever does the work knows them, on any cloud, so that
no header carries them, and a repeated attempt writes the same span. They are computed when a span is looked at, not
where the work is done. Of documents, prompts and people a span says nothing: `Facts` is all there is to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypedDict

from shared.core.task import PARKED
from shared.events.ids import span_id, trace_id

if TYPE_CHECKING:
    from shared.core.approval import Approval
    from shared.core.journal import Entry
    from shared.core.task import Task

CHAT, TOOL, WORKFLOW = "chat", "execute_tool", "invoke_workflow"
# https://opentelemetry.io/docs/specs/semconv/gen-ai/ says how these are called; what it knows no name for is ours.
Facts = TypedDict(
    "Facts",
    {
        "gen_ai.operation.name": str,
        "gen_ai.provider.name": str,
        "gen_ai.request.model": str,
        "gen_ai.request.max_tokens": int,
        "gen_ai.usage.input_tokens": int,
        "gen_ai.usage.output_tokens": int,
        "gen_ai.tool.name": str,
        "gen_ai.workflow.name": str,
        "agentfabric.tenant": str,
        "agentfabric.task": str,
        "agentfabric.run": int,
        "agentfabric.cloud": str,
        "agentfabric.priority": str,
        "agentfabric.document": int,
        "agentfabric.documents": int,
        "agentfabric.step": str,
        "agentfabric.attempt": int,
        "agentfabric.deployment": str,
        "agentfabric.kind": str,
        "agentfabric.outcome": str,
        "agentfabric.cost_micro_usd": int,
        "agentfabric.budget_micro_usd": int,
    },
    total=False,
)
NAMES = Facts.__optional_keys__
PROVIDERS = {"azure-openai": "azure.ai.openai", "bedrock": "aws.bedrock", "gemini": "gcp.gemini"}  # others: as here


class Span(NamedTuple):
    """A piece of a task's work, from `start` to `end` in seconds since the epoch.

    `within` is what the piece that this one is a part of is about, nothing for the task as a whole; `fault` is a code.
    """

    task: str
    about: str
    within: str
    name: str
    start: float
    end: float
    fault: str
    facts: Facts

    @property
    def trace(self) -> str:
        """The id of its task's trace."""
        return trace_id(self.task)

    @property
    def id(self) -> str:
        """Its own id."""
        return span_id(self.about)

    @property
    def parent(self) -> str:
        """The id of the span that it is a part of, or nothing."""
        return span_id(self.within) if self.within else ""


def attempt(entry: Entry, run: int) -> str:
    """Return what the span of an attempt at a step is about."""
    return f"{entry.task}.{run}/{entry.document}/{entry.step}/{entry.attempt}"


def of_admission(task: Task, end: float) -> Span:
    """Return the span of a new task's way through the limits of its tenant, until it was written down."""
    facts: Facts = {
        "agentfabric.tenant": task.tenant,
        "agentfabric.task": task.id,
        "agentfabric.priority": task.priority,
        "agentfabric.budget_micro_usd": task.budget,
    }
    fault = "rejected" if task.status == "rejected" else ""
    return Span(task.id, f"{task.id}/admit", task.id, "admit", task.submitted_at.timestamp(), end, fault, facts)


def of_attempt(entry: Entry, run: int, start: float, end: float, fault: str) -> Span:
    """Return the span of an attempt at a step."""
    facts: Facts = {
        "gen_ai.operation.name": TOOL,
        "gen_ai.tool.name": entry.tool,
        "agentfabric.tenant": entry.tenant,
        "agentfabric.task": entry.task,
        "agentfabric.run": run,
        "agentfabric.document": entry.document,
        "agentfabric.step": entry.step,
        "agentfabric.attempt": entry.attempt,
    }
    if fault == PARKED:  # it waits, nothing failed
        fault, facts["agentfabric.outcome"] = "", "parked"
    return Span(entry.task, attempt(entry, run), entry.task, f"{TOOL} {entry.tool}", start, end, fault, facts)


def of_task(task: Task, end: float) -> Span:
    """Return the span of a task that is over, from its submission on: all of its runs."""
    facts: Facts = {
        "gen_ai.operation.name": WORKFLOW,
        "gen_ai.workflow.name": task.workflow,
        "agentfabric.tenant": task.tenant,
        "agentfabric.task": task.id,
        "agentfabric.run": task.run,
        "agentfabric.cloud": task.placed_on or "",
        "agentfabric.priority": task.priority,
        "agentfabric.documents": len(task.documents),
        "agentfabric.outcome": task.status.value,
        "agentfabric.cost_micro_usd": task.spent,
        "agentfabric.budget_micro_usd": task.budget,
    }
    fault = "" if task.status == "completed" else task.status.value
    name = f"{WORKFLOW} {task.workflow}"
    return Span(task.id, task.id, "", name, task.submitted_at.timestamp(), end, fault, facts)


def of_wait(task: Task, since: float, end: float) -> Span:
    """Return the span of a parked task's wait, the task being what it was while it waited."""
    facts: Facts = {
        "agentfabric.tenant": task.tenant,
        "agentfabric.task": task.id,
        "agentfabric.run": task.run,
        "agentfabric.kind": task.parked_for or "",
    }
    return Span(task.id, f"{task.run_id}/parked", task.id, f"parked {task.parked_for}", since, end, "", facts)


def of_approval(approval: Approval, end: float) -> Span:
    """Return the span of a decision that was owed and is no more."""
    facts: Facts = {
        "agentfabric.tenant": approval.tenant,
        "agentfabric.task": approval.task,
        "agentfabric.run": approval.run,
        "agentfabric.document": approval.document,
        "agentfabric.kind": approval.about,
        "agentfabric.outcome": approval.status,
    }
    fault = "expired" if approval.expired else ""
    start, name = approval.requested_at.timestamp(), f"approval {approval.about}"
    return Span(approval.task, f"approval/{approval.id}", approval.task, name, start, end, fault, facts)
