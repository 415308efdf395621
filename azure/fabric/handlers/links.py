"""Approval links: a person gets one, looks by it, and decides by it. GET shows and never decides; a link decides once.

Whoever has a link has the vote that it names, signed in or not; a signed-in person must be the one it names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import azure.durable_functions as df
import azure.functions as func

from azure.fabric import pages, wiring
from azure.fabric.handlers.approvals import bound, summary
from azure.fabric.wire import PRINCIPAL, SOURCE, answer, answered, caller_of, choice_of, holder_of, paged
from shared.app import links
from shared.core.admission import tenant_policy
from shared.core.links import over
from shared.errors import Forbidden

if TYPE_CHECKING:
    from azure.fabric.pages import Page
    from shared.core.links import Link

blueprint = df.Blueprint()


def make(req: func.HttpRequest) -> func.HttpResponse:
    """Return a link for the caller, or for whom a notifier names: its path, and until when it is good."""

    def work() -> func.HttpResponse:
        holder = holder_of(req, vouched=wiring.identity_is_vouched_for())
        ports = wiring.ports()
        tenant_policy(ports.tenants, holder.tenant)
        approval = req.route_params["approval"]
        made = links.make_link(ports, wiring.link_keys(), holder.tenant, approval, holder.person)
        return answer(200, {"path": f"/api/links/{made.text}", "expires": made.expires})

    return answered(work)


def look(req: func.HttpRequest) -> func.HttpResponse:
    """Return the page of a link that was not used yet."""

    def work() -> Page:
        ports = wiring.ports()
        link, approval = links.open_link(ports, wiring.link_keys(), req.route_params["link"])
        _check_person(req, link)
        content = bound(ports, approval)
        if content["digest"] != link.digest:
            raise over("what this link was about changed since")
        return pages.question(summary(approval), content["shown"], link.digest, link.shown or link.person)

    return paged(work)


def decide(req: func.HttpRequest) -> func.HttpResponse:
    """Cast the link's vote."""

    def work() -> Page:
        said = choice_of(req)
        ports, keys, text = wiring.ports(), wiring.link_keys(), req.route_params["link"]
        _check_person(req, links.opened_link(ports, keys, text))
        approval = links.use_link(ports, keys, text, said.verdict, said.comment, source=SOURCE)
        wiring.flush()
        return pages.outcome(summary(approval))

    return paged(work)


def _check_person(req: func.HttpRequest, link: Link) -> None:
    """Raise Forbidden when somebody else is signed in than the link is for."""
    if not req.headers.get(PRINCIPAL):
        return
    caller = caller_of(req.headers, vouched=wiring.identity_is_vouched_for())
    if (caller.tenant, caller.person.name) != (link.tenant, link.person):
        raise Forbidden("this link is somebody else's", code="link-forged")


# A link is its holder's identity: App Service authentication has to let /api/links/* through.
for _route, _method, _handler in (
    ("approvals/{approval}/link", "POST", make),
    ("links/{link}", "GET", look),
    ("links/{link}", "POST", decide),
):
    blueprint.function_name(f"{_handler.__name__}_link")(
        blueprint.route(route=_route, methods=[_method], auth_level=func.AuthLevel.ANONYMOUS)(_handler)
    )
