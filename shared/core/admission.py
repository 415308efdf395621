"""Admission: whether a tenant's submission may become a task, decided before anything is spent."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydantic import BaseModel, ConfigDict, Field

from shared.core.money import usd
from shared.core.policy import TenantPolicy
from shared.core.workflow import Workflow, workflow
from shared.errors import Forbidden, Permanent
from shared.events.document import DocumentRef
from shared.events.ids import Entity, Tenant
from shared.events.task import Priority


class Submission(BaseModel):
    """What a client sends. Who pays is not in it: the tenant comes from the caller's identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workflow: str = Field(default="document-review", max_length=64)
    entity: Entity
    documents: tuple[DocumentRef, ...] = Field(min_length=1)
    taxonomy: DocumentRef
    budget_micro_usd: int | None = Field(default=None, gt=0)
    priority: Priority = "standard"


def tenant_policy(tenants: Mapping[Tenant, TenantPolicy], tenant: Tenant) -> TenantPolicy:
    """Return the tenant's policy; Forbidden for a tenant nobody has set up."""
    policy = tenants.get(tenant)
    if policy is None:
        raise Forbidden(f"unknown tenant {tenant!r}", code="unknown-tenant")
    return policy


def admit(submission: Submission, policy: TenantPolicy, worst_of: Callable[[Workflow], int]) -> int:
    """Return the budget of the task, in micro-USD.

    It is what the client names, else the run's worst case: a run whose budget is used up pauses and asks for more.
    Raises Forbidden for a workflow or a budget the tenant may not have, Permanent for too many documents.
    """
    if submission.workflow not in policy.workflows:
        allowed = ", ".join(policy.workflows)
        raise Forbidden(f"workflow {submission.workflow!r} is not among yours: {allowed}", code="unknown-workflow")
    flow = workflow(submission.workflow)
    count = len(submission.documents)
    if count > flow.max_documents:
        raise Permanent(
            f"{count} documents; one task takes {flow.max_documents}, split them",
            code="too-many",
            where="documents",
        )
    budget = submission.budget_micro_usd or worst_of(flow) * count
    if budget > policy.max_budget:
        raise Forbidden(
            f"{usd(budget)} is more than the {usd(policy.max_budget)} you may spend on a task",
            code="budget-too-large",
        )
    return budget
