"""What a policy in order may still be mistaken about, and what it changes: sentences for whoever is about to set it.

Pure: knows policies, workflows and routing; must not know where a policy is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from shared.core.money import usd
from shared.core.policy import Policy
from shared.core.routing import Ask, decide
from shared.core.workflow import WORKFLOWS

if TYPE_CHECKING:
    from shared.core.policy import TenantPolicy
    from shared.core.workflow import Step
    from shared.events.task import Priority

_ANSWERS = frozenset({"json"})  # what every question asks a model for
_RICH = 10**15
_SHOWN = 60  # characters of a value


def doubts(policy: Policy, *tenants: str) -> list[str]:
    """Return what of a policy in order cannot work as it says: of these tenants, or of all."""
    chosen = {name: one for name, one in policy.tenants.items() if not tenants or name in tenants}
    return [f"{name}: {said}" for name, one in chosen.items() for said in _doubts(policy, one)]


def _doubts(policy: Policy, tenant: TenantPolicy) -> Iterator[str]:
    unknown = [name for name in tenant.workflows if name not in WORKFLOWS]
    if unknown:
        yield f"there is no workflow {', '.join(unknown)}; there are {', '.join(WORKFLOWS)}"
    if tenant.max_budget > tenant.daily_budget:
        yield f"a task may cost {usd(tenant.max_budget)}, and a day has only {usd(tenant.daily_budget)}"
    if tenant.daily_budget > tenant.monthly_budget:
        yield f"a day may cost {usd(tenant.daily_budget)}, and a month has only {usd(tenant.monthly_budget)}"
    for flow in (WORKFLOWS[name] for name in tenant.workflows if name in WORKFLOWS):
        for step in flow.steps:
            yield from _unserved(policy, tenant, step)


def _unserved(policy: Policy, tenant: TenantPolicy, step: Step) -> Iterator[str]:
    """Yield for which classes of work no model may take a step, and why none of them may."""
    if step.tokens is None:
        return
    lost: dict[str, list[str]] = {}
    for priority in tenant.priorities:
        reason = _refused(policy, tenant, step, priority)
        if reason is not None:
            lost.setdefault(reason, []).append(priority)
    then = f"documents would get their {step.fallback} instead" if step.fallback else "each document would fail"
    for reason, priorities in lost.items():
        yield f"no model may {step.tool} for {', '.join(priorities)} work, {then}: {reason}"


def _refused(policy: Policy, tenant: TenantPolicy, step: Step, priority: Priority) -> str | None:
    """Return why each model is refused, or None when one may be asked."""
    served = policy.classes.of(priority)
    ask = Ask(
        purpose=step.tool,
        text_in=1,
        tokens_in=1,
        most_in=1,
        most_out=step.tokens.most_out if step.tokens else 1,
        left=_RICH,
        needs=_ANSWERS,
        sla_ms=served.sla_ms,
        hard=served.hard,
        quality=served.quality,
        zone=tenant.data_zone,
    )
    choice = decide(policy.routes, ask, {}, 0.0)
    return None if choice.order else "; ".join(f"{one.deployment} {one.reason}" for one in choice.refused)


def changes(before: Policy, after: Policy) -> list[str]:
    """Return what another policy changes, each in a sentence; what it leaves out is said as well."""
    return [
        *_named("tenant", before.tenants, after.tenants, "its work is refused from then on"),
        *_named("model", before.candidates, after.candidates, "it is asked no more"),
        *_fields("", _plain(before), _plain(after)),
    ]


def _named(kind: str, before: Mapping[str, Any], after: Mapping[str, Any], gone: str) -> Iterator[str]:
    yield from (f"{kind} {name} is dropped: {gone}" for name in before if name not in after)
    yield from (f"{kind} {name} is new" for name in after if name not in before)
    for name in before:
        if name in after:
            pair = (one.model_dump(mode="json") for one in (before[name], after[name]))
            yield from _fields(f"{kind} {name}: ", *pair)


def _plain(policy: Policy) -> Mapping[str, Any]:
    said = policy.model_dump(mode="json", exclude={"version", "text", "tenants", "candidates"})
    return {f"{part}.{name}" if name else part: value for part, one in said.items() for name, value in _parts(one)}


def _parts(value: Any) -> list[tuple[str, Any]]:  # noqa: ANN401  any part of a policy
    if not isinstance(value, dict):
        return [("", value)]
    return [(f"{name}.{rest}" if rest else name, one) for name, inner in value.items() for rest, one in _parts(inner)]


def _fields(where: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys((*before, *after)):
        if before.get(name) != after.get(name):
            yield f"{where}{name} {_shown(before.get(name))} → {_shown(after.get(name))}"


def _shown(value: Any) -> str:  # noqa: ANN401  any value of a policy
    text = f"{value:,}" if type(value) is int else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"{text[:_SHOWN]}…" if len(text) > _SHOWN else text or "none"
