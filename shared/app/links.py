"""Deciding by a link: making one, looking at what it is about, and casting the one vote that it is good for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from shared.app.approvals import decide_approval
from shared.core.admission import tenant_policy
from shared.core.approval import Vote
from shared.core.links import Link, link_for, opened, over, seal
from shared.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.core.approval import Approval, Person
    from shared.events.approval import Verdict
    from shared.ports import Ports


class Made(NamedTuple):
    """A link as text, and until when it is good, in seconds since the epoch."""

    text: str
    expires: int


def make_link(ports: Ports, keys: Sequence[bytes], tenant: str, approval: str, person: Person) -> Made:
    """Return the person's link to an approval; Forbidden for somebody who may not decide it."""
    _check_on(keys)
    link = link_for(ports.approvals.find(tenant, approval), person, ports.now())
    return Made(seal(link, keys), link.expires)


def open_link(ports: Ports, keys: Sequence[bytes], text: str) -> tuple[Link, Approval]:
    """Return a link and the approval it is about; Permanent (`link-over`) when it is good for nothing any more."""
    link = opened_link(ports, keys, text)
    approval = ports.approvals.find(link.tenant, link.approval)
    if _used(approval, link) is not None:
        raise over("this link was used")
    if (approval.status, approval.level, approval.digest) != ("pending", link.level, link.digest):
        raise over("what this link was about was decided, escalated or changed since")
    return link, approval


def use_link(
    ports: Ports, keys: Sequence[bytes], text: str, verdict: Verdict, comment: str, *, source: str
) -> Approval:
    """Cast the link's vote; the same vote again by the same link is the same answer, and any other is refused."""
    link = opened_link(ports, keys, text)
    approval = ports.approvals.find(link.tenant, link.approval)
    used = _used(approval, link)
    if used is not None and used.verdict != verdict:
        raise over("this link was used")
    if used is None and approval.level != link.level:
        raise over("the approval was escalated since")
    vote = Vote(verdict=verdict, by=link.by, digest=link.digest, comment=comment, link=link.id)
    return decide_approval(ports, link.tenant, link.approval, vote, source=source)


def opened_link(ports: Ports, keys: Sequence[bytes], text: str) -> Link:
    """Return a link that is ours and has not expired, whatever became of its approval."""
    _check_on(keys)
    link = opened(text, keys, ports.now())
    tenant_policy(ports.tenants, link.tenant)
    return link


def _used(approval: Approval, link: Link) -> Vote | None:
    return next((vote for vote in approval.votes if vote.link == link.id), None)


def _check_on(keys: Sequence[bytes]) -> None:
    if not keys:
        raise NotFound("there are no approval links here: no key was set")
