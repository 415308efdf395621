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
from local.entrance import SHORT_OF_MONEY, Line, held_up
from local.told import Told, added
from local.wiring import TENANT
from shared.core.task import Progress, Status
from shared.core.workflow import DOCUMENT_REVIEW
from shared.errors import NotFound, Throttled
from shared.events.ids import derive

if TYPE_CHECKING:
    from local.engine import Engine
    from local.sqlite.broker import Message
    from shared.events.document import DocumentRef

_ACCEPTED, _FORBIDDEN = 202, 403
_NOBODY_KNOWS = 86_400.0  # seconds; a budget's next window is a day away at most, a run's end is heard of
_AT_A_LOOK = 300  # documents: twice a second, beside an engine at work
_ENDED_BADLY = frozenset({Progress.FAILED, Progress.CANCELLED})
OUTCOMES: dict[str, Outcome] = {
    "document.reviewed": "done",
    "document.failed": "failed",
    "approval.requested": "waiting",
    "approval.decided": "queued",
    "approval.expired": "queued",
}
# A parked task goes on by itself, so its documents are as open as those that are queued.
PARKING: dict[str, tuple[Outcome, Outcome]] = {
    "task.parked": ("queued", "parked"),
    "task.resumed": ("parked", "queued"),
}
_OPEN: frozenset[Outcome] = frozenset({"queued", "parked"})


def note_parking(state: dict[tuple[str, int], Outcome], event: dict[str, Any]) -> None:
    """Note for a task's open documents, among those that are followed, that it was parked or goes on."""
    before, after = PARKING[event["type"]]
    for position in range(DOCUMENT_REVIEW.max_documents):
        if state.get((event["taskid"], position)) == before:
            state[event["taskid"], position] = after


def _nobody(_submitted: int, _total: int) -> None:
    """Nobody wants to know."""


