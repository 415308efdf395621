"""What approvers see and say. GET shows and never decides; who decides is told by the platform, not by the body."""

from typing import Any

import azure.durable_functions as df
import azure.functions as func

from azure.fabric import wiring
from azure.fabric.wire import SOURCE, Caller, answer, answered, caller_of, page_of, vote_of
from shared.app.approvals import decide_approval
from shared.app.findings import findings
from shared.core.admission import tenant_policy
from shared.core.approval import Approval, budget_shown
from shared.core.journal import digest
from shared.ports import Ports

blueprint = df.Blueprint()


def list_approvals(req: func.HttpRequest) -> func.HttpResponse:
    """Return a page of the decisions that the caller's tenant waits for."""

    def work() -> func.HttpResponse:
        ports, caller = _entered(req)
        limit, after = page_of(req)
        page = ports.approvals.pending(caller.tenant, limit=limit, after=after)
        following = page[-1].id if len(page) == limit else None
        return answer(200, {"approvals": [summary(approval) for approval in page], "next": following})

    return answered(work)


def get_approval(req: func.HttpRequest) -> func.HttpResponse:
    """Return what is to be decided, and what its class rests on; the digest is of exactly what is shown."""

    def work() -> func.HttpResponse:
        ports, caller = _entered(req)
        approval = ports.approvals.find(caller.tenant, req.route_params["approval"])
        return answer(200, {**summary(approval), **bound(ports, approval)})

    return answered(work)


def bound(ports: Ports, approval: Approval) -> dict[str, Any]:
    """Return what the decision is about, its digest, and what that rests on."""
    task = ports.tasks.load(approval.tenant, approval.task)
    if approval.about == "budget":
        shown = budget_shown(approval, task)
        return {"shown": shown, "digest": digest(shown), "spent": task.spent}
    found = findings(ports, task, approval.document)
    return {"shown": found.shown, "digest": digest(found.shown), "classified": found.steps["classify"]}


def decide(req: func.HttpRequest) -> func.HttpResponse:
    """Count the caller's vote and return how the approval stands."""

    def work() -> func.HttpResponse:
        ports, caller = _entered(req)
        vote = vote_of(req, caller.person)
        approval = decide_approval(ports, caller.tenant, req.route_params["approval"], vote, source=SOURCE)
        wiring.flush()
        return answer(200, summary(approval))

    return answered(work)


def _entered(req: func.HttpRequest) -> tuple[Ports, Caller]:
    caller = caller_of(req.headers, vouched=wiring.identity_is_vouched_for())
    ports = wiring.ports()
    tenant_policy(ports.tenants, caller.tenant)
    return ports, caller


def summary(approval: Approval) -> dict[str, Any]:
    """Return how an approval stands."""
    shown = {
        "id",
        "about",
        "task",
        "entity",
        "document",
        "name",
        "reason",
        "status",
        "level",
        "requested_by",
        "requested_at",
        "deadline",
    }
    return {
        **approval.model_dump(mode="json", include=shown),
        "approvers": list(approval.approvers),
        "four_eyes": approval.policy.four_eyes,
        "voted": [vote.by.shown or vote.by.name for vote in approval.votes],
        "expired": approval.expired,
    }


# Anonymous to the host, because App Service authentication stands in front and says who calls (`caller_of`).
for _route, _method, _handler in (
    ("approvals", "GET", list_approvals),
    ("approvals/{approval}", "GET", get_approval),
    ("approvals/{approval}/decision", "POST", decide),
):
    blueprint.route(route=_route, methods=[_method], auth_level=func.AuthLevel.ANONYMOUS)(_handler)
