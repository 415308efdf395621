"""A run of `document-review` over a corpus, through the deployed fabric: upload, submit, follow the record, collect.

Knows the fabric as its clients do; must not know processes, nor print anything.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from itertools import islice
from typing import TYPE_CHECKING, Any

from local.clock import RealClock
from local.corpus import Item, Outcome, referenced
from local.entrance import Clock, Line
from local.review import grouped, placed
from local.told import Seen, waiting
from shared.core.taxonomy import parse_taxonomy
from shared.core.workflow import DOCUMENT_REVIEW
from shared.errors import Permanent
from shared.events.ids import derive

if TYPE_CHECKING:
    from local.stack.client import Client
    from shared.events.document import DocumentRef
    from shared.ports import Documents

ROLES = ("reviewer",)
_AT_A_LOOK = 16  # tasks: the record answers one of them in some ten milliseconds
_PAUSE_SECONDS = 0.5
PATIENCE_SECONDS = 120.0


@dataclass
class StackReview:
    """The items of a run by task, and what the record said of each when it was last asked."""

    client: Client
    person: str
    clock: Clock = field(default_factory=RealClock)
    items: list[Item] = field(default_factory=list)
    _taxonomy: str = ""
    _open: deque[str] = field(default_factory=deque)
    _seen: dict[str, Seen] = field(default_factory=dict)
    _by_task: defaultdict[str, list[Item]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        """Begin the line, with nobody in it."""
        self.line = Line(self.clock)

    def submit(self, corpus: Iterable[Item], taxonomy: str, told: Callable[[int, int], None]) -> None:
        """Upload the corpus and submit it, an entity's documents as one task; `told` hears how many of how many.

        What is refused for a passing reason, and all behind it, stays in line.
        """
        self.line.join(grouped(corpus, DOCUMENT_REVIEW.max_documents))
        self._taxonomy = taxonomy
        self.advance(told)

    def advance(self, told: Callable[[int, int], None] = lambda _submitted, _total: None) -> bool:
        """Upload and submit as many of those in line as may come; return whether any did."""
        total = len(self.items) + len(self.line)
        with self.client.documents() as documents:
            name = parse_taxonomy(self._taxonomy).name
            classes = documents.write(self._taxonomy.encode(), "application/toml", name)

            def admit(group: list[Item]) -> None:
                self._admit([uploaded(referenced(item), documents) for item in group], classes)
                told(len(self.items), total)

            return self.line.advance(admit)

    def _admit(self, found: Sequence[Item], classes: DocumentRef) -> None:
        """Submit the documents of an entity; Throttled, and none of them is kept, when they have to wait."""
        readable = [item for item in found if item.ref is not None]
        answered = self._posted(readable, classes) if readable else []
        self.items += [item for item in found if item.ref is None]
        for item in answered:
            self.track(item)

    def _posted(self, readable: Sequence[Item], taxonomy: DocumentRef) -> list[Item]:
        """Submit the documents as one task; the same content is the same task."""
        body = {
            "workflow": DOCUMENT_REVIEW.name,
            "entity": readable[0].entity,
            "documents": [item.ref.model_dump(mode="json") for item in readable if item.ref],
            "taxonomy": taxonomy.model_dump(mode="json"),
        }
        text = json.dumps(body)
        key = {"Idempotency-Key": derive("demo", text)}
        answer = self.client.call_api("POST", "/tasks", person=self.person, body=text, headers=key)
        return [placed(item, *answer, position) for position, item in enumerate(readable)]

    def track(self, item: Item) -> None:
        """Follow a document that was submitted, or keep it as refused."""
        self.items.append(item)
        if item.task and item.task not in self._seen:
            self._seen[item.task] = Seen(())
            self._open.append(item.task)
        self._by_task[item.task].append(item)

    def follow(self) -> bool:
        """Ask the record about some open tasks, those first that were asked longest ago; return whether none is."""
        for task in list(islice(self._open, _AT_A_LOOK)):
            self._open.popleft()
            self._seen[task] = Seen((event["type"], event["data"]) for event in self.client.history(task=task))
            if any(self._so_far(item).status == "queued" for item in self._by_task[task]):
                self._open.append(task)
        return not self._open

    def _so_far(self, item: Item) -> Item:
        """Return the item with what the record said; who waits is not asked about yet."""
        if not item.task:
            return item
        seen = self._seen[item.task]
        known = seen.so_far(item)
        if item.position in seen.ends:
            return known
        if seen.cancelled is not None:
            return replace(known, status="cancelled", reason=seen.cancelled)
        asked = item.position in seen.asked and item.position not in seen.answered
        return replace(known, status="waiting") if asked else known

    @property
    def spent(self) -> int:
        """What the documents cost so far, in micro-USD."""
        return sum(self._so_far(item).cost for item in self.items)

    @property
    def tally(self) -> Counter[Outcome]:
        """How many documents are how far."""
        return Counter(self._so_far(item).status for item in self.items) + Counter({"queued": len(self.line)})

    def collected(self) -> list[Item]:
        """Return the items with what the record, and for those that wait the approvals' endpoint, says of each.

        At their end are those that were not let in.
        """
        known = (self._so_far(item) for item in self.items)
        found = [self._asked_about(item) if item.status == "waiting" else item for item in known]
        return [*found, *self.line.outside()]

    def _asked_about(self, item: Item) -> Item:
        asked = self._seen[item.task].asked[item.position]
        shown = self._approval(asked["approval"])
        return waiting(item, asked, shown["classified"], shown["shown"]["summary"])

    def _approval(self, approval: str) -> dict[str, Any]:
        path = f"/api/approvals/{approval}"
        status, answer = self.client.call("GET", path, person=self.person, roles=ROLES)
        if status != HTTPStatus.OK:
            raise Permanent(f"{path} answered {status}: {answer.get('detail', '')}", code="no-approval")
        return answer


def follow_to_the_end(
    review: StackReview,
    follow: Callable[[], bool],
    logs: object,
    *,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Follow until every document is settled or waits; Permanent when nothing moves any more."""
    before, since = review.tally, clock()
    while not follow():
        if review.tally != before:
            before, since = review.tally, clock()
        elif clock() - since > PATIENCE_SECONDS:
            left = before["queued"]
            raise Permanent(
                f"{left} of {before.total()} documents are not settled, and nothing moved for"
                f" {PATIENCE_SECONDS:.0f} s; the logs in {logs} tell why",
                code="stands-still",
            )
        wait(_PAUSE_SECONDS)


def uploaded(item: Item, documents: Documents) -> Item:
    """Return the item with a reference to its bytes where the clouds find them."""
    if item.ref is None:
        return item
    try:
        content = item.path.read_bytes()
    except OSError as error:
        return replace(item, ref=None, status="failed", reason=f"cannot read it: {error.strerror}")
    return replace(item, ref=documents.write(content, item.ref.media_type, item.ref.name))
