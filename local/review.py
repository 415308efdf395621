"""A run of `document-review` over a corpus: submit what is new, let the engine work, collect what became of it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count, groupby, islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from local.corpus import Item, Outcome, referenced
from local.told import Told, added
from local.wiring import TENANT
from shared.core.task import Progress
from shared.core.workflow import DOCUMENT_REVIEW
from shared.errors import NotFound
from shared.events.ids import derive

if TYPE_CHECKING:
    from local.engine import Engine
    from local.sqlite.broker import Message
    from shared.events.document import DocumentRef

_ACCEPTED = 202
_AT_A_LOOK = 300  # documents: twice a second, beside an engine at work
_ENDED_BADLY = frozenset({Progress.FAILED, Progress.CANCELLED})
OUTCOMES: dict[str, Outcome] = {
    "document.reviewed": "done",
    "document.failed": "failed",
    "approval.requested": "waiting",
    "approval.decided": "queued",
    "approval.expired": "queued",
}


def _nobody(_submitted: int, _total: int) -> None:
    """Nobody wants to know."""


@dataclass
class Review:
    """The items of a run by task, and a tally that follows the record as it is written.

    With `again`, documents whose review failed or was cancelled are submitted anew.
    """

    engine: Engine
    taxonomy: DocumentRef
    person: str
    again: bool = False
    items: list[Item] = field(default_factory=list)
    _state: dict[tuple[str, int], Outcome] = field(default_factory=dict)
    _costs: Counter[tuple[str, int]] = field(default_factory=Counter)

    def submit(self, corpus: Iterable[Item], told: Callable[[int, int], None] = _nobody) -> None:
        """Submit the corpus through the API, an entity's documents as one task; what was submitted before is found.

        `told` hears how many of how many documents are submitted.
        """
        groups = grouped(corpus, DOCUMENT_REVIEW.max_documents)
        total = sum(map(len, groups))
        for group in groups:
            self._submit([referenced(item) for item in group])
            told(len(self.items), total)

    def _submit(self, group: list[Item]) -> None:
        readable = [item for item in group if item.ref is not None]
        self.items += [item for item in group if item.ref is None]
        if readable:
            key = derive(readable[0].entity, self.taxonomy.sha256, *map(_content, readable))
            for item in self._posted(readable, key):
                self._keep(self._latest(item, key))

    def _posted(self, group: list[Item], key: str) -> list[Item]:
        """Submit the group as one task; the same key is the same task."""
        for item in group:
            self.engine.documents.add_root(item.path)
        body = {
            "workflow": DOCUMENT_REVIEW.name,
            "entity": group[0].entity,
            "documents": [item.ref.model_dump(mode="json") for item in group if item.ref],
            "taxonomy": self.taxonomy.model_dump(mode="json"),
        }
        status, answer = self.engine.call_api(
            "POST",
            "/tasks",
            claims=claims(self.person),
            body=json.dumps(body),
            headers={"Idempotency-Key": key},
        )
        return [placed(item, status, answer, position) for position, item in enumerate(group)]

    def _latest(self, item: Item, key: str) -> Item:
        """Return the item in its latest attempt: the last one that is there, or a new one when it is due.

        An attempt's key tells its number, so attempts are never made twice, whoever dies in between.
        """
        for attempt in count(1):
            next_key = derive(key, *_content(item), attempt)
            if not (self._is_known(next_key) or (self.again and self._is_to_be_repeated(item))):
                break
            (item,) = self._posted([item], next_key)
        return item

    def _is_known(self, key: str) -> bool:
        try:
            self.engine.ports.tasks.load(TENANT, derive("task", TENANT, key))  # what the API calls the key's task
        except NotFound:
            return False
        return True

    def _is_to_be_repeated(self, item: Item) -> bool:
        if not item.task:
            return False
        return self.engine.ports.tasks.load(TENANT, item.task).at(item.position) in _ENDED_BADLY

    def _keep(self, item: Item) -> None:
        self.items.append(replace(item, ref=None))  # the task has it now; of very many documents it would be much
        if item.task:
            self._state[item.task, item.position] = "queued"

    def catch_up(self, most: int | None = None) -> None:
        """Count what others settled or asked about: all that is open here, or the first `most` of it."""
        open_ = (item for item in self.items if self._state.get((item.task, item.position)) == "queued")
        for item in self._looked_up(list(islice(open_, most))):
            self._state[item.task, item.position] = "queued" if item.status == "parked" else item.status
            self._costs[item.task, item.position] = item.cost

    def follow(self) -> bool:
        """Count what another engine did since; return whether nothing is left to do."""
        self.catch_up(_AT_A_LOOK)
        return "queued" not in self._state.values()

    def heard(self, message: Message) -> None:
        """Follow the record: count what a document's latest event says."""
        kind = message.attributes["type"]
        outcome = OUTCOMES.get(kind)
        if outcome is None and kind not in {"usage.metered", "usage.corrected"}:
            return
        event = json.loads(message.body)
        document = (event["taskid"], event["data"]["document"])
        if document not in self._state:
            return
        if outcome is None:
            self._costs[document] += added(event["data"])
        else:
            self._state[document] = outcome

    @property
    def spent(self) -> int:
        """What the documents cost so far, in micro-USD."""
        return self._costs.total()

    @property
    def tally(self) -> Counter[Outcome]:
        """How many documents are how far."""
        return Counter(self._state.values()) + Counter(item.status for item in self.items if not item.task)

    def collected(self) -> list[Item]:
        """Return the items with what the record says about each."""
        return list(self._looked_up(self.items))

    def _looked_up(self, items: Iterable[Item]) -> Iterator[Item]:
        for task, members in groupby(items, key=attrgetter("task")):
            told = Told(self.engine.ports, self.engine.ports.tasks.load(TENANT, task)) if task else None
            for item in members:
                yield told.about(item) if told else item


def claims(person: str) -> dict[str, str]:
    """Return the identity of the laptop's user, as a token's claims."""
    return {"sub": person, "tenant": TENANT}


def grouped(corpus: Iterable[Item], size: int) -> list[list[Item]]:
    """Return the items by entity, as many of one as a task takes."""
    by_entity: dict[str, list[Item]] = defaultdict(list)
    for item in corpus:
        by_entity[item.entity].append(item)
    return [members[start : start + size] for members in by_entity.values() for start in range(0, len(members), size)]


def _content(item: Item) -> tuple[str, str]:
    """What a review is of: the file and its bytes."""
    if item.ref is None:
        raise ValueError(f"{item.path} was never read")
    return item.ref.uri, item.ref.sha256


def placed(item: Item, status: int, answer: dict[str, Any], position: int) -> Item:
    """Return the item with the task that the API made of it, or with the API's refusal."""
    if status == _ACCEPTED:
        return replace(item, task=answer["id"], position=position)
    return replace(item, status="failed", reason=f"refused: {answer.get('detail', status)}")
