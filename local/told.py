"""What the record says about the documents of one task. Knows the events; submits and decides nothing."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shared.app.findings import findings
from shared.core.task import Progress, Status

if TYPE_CHECKING:
    from local.corpus import Item
    from shared.core.task import Task
    from shared.ports import Ports

_ALL_EVENTS = 100_000  # of one task: fifty documents have a thousand, each retry has more


class Told:
    """What the record says, read once."""

    def __init__(self, ports: Ports, task: Task) -> None:
        self._task = task
        self._ports = ports
        self._outcomes: dict[int, Any] = {}
        self._asked: dict[int, Any] = {}
        self._costs: Counter[int] = Counter()
        for row in ports.records.history(task.tenant, task=task.id, limit=_ALL_EVENTS):
            if row.type in _READERS:
                _READERS[row.type](self, json.loads(row.body)["data"])

    def outcome(self, data: dict[str, Any]) -> None:
        """Note how a document's review ended."""
        self._outcomes[data["document"]] = data

    def asked(self, data: dict[str, Any]) -> None:
        """Note that a human was asked."""
        self._asked[data["document"]] = data

    def used(self, data: dict[str, Any]) -> None:
        """Note a cost."""
        self._costs[data["document"]] += data["cost_micro_usd"]

    def about(self, item: Item) -> Item:
        """Return the item with what is known of it."""
        told, cost = self._outcomes.get(item.position), self._costs[item.position]
        if told is not None and "label" in told:
            known = {name: told[name] for name in ("label", "score", "summary", "verdict", "reason")}
            return replace(item, status="done", cost=cost, **known)
        if told is not None:
            return replace(item, status="failed", reason=f"{told['step']}: {told['reason']}", cost=cost)
        if self._task.status is Status.CANCELLED:
            return replace(item, status="cancelled", reason=self._task.reason, cost=cost)
        return self._unfinished(item, cost)

    def _unfinished(self, item: Item, cost: int) -> Item:
        asked = self._asked.get(item.position)
        if asked is None or self._task.at(item.position) is not Progress.WAITING:
            return replace(item, status="queued", cost=cost)
        found = findings(self._ports, self._task, item.position)
        classified, summarised = found.steps["classify"], found.steps["summarise"]
        return replace(
            item,
            status="waiting",
            label=classified["label"],
            score=classified["score"],
            summary=summarised["summary"],
            reason=asked["reason"],
            approval=asked["approval"],
            cost=cost,
        )


_READERS = {
    "document.reviewed": Told.outcome,
    "document.failed": Told.outcome,
    "approval.requested": Told.asked,
    "usage.metered": Told.used,
}
