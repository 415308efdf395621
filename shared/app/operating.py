"""What operators see and change of a running fabric: the policy, the tenants' accounts, the switches.

Settings are asked for as they are, not as they were a moment ago. Who is an operator is the door's to say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from shared.app import policy as policies
from shared.app import switches, trail
from shared.app.recent import EVERY, Recent
from shared.app.trail import Doing
from shared.core.buckets import level
from shared.core.ledger import Book, windows_at
from shared.core.policy_edit import toml_of
from shared.core.policy_text import parse, read
from shared.core.switches import stopped
from shared.core.workflow import workflow
from shared.errors import Conflict, NotFound, Permanent

if TYPE_CHECKING:
    from datetime import datetime

    from shared.app.switches import Controls
    from shared.core.policy import Policy, TenantPolicy
    from shared.core.switches import Scope, Switch
    from shared.ports import Ports, Settings

CHANGED = (policies.NAME, switches.NAME)  # the settings that operators write
_SEEN = 2 * EVERY  # by then every process goes by a switch, even one whose writing took a moment


class Written(NamedTuple):
    """A policy's text, which writing of it this is (0: nobody wrote one yet), and the version that is in force."""

    text: str
    revision: int
    version: str


def as_is(ports: Ports) -> Ports:
    """Return the ports with settings, and the policy that is kept in them, read from the store each time."""
    settings, before = ports.settings, ports.policy
    source = settings.source if isinstance(settings, Recent) else settings

    def now() -> Policy:
        text = policies.written(source, policies.NAME)
        return before() if text is None else read(text, before).policy

    return replace(ports, settings=source, policy=now)


def policy(ports: Ports) -> Written:
    """Return the policy as it is written; the tenants of the deployment while nobody wrote one."""
    found = ports.settings.read(policies.NAME)
    now = ports.policy()
    return Written(found.text if found.version else _seed(now), found.version, now.version)


def policy_of(ports: Controls, version: str) -> str:
    """Return the policy as it was written that has, or that had, this version or these prices' version."""
    return policies.in_its_version(ports.settings, version, ports.policy())


def _seed(policy: Policy) -> str:
    tenants = {name: one.model_dump(mode="json", exclude_unset=True) for name, one in policy.tenants.items()}
    return toml_of(json.dumps({"tenants": tenants}))


def put_policy(ports: Ports, text: str, revision: int, *, by: str) -> Policy:
    """Put a policy in force instead of that revision; Permanent, and nothing changes, unless all of it is in order."""
    try:
        policies.check_unmoved(ports.settings, revision)
        note_policy(ports.settings, text, revision + 1, by=by, at=ports.now())
        return policies.change(ports.settings, text, instead_of=revision, now=ports.policy())
    except Conflict as other:
        raise moved_on() from other


def moved_on() -> Permanent:
    """Return what to tell an operator whose policy was made from one that is no longer there."""
    what = "it was changed since you read it; read it again and decide again"
    return Permanent(what, code="conflict", where="policy")


def note_policy(settings: Settings, text: str, revision: int, *, by: str, at: datetime) -> Policy:
    """Note that somebody is about to put a policy in force, and return it; Permanent unless all of it is in order."""
    made = parse(text)
    trail.note(settings, Doing("policy", "policy", by, text, revision, made.version), at)
    return made


def tenants(ports: Controls, *, limit: int | None = None, after: str = "") -> list[dict[str, Any]]:
    """Return what is known of all tenants, or of up to `limit` of those after one, in the order of their names."""
    known, stops = ports.tenants, switches.switched(ports)
    names = sorted(name for name in known if name > after)[:limit]
    return [facts(ports, name, known[name], stops) for name in names]


def tenant(ports: Controls, name: str) -> dict[str, Any]:
    """Return what is known of one tenant; NotFound when the policy names none of that name."""
    known = ports.tenants
    if name not in known:
        raise NotFound(f"no tenant {name!r} in the policy")
    return facts(ports, name, known[name], switches.switched(ports))


def facts(ports: Controls, name: str, policy: TenantPolicy, stops: Iterable[Switch]) -> dict[str, Any]:
    """Return a tenant's limits and what is used of them, as plain values; amounts in micro-USD."""
    account, now = ports.ledger.account(name), ports.now().timestamp()
    day, month = (account.books.get(window, Book()) for window in windows_at(now))
    switch = next((one for one in stops for flow in policy.workflows if stopped((one,), name, flow)), None)
    return {
        "tenant": name,
        "stopped": f"by {switch.by}: {switch.reason}" if switch else "",
        "spent_today": day.settled,
        "held_today": day.open,
        "spent_this_month": month.settled,
        "held_this_month": month.open,
        "open_runs": account.runs,
        "requests_left": round(level(account.requests, policy.requests, now), 2),
        "tokens_left": round(level(account.tokens, policy.tokens, now)),
        "turned_away": account.turned_away,
        "waiting_for_money": len(account.waits),
        "limits": policy.model_dump(mode="json"),
    }


def stop(ports: Controls, scope: Scope, name: str, *, by: str, reason: str) -> Switch:
    """Stop new calls; NotFound for what there is not: whoever mistypes a name would think it is stopped."""
    if scope == "workflow":
        workflow(name)
    if scope == "tenant" and name not in ports.tenants and not ports.ledger.account(name).version:
        raise NotFound(f"no tenant {name!r}; there are {_listed(ports.tenants)}")
    return switches.stop(ports, scope, name, by=by, reason=reason)


def _listed(known: Mapping[str, object]) -> str:
    return ", ".join(sorted(known)[:20])


def quiet(ports: Controls, scope: Scope, name: str) -> bool:
    """Tell whether no such call can be out any more: not before every process goes by the switches there are."""
    now = ports.now()
    if any(now - one.since < _SEEN for one in switches.switched(ports)):
        return False
    return switches.quiet(ports, scope, name)
