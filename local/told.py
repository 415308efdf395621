"""What the record says about the documents of one task. Knows the events; submits and decides nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shared.app.findings import findings
from shared.core.story import waits
from shared.core.task import Progress, Status

if TYPE_CHECKING:
    from local.corpus import Item
    from shared.core.task import Task
    from shared.ports import Ports

_ALL_EVENTS = 100_000  # of one task: fifty documents have a thousand, each retry has more
_OF_A_REVIEW = ("label", "score", "summary", "verdict", "reason")

Data = Mapping[str, Any]


class Seen:
    """What a task's events say about its documents, by their position in it."""

    def __init__(self, events: Iterable[tuple[str, Data]]) -> None:
        self.ends: dict[int, Data] = {}
        self.asked: dict[int, Data] = {}
        self.answered: set[int] = set()
        self.cancelled: str | None = None
        self._costs: Counter[int] = Counter()
        for kind, data in events:
            self._read(kind, data)

    def _read(self, kind: str, data: Data) -> None:
        match kind:
            case "document.reviewed" | "document.failed":
                self.ends[data["document"]] = data
            case "approval.requested":
                self.asked[data["document"]] = data
            case "approval.decided" | "approval.expired":
                self.answered.add(data["document"])
            case "usage.metered" | "usage.corrected":
                self._costs[data["document"]] += added(data)
            case "task.cancelled":
                self.cancelled = data["reason"]

    def so_far(self, item: Item) -> Item:
        """Return the item with what it cost, and how its review ended if it did."""
        item, end = replace(item, cost=self._costs[item.position]), self.ends.get(item.position)
        if end is None:
            return item
        if "label" in end:
            return replace(item, status="done", **{name: end[name] for name in _OF_A_REVIEW})
        return replace(item, status="failed", reason=f"{end['step']}: {end['reason']}")


def added(used: Data) -> int:
    """Return what a line of the bill, or a correction of one, adds to it."""
    amount: int = used["cost_micro_usd"] - used.get("was_micro_usd", 0)
    return amount


def waiting(item: Item, asked: Data, classified: Data, summary: str) -> Item:
    """Return the item as one that a human was asked about."""
    return replace(
        item,
        status="waiting",
        label=classified["label"],
        score=classified["score"],
        summary=summary,
        reason=asked["reason"],
        approval=asked["approval"],
    )


class Told:
    """What record and journal say, read once."""

    def __init__(self, ports: Ports, task: Task) -> None:
        self._task = task
        self._ports = ports
        rows = ports.records.history(task.tenant, task=task.id, limit=_ALL_EVENTS)
        self._seen = Seen((row.type, json.loads(row.body)["data"]) for row in rows)

    def about(self, item: Item) -> Item:
        """Return the item with what is known of it."""
        known = self._seen.so_far(item)
        if item.position in self._seen.ends:
            return known
        if self._task.status is Status.CANCELLED:
            return replace(known, status="cancelled", reason=self._task.reason)
        if self._task.status is Status.REJECTED:
            return replace(known, status="failed", reason=f"refused: {self._task.reason}")
        asked = self._seen.asked.get(item.position)
        if asked is None or self._task.at(item.position) is not Progress.WAITING:
            return self._open(known)
        found = findings(self._ports, self._task, item.position)
        return waiting(known, asked, found.steps["classify"], found.steps["summarise"]["summary"])

    def _open(self, item: Item) -> Item:
        task = self._task
        if task.parked_for is None:
            return replace(item, status="queued")
        return replace(item, status="parked", reason=waits(task.parked_for, task.parked_until, task.reason))
