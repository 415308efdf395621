"""What the tests of the embedded engine share: taxonomies, documents to review, and a fabric to review them.

May know the engine and its review; must not know what a test expects.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from identify.vendor.licenses import LICENSES

from local.clock import VirtualClock
from local.clouds import aws
from local.corpus import Item, documents_in
from local.engine import Engine
from local.review import Review, claims
from local.wiring import TENANT
from shared.events.catalog import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.core.task import Task
    from shared.events.catalog import AnyEvent
    from shared.events.document import DocumentRef
    from shared.ports import Ports

PERSON = "ann"
MIT = dict(LICENSES)["MIT"]
INVOICE = "Invoice number 17. Total amount due: 120 EUR. Please pay the invoice amount within 30 days."
UNCLEAR = "Seventeen herons stood in the shallow water and did not care."

PLAIN = """
name = "plain"
threshold = 0.3
unknown_needs_approval = false

[[classes]]
name = "mit"
reference = "MIT"
"""

ASKING = f"""{PLAIN}
[[classes]]
name = "invoice"
keywords = ["invoice", "amount", "pay"]
markers = ["total amount due"]
approval = true
"""


def write_corpus(folder: Path, contents: Mapping[str, str | bytes]) -> Path:
    """Write files into a folder, by their names in it, and return the folder."""
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@dataclass
class SameClock:
    """The model server's clock: it shows the fabric's time."""

    clock: VirtualClock

    def now(self) -> float:
        """Return the time."""
        return self.clock.now().timestamp()

    async def pause(self, seconds: float) -> None:
        """Return at once."""

    def move_to(self, moment: float) -> None:
        """Refuse: the fabric moves it."""
        raise AssertionError(moment)


@dataclass
class Fabric:
    """An engine with a clock that we turn, and the words the tests use for it."""

    engine: Engine
    clock: VirtualClock

    def taxonomy(self, text: str) -> DocumentRef:
        """Store a taxonomy and return its reference."""
        return self.engine.documents.write(text.encode(), "application/toml", "test.toml")

    def submit(self, folder: Path, taxonomy: str = ASKING, *, entity: str = "") -> Review:
        """Submit the folder's documents: each as a task of its own, or all as one of `entity`."""
        review = Review(self.engine, self.taxonomy(taxonomy), PERSON)
        found = documents_in([folder])
        review.submit(Item(item.path, item.name, entity) for item in found) if entity else review.submit(found)
        return review

    def review(self, folder: Path, taxonomy: str = ASKING, *, entity: str = "") -> dict[str, Item]:
        """Submit the folder's documents, work until nothing is due, and return what became of each by its name."""
        review = self.submit(folder, taxonomy, entity=entity)
        self.engine.work(review.heard)
        return outcomes(review)

    def task(self, task: str) -> Task:
        """Return a task as it is stored."""
        return self.engine.ports.tasks.load(TENANT, task)

    def told(self, entity: str) -> list[AnyEvent]:
        """Return the recorded events of an entity, or of the only file of that name."""
        rows = self.engine.ports.records.history(TENANT, entity=self._entity(entity), limit=10_000)
        return [parse(row.body) for row in rows]

    def _entity(self, name: str) -> str:
        query = "SELECT DISTINCT entity FROM record_audit WHERE entity = ?1 OR entity LIKE '%/' || ?1"
        found = [entity for (entity,) in self.engine.database.connection.execute(query, (name,))]
        if len(found) > 1:
            raise LookupError(f"{name} is any of {found}")
        return found[0] if found else name

    def dead_letters(self) -> list[tuple[str, str, int, str]]:
        """Return route, key, attempts and reason of the dead letters."""
        query = "SELECT route, key, attempts, reason FROM dead_letters ORDER BY id"
        return list(self.engine.database.connection.execute(query))

    def call_approvals(
        self, method: str, path: str, *, roles: Sequence[str] = ("reviewer",), **body: str
    ) -> tuple[int, dict[str, Any]]:
        """Send a request to the approvals' endpoints, as a person with those roles."""
        sent = json.dumps(body) if body else ""
        return self.engine.azure.call(method, f"/api/approvals{path}", person=PERSON, roles=roles, body=sent)

    def decide(
        self, approval: str, verdict: str, *, roles: Sequence[str] = ("reviewer",)
    ) -> tuple[int, dict[str, Any]]:
        """Look at an approval, decide it, and return the answer."""
        _, shown = self.call_approvals("GET", f"/{approval}", roles=roles)
        return self.call_approvals(
            "POST", f"/{approval}/decision", roles=roles, verdict=verdict, digest=shown["digest"]
        )

    def cancel(self, task: str, reason: str) -> tuple[int, dict[str, Any]]:
        """Cancel a task through the API."""
        body = json.dumps({"reason": reason})
        return aws.call_api("POST", f"/tasks/{task}/cancel", claims=claims(PERSON), body=body)


def outcomes(review: Review) -> dict[str, Item]:
    """Return what became of each document of a review, by its name."""
    return {item.name: item for item in review.collected()}


@contextmanager
def fabric(
    home: Path | None = None,
    adjust: Callable[[Ports], Ports] = lambda ports: ports,
    clock: VirtualClock | None = None,
) -> Iterator[Fabric]:
    """Open a fabric: in memory, or in a folder; its ports may be adjusted before anybody uses them."""
    clock = clock or VirtualClock()
    engine = Engine(home, clock)
    engine.ports = adjust(engine.ports)
    with engine:
        yield Fabric(engine, clock)
