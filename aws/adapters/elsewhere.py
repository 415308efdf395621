"""Ports whose product lies on another cloud: asked here, they say where to ask instead."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NoReturn

from shared.core.recording import AuditRow, BillingRow, EntityRecord, Parked, Verdict
from shared.errors import Permanent
from shared.events.catalog import AnyEvent
from shared.ports import START, Cursor


class RecordsElsewhere:
    """The `Records` port, on AWS: the system of record is Spanner, reached by events alone."""

    def apply(self, event: AnyEvent, at: datetime) -> Verdict:
        """Refuse."""
        _not_here(f"{event.type} at {at}")

    def park(self, poison: Parked) -> Verdict:
        """Refuse."""
        _not_here(f"poison of {poison.entity}")

    def skip(self, tenant: str, entity: str, sequence: int, *, by: str, reason: str, at: datetime) -> Verdict:
        """Refuse."""
        _not_here(f"skipping {(tenant, entity, sequence)} for {by} at {at} ({reason})")

    def head(self, tenant: str, entity: str) -> EntityRecord:
        """Refuse."""
        _not_here(f"the head of {(tenant, entity)}")

    def history(
        self,
        tenant: str,
        *,
        task: str | None = None,
        entity: str | None = None,
        after: Cursor = START,
        limit: int = 1000,
    ) -> Sequence[AuditRow]:
        """Refuse."""
        _not_here(f"the history of {(tenant, task, entity, after, limit)}")

    def bill(
        self, tenant: str, *, task: str | None = None, after: Cursor = START, limit: int = 1000
    ) -> Sequence[BillingRow]:
        """Refuse."""
        _not_here(f"the bill of {(tenant, task, after, limit)}")

    def spent(self, tenant: str, *, task: str | None = None) -> int:
        """Refuse."""
        _not_here(f"what {(tenant, task)} spent")

    def parked(
        self, tenant: str, *, entity: str | None = None, after: Cursor = START, limit: int = 1000
    ) -> Sequence[Parked]:
        """Refuse."""
        _not_here(f"what is parked for {(tenant, entity, after, limit)}")


def _not_here(what: str) -> NoReturn:
    raise Permanent(f"{what}: the records are kept on GCP; publish on the records route", code="not-here")
