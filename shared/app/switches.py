"""Stopping and starting work while the fabric runs, and knowing when all is quiet.

Before each paid call `check` is asked. The switches it goes by are half a second old at most; that they cannot be read
stops work as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from shared.app import ledger
from shared.app.trail import Doing, note
from shared.core.ledger import busy
from shared.core.switches import Scope, Switch, refuse, switches_in, text_of, without
from shared.errors import Conflict, Transient
from shared.ports import Setting

if TYPE_CHECKING:
    from shared.core.policy import Policy, TenantPolicy
    from shared.core.trail import Act
    from shared.ports import Ledger, Settings

NAME = "switches"
_RACES = 16
_PAGE = 1000
_EVER = timedelta(days=3650)


class Controls(Protocol):
    """What switches need of the ports."""

    @property
    def settings(self) -> Settings:
        """Where they are kept."""
        ...

    @property
    def ledger(self) -> Ledger:
        """Where calls that are out are known."""
        ...

    @property
    def policy(self) -> Callable[[], Policy]:
        """The policy in force."""
        ...

    @property
    def now(self) -> Callable[[], datetime]:
        """What time it is."""
        ...

    @property
    def tenants(self) -> Mapping[str, TenantPolicy]:
        """What each tenant may do now."""
        ...


def check(ports: Controls, tenant: str, workflow: str) -> None:
    """Raise Throttled (`stopped`) when an operator stopped this tenant's work on this workflow."""
    text = ports.settings.read(NAME).text
    if text:
        refuse(switches_in(text), tenant, workflow)


def switched(ports: Controls) -> tuple[Switch, ...]:
    """Return what is stopped."""
    return switches_in(ports.settings.read(NAME).text)


def stop(ports: Controls, scope: Scope, name: str, *, by: str, reason: str) -> Switch:
    """Stop new calls; stopping what is stopped changes who did it and why."""
    made = Switch(scope=scope, name=name, reason=reason, by=by, since=ports.now())
    _change(ports, "stop", made, lambda before: (*without(before, scope, name), made))
    return made


def start(ports: Controls, scope: Scope, name: str, *, by: str) -> None:
    """Let work go on; starting what is not stopped changes nothing."""
    made = Switch(scope=scope, name=name, reason="started again", by=by, since=ports.now())
    _change(ports, "start", made, lambda before: without(before, scope, name))


def quiet(ports: Controls, scope: Scope, name: str) -> bool:
    """Tell whether no call of what is stopped can still be out."""
    tenants = [name] if scope == "tenant" else list(ports.tenants)
    if scope == "workflow":
        return not any(_calls_out(ports, tenant, name) for tenant in tenants)
    if scope == "all":  # a tenant that the policy no longer knows may still have runs
        at_work = ports.ledger.overdue(ports.now() + _EVER, limit=_PAGE)
        tenants = sorted({*tenants, *(lease.tenant for lease in at_work)})
    return all(ledger.quiet(ports, tenant) for tenant in tenants)


def _calls_out(ports: Controls, tenant: str, workflow: str) -> bool:
    now = ports.now().timestamp()
    return any(busy(one, now) for one in ledger.leases_of(ports, tenant) if one.workflow == workflow)


def _version(ports: Controls) -> str:
    """Return the policy's version; that nobody can read the policy is no reason not to stop."""
    try:
        return ports.policy().version
    except Transient:
        return ""


def _change(
    ports: Controls, act: Act, what: Switch, decide: Callable[[tuple[Switch, ...]], tuple[Switch, ...]]
) -> None:
    for _ in range(_RACES):
        found = ports.settings.read(NAME)
        before = switches_in(found.text)
        after = decide(before)
        if after == before:
            return
        fresh = Setting(NAME, text_of(after), found.version + 1)
        note(
            ports.settings,
            Doing(act, what.stops, what.by, fresh.text, fresh.version, _version(ports), what.reason),
            what.since,
        )
        try:
            ports.settings.write(fresh)
        except Conflict:
            continue
        return
    raise Transient("the switches are changed by many at once")
