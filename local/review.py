"""A run of `document-review` over a corpus: submit what is new, let the engine work, collect what became of it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from local.clouds import aws
from local.corpus import Item, Outcome, referenced
from local.wiring import TENANT
from shared.app.findings import findings
from shared.core.task import Progress, Status
from shared.core.workflow import DOCUMENT_REVIEW
from shared.events.ids import derive

if TYPE_CHECKING:
    from local.engine import Engine
    from local.sqlite.broker import Message
    from shared.core.task import Task
    from shared.events.document import DocumentRef

_ACCEPTED = 202
_ALL_EVENTS = 100_000  # of one task: fifty documents have a thousand, each retry has more
_OUTCOMES: dict[str, Outcome] = {
    "document.reviewed": "done",
    "document.failed": "failed",
    "approval.requested": "waiting",
    "approval.decided": "queued",
    "approval.expired": "queued",
}


@dataclass
class Review:
    """The items of a run by task, and a tally that follows the record as it is written."""

    engine: Engine
    taxonomy: DocumentRef
    person: str
    items: list[Item] = field(default_factory=list)
    spent: int = 0
    _state: dict[tuple[str, int], Outcome] = field(default_factory=dict)

    def submit(self, corpus: Iterable[Item]) -> None:
        """Submit the corpus through the API, an entity's documents as one task; what was submitted before is found."""
        by_entity: dict[str, list[Item]] = defaultdict(list)
        for item in map(referenced, corpus):
            if item.ref is None:
                self.items.append(item)
            else:
                by_entity[item.entity].append(item)
        for entity, members in by_entity.items():
            for group in _groups(members, DOCUMENT_REVIEW.max_documents):
                self._submit(entity, group)

    def _submit(self, entity: str, group: list[Item]) -> None:
        for item in group:
            self.engine.documents.add_root(item.path)
        refs = [item.ref.model_dump(mode="json") for item in group if item.ref]
        body = {
            "workflow": DOCUMENT_REVIEW.name,
            "entity": entity,
            "documents": refs,
            "taxonomy": self.taxonomy.model_dump(mode="json"),
        }
        key = derive(entity, self.taxonomy.sha256, *((ref["uri"], ref["sha256"]) for ref in refs))
        status, answer = aws.call_api(
            "POST",
            "/tasks",
            claims=claims(self.person),
            body=json.dumps(body),
            headers={"Idempotency-Key": key},
        )
        for position, item in enumerate(group):
            self.items.append(_placed(item, status, answer, position))
            if status == _ACCEPTED:
                self._state[answer["id"], position] = "queued"

    def catch_up(self) -> None:
        """Count what earlier runs settled already."""
        for item in self.collected():
            if item.task:
                self._state[item.task, item.position] = item.status
                self.spent += item.cost

    def heard(self, message: Message) -> None:
        """Follow the record: count what a document's latest event says."""
        kind = message.attributes["type"]
        outcome = _OUTCOMES.get(kind)
        if outcome is None and kind != "usage.metered":
            return
        event = json.loads(message.body)
        document = (event["taskid"], event["data"]["document"])
        if document not in self._state:
            return
        if outcome is None:
            self.spent += event["data"]["cost_micro_usd"]
        else:
            self._state[document] = outcome

    @property
    def tally(self) -> Counter[Outcome]:
        """How many documents are how far."""
        return Counter(self._state.values()) + Counter(item.status for item in self.items if not item.task)

    def collected(self) -> list[Item]:
        """Return the items with what the record says about each."""
        found: list[Item] = []
        for task, items in groupby(self.items, key=attrgetter("task")):
            told = _Told(self.engine, self.engine.ports.tasks.load(TENANT, task)) if task else None
            found += [told.about(item) if told else item for item in items]
        return found


def claims(person: str) -> dict[str, str]:
    """Return the identity of the laptop's user, as a token's claims."""
    return {"sub": person, "tenant": TENANT}


def _groups(members: list[Item], size: int) -> list[list[Item]]:
    return [members[start : start + size] for start in range(0, len(members), size)]


def _placed(item: Item, status: int, answer: dict[str, Any], position: int) -> Item:
    if status == _ACCEPTED:
        return replace(item, task=answer["id"], position=position)
    return replace(item, status="failed", reason=f"refused: {answer.get('detail', status)}")


class _Told:
    """What the record says about the documents of one task."""

    def __init__(self, engine: Engine, task: Task) -> None:
        self._task = task
        self._engine = engine
        self._outcomes: dict[int, Any] = {}
        self._asked: dict[int, Any] = {}
        self._costs: Counter[int] = Counter()
        for row in engine.ports.records.history(task.tenant, task=task.id, limit=_ALL_EVENTS):
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
        found = findings(self._engine.ports, self._task, item.position)
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
    "document.reviewed": _Told.outcome,
    "document.failed": _Told.outcome,
    "approval.requested": _Told.asked,
    "usage.metered": _Told.used,
}
