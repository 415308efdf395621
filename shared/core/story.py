"""The story of a task, told from its events: what happened, why, and what each thing cost.

A call of a model is one line: the choice that was made, how it ended and what was paid for it. So the lines' costs add
up to the task's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, NamedTuple

from shared.core.cost_tree import calls_of, document_names
from shared.core.money import usd
from shared.events.catalog import AnyEvent
from shared.events.task import ParkedFor

_WAITS: Mapping[ParkedFor, str] = {
    "budget": "waits for a decision on its budget",
    "quota": "waits for its tenant's budget, which others hold",
    "throttled": "waits for a model that takes calls",
    "preempted": "gives way to more urgent work",
    "stopped": "was stopped by an operator",
}
_ASKS = {
    "first": "asks {}",
    "fallback": "asks {} instead",
    "retry": "asks {} again",
    "repair": "asks {} to repair its answer",
    "hedge": "asks {}, too",
}
_ENDS = {
    "answered": "",
    "repaired": "",
    "failed": "; its answer will not do",
    "hedged": "; its answer came too late to be used",
    "unknown": "; its end is not known: charged at its worst",
}
_TROUBLES = {
    "bad-answer": "answered what will not do",
    "egress-refused": "has an address where nothing may be asked",
    "failed": "failed",
    "slow": "is slow",
    "throttled": "throttled",
    "broken-stream": "broke off",
    "oversize": "answered far too much",
    "provider-credentials": "refused or lacked our credentials",
    "provider-down": "was down",
    "provider-refused": "refused the request",
    "stalled": "stopped in the middle of its answer",
    "strange-answer": "answered in an unknown form",
    "strange-status": "answered in an unknown form",
    "too-slow": "was too slow",
    "truncated-json": "answered half an answer",
    "unknown-deployment": "is not known to its provider",
    "unreachable": "could not be reached",
    "wrong-content-type": "answered something else",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence of the story; `why` is the reason given at the time, `cost` what it added to the bill."""

    event: AnyEvent
    text: str
    why: str = ""
    cost: int | None = None

    @property
    def at(self) -> datetime:
        """When it happened."""
        return _moment(self.event)


class Account(NamedTuple):
    """What a task may spend by now, in how many runs, and at which prices it was billed."""

    budget: int = 0
    runs: int = 1
    prices: tuple[str, ...] = ()


def tell(events: Sequence[AnyEvent]) -> list[Line]:
    """Return a line for each event that a person needs to know of, as it happened; a call and its price are one."""
    names = document_names(events)
    lines = calls_of(events)
    paid = {call.id: event for event in events if (call := lines.get(event.id)) is not None}
    told, begun = [], _gone_by(events)
    for event in _in_time(events):
        teller = _TELLERS.get(event.type)
        if teller is not None and event.id not in lines and event.id not in begun:
            line = Line(event, *teller(event.data))
            told.append(_named(_priced(line, paid.get(event.id)), names))
    return told


def _in_time(events: Sequence[AnyEvent]) -> list[AnyEvent]:
    """Return the events in their order, but each call where it was made: it is told of when its step ends, or later.

    What was turned away came before there was a task, and is numbered for itself.
    """
    latest, placed = datetime.min.replace(tzinfo=UTC), list[tuple[datetime, AnyEvent]]()
    for event in sorted(events, key=lambda event: event.type != "task.throttled"):
        latest = max(latest, event.time)
        placed.append((min(_moment(event), latest), event))
    return [event for _, event in sorted(placed, key=itemgetter(0))]


def _moment(event: AnyEvent) -> datetime:
    """Return when it happened."""
    at: datetime | None = getattr(event.data, "at", None)
    return at or event.time


def waits(code: ParkedFor, until: datetime | None, reason: str = "") -> str:
    """Say what a parked task waits for, until when and why."""
    moment = f" until {until:%Y-%m-%d %H:%M:%S} UTC" if until else ""
    return f"{_WAITS[code]}{moment}" + (f": {reason}" if reason else "")


def account(events: Sequence[AnyEvent]) -> Account:
    """Return what the task had to spend in the end."""
    found = Account()
    for event in events:
        if event.type in {"task.admitted", "task.resumed"}:
            found = found._replace(budget=event.data.budget_micro_usd)
        if event.type == "task.resumed":
            found = found._replace(runs=event.data.run)
        elif event.type == "usage.metered" and event.data.price_version not in found.prices:
            found = found._replace(prices=(*found.prices, event.data.price_version))
    return found


