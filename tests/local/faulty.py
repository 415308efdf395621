"""Ports that fail on request: in front of the real ones, which they must not change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from shared.core.completion import Completion, Prompt
from shared.errors import Transient
from shared.ports import START, Cursor

if TYPE_CHECKING:
    from shared.core.recording import AuditRow, BillingRow, EntityRecord, Parked, Verdict
    from shared.events.catalog import AnyEvent
    from shared.ports import Models, Records


@dataclass
class Throttled:
    """Records that are too busy for one entity's events, the first `times` of them."""

    inner: Records
    entity: str
    times: int
    tried: list[tuple[str, int, datetime]] = field(default_factory=list)

    def apply(self, event: AnyEvent, at: datetime) -> Verdict:
        """Record it, or ask for patience."""
        self.tried.append((event.entity, event.sequence, at))
        if event.entity == self.entity and self.times > 0:
            self.times -= 1
            raise Transient("too much at once", retry_after=7)
        return self.inner.apply(event, at)

    def park(self, poison: Parked) -> Verdict:
        """Keep it."""
        return self.inner.park(poison)

    def skip(self, tenant: str, entity: str, sequence: int, *, by: str, reason: str, at: datetime) -> Verdict:
        """Skip it."""
        return self.inner.skip(tenant, entity, sequence, by=by, reason=reason, at=at)

    def head(self, tenant: str, entity: str) -> EntityRecord:
        """Return the head."""
        return self.inner.head(tenant, entity)

    def history(
        self,
        tenant: str,
        *,
        task: str | None = None,
        entity: str | None = None,
        after: Cursor = START,
        limit: int = 1000,
    ) -> Sequence[AuditRow]:
        """Return the history."""
        return self.inner.history(tenant, task=task, entity=entity, after=after, limit=limit)

    def bill(
        self, tenant: str, *, task: str | None = None, after: Cursor = START, limit: int = 1000
    ) -> Sequence[BillingRow]:
        """Return the bill."""
        return self.inner.bill(tenant, task=task, after=after, limit=limit)

    def spent(self, tenant: str, *, task: str | None = None) -> int:
        """Return the bill's sum."""
        return self.inner.spent(tenant, task=task)

    def parked(
        self, tenant: str, *, entity: str | None = None, after: Cursor = START, limit: int = 1000
    ) -> Sequence[Parked]:
        """Return what is parked."""
        return self.inner.parked(tenant, entity=entity, after=after, limit=limit)


@dataclass
class Broken:
    """Models with a defect: asked about herons, they raise what nobody foresaw."""

    inner: Models

    def complete(self, prompt: Prompt) -> Completion:
        """Answer, or break."""
        if "herons" in prompt.text:
            raise ZeroDivisionError("herons")
        return self.inner.complete(prompt)