@dataclass
class Review:
    """The items of a run by task, and a tally that follows the record as it is written.

    With `again`, documents whose review was refused, failed or was cancelled are submitted anew. Those that cannot be
    let in now wait in `line`.
    """

    engine: Engine
    taxonomy: DocumentRef
    person: str
    again: bool = False
    items: list[Item] = field(default_factory=list)
    _state: dict[tuple[str, int], Outcome] = field(default_factory=dict)
    _costs: Counter[tuple[str, int]] = field(default_factory=Counter)
    _repeated: set[str] = field(default_factory=set)
    _short: set[str] = field(default_factory=set)
    _sifted: bool = False

    def __post_init__(self) -> None:
        """Begin the line, with nobody in it."""
        self.line = Line(self.engine.clock)

    def submit(self, corpus: Iterable[Item], told: Callable[[int, int], None] = _nobody) -> None:
        """Submit the corpus through the API, an entity's documents as one task; what was submitted before is found.

        `told` hears how many of how many documents are submitted. What is refused for a passing reason, and all behind
        it, stays in line.
        """
        self.line.join(grouped(corpus, DOCUMENT_REVIEW.max_documents))
        self.advance(told)

    def advance(self, told: Callable[[int, int], None] = _nobody) -> bool:
        """Submit as many of those in line as may come; return whether any did."""
        total = len(self.items) + len(self.line)

        def admit(group: list[Item]) -> None:
            self._admit(group)
            told(len(self.items), total)

        moved = self.line.advance(admit)
        if self.line.held is not None and not self._sifted:
            self._sifted = True
            self.line.sift(self._was_submitted, admit)
        return moved

    def _was_submitted(self, group: list[Item]) -> bool:
        readable = [item for item in map(referenced, group) if item.ref is not None]
        return not readable or self._is_known(self._key(readable))

    def _key(self, readable: list[Item]) -> str:
        return derive(readable[0].entity, self.taxonomy.sha256, *map(_content, readable))

    def _admit(self, group: list[Item]) -> None:
        """Submit the documents of an entity; Throttled, and none of them is kept, when one has to wait."""
        found = [referenced(item) for item in group]
        readable = [item for item in found if item.ref is not None]
        kept: list[Item] = []
        if readable:
            key = self._key(readable)
            kept = [self._latest(item, key) for item in self._posted(readable, key)]
        self.items += [item for item in found if item.ref is None]
        for item in kept:
            self._keep(item)

    def _posted(self, group: list[Item], key: str) -> list[Item]:
        """Submit the group as one task; the same key is the same task.

        Throttled when it has to wait, be it for money that this review's own runs hold and may give back.
        """
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
        if status == _FORBIDDEN and answer["code"] == SHORT_OF_MONEY and "queued" in self._state.values():
            self._short.add(_task_of(key))
            raise Throttled(answer["detail"], retry_after=_NOBODY_KNOWS, code=SHORT_OF_MONEY)
        return [placed(item, status, answer, position) for position, item in enumerate(group)]

    def _latest(self, item: Item, key: str) -> Item:
        """Return the item in its latest attempt: the last one that is there, or a new one when it is due.

        An attempt's key tells its number, so attempts are never made twice, whoever dies in between.
        """
        item = self._with_task(item, key)
        for attempt in count(1):
            next_key = derive(key, *_content(item), attempt)
            is_new = not self._is_known(next_key)
            if is_new and item.task not in self._short and not (self.again and self._is_to_be_repeated(item)):
                break
            (item,) = self._posted([item], next_key)
            item = self._with_task(item, next_key)
            if is_new:
                self._repeated.add(item.task)
        return item

    def _with_task(self, item: Item, key: str) -> Item:
        """Return a refused item with the task that tells of its refusal, if one does."""
        if item.task or not self._is_known(key):
            return item
        noted = self.engine.ports.tasks.load(TENANT, _task_of(key))
        is_it = noted.status is Status.REJECTED
        return replace(item, task=noted.id) if is_it else item

    def _is_known(self, key: str) -> bool:
        try:
            self.engine.ports.tasks.load(TENANT, _task_of(key))
        except NotFound:
            return False
        return True

    def _is_to_be_repeated(self, item: Item) -> bool:
        if not item.task or item.task in self._repeated:
            return False
        task = self.engine.ports.tasks.load(TENANT, item.task)
        return task.status is Status.REJECTED or task.at(item.position) in _ENDED_BADLY

    def _keep(self, item: Item) -> None:
        self.items.append(replace(item, ref=None))  # the task has it now; of very many documents it would be much
        if item.task:
            self._state[item.task, item.position] = item.status

    def catch_up(self, most: int | None = None) -> None:
        """Count what others settled or asked about: all that is open here, or the first `most` of it."""
        open_ = (item for item in self.items if self._state.get((item.task, item.position)) in _OPEN)
        for item in self._looked_up(list(islice(open_, most))):
            self._state[item.task, item.position] = item.status
            self._costs[item.task, item.position] = item.cost

    def follow(self) -> bool:
        """Count what another engine did since; return whether nothing is left to do."""
        self.catch_up(_AT_A_LOOK)
        return _OPEN.isdisjoint(self._state.values())

    def heard(self, message: Message) -> None:
        """Follow the record: count what a document's latest event says."""
        kind = message.attributes["type"]
        outcome = OUTCOMES.get(kind)
        if outcome is None and kind not in {"usage.metered", "usage.corrected", *PARKING}:
            return
        event = json.loads(message.body)
        if kind in PARKING:
            note_parking(self._state, event)
            return
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
        known = Counter(self._state.values()) + Counter(item.status for item in self.items if not item.task)
        return known + Counter({"queued": len(self.line)})

    def collected(self) -> list[Item]:
        """Return the items with what the record says about each, and at their end those that were not let in."""
        return [*self._looked_up(self.items), *self.line.outside()]

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


def _task_of(key: str) -> str:
    """Return what the API calls the task of an idempotency key."""
    return derive("task", TENANT, key)


def placed(item: Item, status: int, answer: dict[str, Any], position: int) -> Item:
    """Return the item with the task that the API made of it, or with its refusal; Throttled when that one passes."""
    if status == _ACCEPTED:
        return replace(item, task=answer["id"], position=position, status="queued", reason="")
    refusal = held_up(status, answer)
    if refusal is not None:
        raise refusal
    return replace(item, position=position, status="failed", reason=f"refused: {answer.get('detail', status)}")