def _gone_by(events: Sequence[AnyEvent]) -> frozenset[str]:
    """Return the beginnings of first attempts that something came of: that tells of them."""
    begun: dict[tuple[int, str], str] = {}
    gone = set[str]()
    for event in events:
        said = event.data
        about = (getattr(said, "document", -1), getattr(said, "step", ""))
        gone.add(begun.pop(about, ""))
        if event.type == "step.started" and said.attempt == 1:
            begun[about] = event.id
    return frozenset(gone)


def _priced(line: Line, paid: AnyEvent | None) -> Line:
    """Add what a line cost: a choice of a model what was paid for the call, a line of the bill what it says."""
    said = line.event.data
    match line.event.type:
        case "model.routed" if paid is not None:
            used = paid.data
            tokens = "" if used.outcome == "unknown" else f": {_tokens(used)}"
            return replace(line, text=f"{line.text}{tokens}{_ENDS[used.outcome]}", cost=used.cost_micro_usd)
        case "usage.metered":
            return replace(line, cost=said.cost_micro_usd)
        case "usage.corrected":
            return replace(line, cost=said.cost_micro_usd - said.was_micro_usd)
    return line


def _named(line: Line, names: Mapping[int, str]) -> Line:
    """Begin the line with the document it is about, unless the task has but one, or it is about the task."""
    said = line.event.data
    place = getattr(said, "document", None)
    if place is None or len(names) == 1 or getattr(said, "about", "document") != "document":
        return line
    return replace(line, text=f"{names.get(place, f'document {place}')}: {line.text}")


def _documents(said: Any) -> str:  # noqa: ANN401  a fact of one type
    return said.documents[0].name if len(said.documents) == 1 else f"{len(said.documents)} documents"


_TELLERS: dict[str, Callable[[Any], tuple[str, str]]] = {
    "task.submitted": lambda said: (f"{said.submitted_by} submitted {_documents(said)} to {said.workflow}", ""),
    "task.admitted": lambda said: (
        f"admitted with a budget of {usd(said.budget_micro_usd)}"
        + ("" if said.left_micro_usd is None else f"; the tenant has {usd(said.left_micro_usd)} left")
        + (f"; {said.turned_away} requests before it came too fast" if said.turned_away else ""),
        "; ".join([said.reason, *([f"nobody asks {', '.join(_each(said))}"] if said.refused else [])]),
    ),
    "task.rejected": lambda said: (
        f"refused ({said.code})"
        + (f": it might have cost {usd(said.asked_micro_usd)}" if said.asked_micro_usd else "")
        + ("" if said.left_micro_usd is None else f"; the tenant has {usd(said.left_micro_usd)} left"),
        said.reason,
    ),
    "task.throttled": lambda said: (
        f"turned away ({said.code}), to come again in {said.retry_after_seconds:.3g} s"
        + (f"; {said.others} others were since the last one that was noted" if said.others else ""),
        said.reason,
    ),
    "task.placed": lambda said: (
        f"placed on {said.cloud}",
        "; ".join([said.reason, *(f"not {one.cloud}: {one.reason}" for one in said.refused if said.run == 1)]),
    ),
    "task.parked": lambda said: (
        waits(said.code, said.until),
        "; ".join([said.reason, *_each(said)]),
    ),
    "task.resumed": lambda said: (
        f"goes on as run {said.run} with a budget of {usd(said.budget_micro_usd)}",
        said.reason,
    ),
    "step.started": lambda said: (
        f"{said.step} begins" + (f", attempt {said.attempt}" if said.attempt > 1 else ""),
        "",
    ),
    "model.routed": lambda said: (f"{said.step} {_ASKS[said.kind].format(said.deployment)}", _choice(said)),
    "model.unrouted": lambda said: (f"{said.step} finds no model that answers", ", ".join(_each(said)) or said.reason),
    "usage.saved": lambda said: (
        f"{said.step} was answered before by {said.deployment or said.model}: {usd(said.saved_micro_usd)} "
        + ("not paid again" if said.by == "journal" else "saved"),
        ("this task had paid for the answer before" if said.by == "journal" else f"the answer was in the {said.by}")
        + (f", given about another text with a similarity of {said.similarity:.3f}" if said.similarity else ""),
    ),
    "usage.corrected": lambda said: (
        f"{said.step} cost {usd(said.cost_micro_usd)}, not {usd(said.was_micro_usd)}",
        f"line {said.line} of the bill was charged at its worst until "
        + (f"{said.by} settled it: {said.reason}" if said.by else "its end was known"),
    ),
    "step.completed": lambda said: (
        f"{said.step} done" + (f" for {usd(said.cost_micro_usd)}" if said.cost_micro_usd else ""),
        "",
    ),
    "step.failed": lambda said: (
        f"{said.step} failed on attempt {said.attempt}"
        + ("" if said.code == "transient" else f" ({said.code})")
        + ("" if said.final else ", to be tried again"),
        said.reason,
    ),
    "usage.metered": lambda said: (
        f"{said.step}: line {said.line} of the bill, {said.deployment or said.model}"
        + ("" if said.outcome == "unknown" else f", {_tokens(said)}")
        + _ENDS[said.outcome],
        "",
    ),
    "approval.requested": lambda said: (
        f"{_asked(said)} {_people(said.approvers)} to decide by {_minute(said)}",
        said.reason if said.about == "document" else "",  # the line above says why it waits
    ),
    "approval.escalated": lambda said: (
        f"nobody answered{_about(said)}; {_people(said.approvers)} may decide until {_minute(said)}",
        "",
    ),
    "approval.decided": lambda said: (f"{said.verdict} by {_people(said.by)}{_about(said)}", said.comment),
    "approval.expired": lambda said: (f"{said.verdict}{_about(said)}, because nobody decided in time", ""),
    "document.reviewed": lambda said: (
        f"reviewed as {said.label} (score {said.score:.2f}), {said.verdict}",
        said.reason,
    ),
    "document.failed": lambda said: (f"not reviewed, {said.step} failed ({said.code})", said.reason),
    "task.completed": lambda said: (
        f"completed: {said.reviewed} reviewed, {said.failed} failed, {usd(said.cost_micro_usd)} spent",
        "",
    ),
    "task.failed": lambda said: (f"failed after spending {usd(said.cost_micro_usd)}", said.reason),
    "task.cancelled": lambda said: (f"cancelled by {said.by}", said.reason),
}


def _choice(routed: Any) -> str:  # noqa: ANN401  a fact of one type
    """Say why this model was asked, what that may cost, and why others were not."""
    least = f"at most {usd(routed.worst_micro_usd)} of {usd(routed.worst_micro_usd + routed.left_micro_usd)} left"
    because = _trouble(routed.after) if routed.after else routed.reason.removeprefix("spill: ")
    others = ", ".join(_each(routed))
    return "; ".join([because, least, *([f"not asked: {others}"] if others else [])])


def _each(told: Any) -> list[str]:  # noqa: ANN401  a fact of one type
    """Name those that were not asked, or were no help, by reason."""
    reasons: dict[str, list[str]] = {}
    for one in told.refused:
        reasons.setdefault(one.reason, []).append(one.deployment)
    more = [f"{told.more_refused} more"] if getattr(told, "more_refused", 0) else []
    return [f"{', '.join(names)} ({_TROUBLES.get(reason, reason)})" for reason, names in reasons.items()] + more


def _trouble(after: str) -> str:
    """Put what went wrong with the one before into words."""
    deployment, _, code = after.partition(": ")
    return f"{deployment} {_TROUBLES[code]}" if code in _TROUBLES else after


def _tokens(used: Any) -> str:  # noqa: ANN401  a fact of one type
    return f"{used.tokens_in:,} tokens read, {used.tokens_out:,} written"


def _asked(asked: Any) -> str:  # noqa: ANN401  a fact of one type
    return "asked for more budget:" if asked.about == "budget" else "asked"


def _about(asked: Any) -> str:  # noqa: ANN401  a fact of one type
    return " for more budget" if asked.about == "budget" else ""


def _minute(asked: Any) -> str:  # noqa: ANN401  a fact of one type
    return f"{asked.deadline:%Y-%m-%d %H:%M} UTC"


def _people(names: Sequence[str]) -> str:
    return ", ".join(names) or "nobody"
