"""Tasks, outbox, journal and approvals in one Azure table: one transaction writes what one decision said and posts.

Rows that must not have moved are changed under the ETag they were read with; rows that must not exist are created.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableTransactionError, TransactionOperation, UpdateMode

from azure.fabric.adapters import rows
from azure.fabric.adapters.ledger import posted
from azure.fabric.adapters.verdicts import verdicts
from shared.core.approval import Approval
from shared.core.journal import Entry
from shared.core.task import Task
from shared.errors import Conflict, Duplicate, NotFound
from shared.events.catalog import encode, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from azure.data.tables import TableClient, TableEntity

    from azure.fabric.adapters.rows import Row
    from shared.events.catalog import AnyEvent
    from shared.ports import Change

Operation = tuple[Any, ...]
_REPLACE = {"mode": UpdateMode.REPLACE}
_LOST_RACE = frozenset({409, 412})  # it exists already; it is not as it was read


class Table:
    """The table, as the four ports below need it."""

    def __init__(self, client: TableClient) -> None:
        self.client = client

    def get(self, tenant: str, key: str) -> TableEntity | None:
        """Return a row, or None."""
        try:
            with verdicts("the table"):
                return self.client.get_entity(tenant, key)
        except ResourceNotFoundError:
            return None

    def between(self, tenant: str | None, prefix: str, *, after: str = "", limit: int) -> Iterator[TableEntity]:
        """Yield up to `limit` rows whose keys begin with `prefix`, in their order, those after `prefix` + `after`."""
        words = {"low": prefix + after, "high": prefix[:-1] + chr(ord(prefix[-1]) + 1)}
        query = "RowKey gt @low and RowKey lt @high"
        if tenant is not None:
            query, words = f"PartitionKey eq @tenant and {query}", {**words, "tenant": tenant}
        with verdicts("the table"):
            found = self.client.query_entities(query, parameters=words, results_per_page=min(limit, 1000))
            for _, one in zip(range(limit), found, strict=False):
                yield one

    def write(self, operations: Sequence[Operation]) -> int | None:
        """Write all rows or none; return which of them lost a race, or None when they are written."""
        rows.check_size([operation[1] for operation in operations])
        try:
            with verdicts("the table"):
                self.client.submit_transaction(operations)
        except TableTransactionError as error:
            if error.status_code not in _LOST_RACE:
                raise
            return int(error.index)
        return None


class TableTasks:
    """The `Tasks` port."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def load(self, tenant: str, task: str) -> Task:
        """Return the task; NotFound when the tenant has none of that id."""
        found = self._table.get(tenant, rows.TASK + task) if rows.is_key(task) else None
        if found is None:
            raise NotFound(f"no task {task!r}")
        return Task.model_validate_json(rows.body_of(found))

    def last_sequence(self, tenant: str, entity: str) -> int:
        """Return the number of the entity's latest event, 0 when it has none."""
        found = self._table.get(tenant, rows.sequence_key(entity))
        return 0 if found is None else int(found["Last"])

    def page(self, tenant: str, *, limit: int, after: str = "") -> Sequence[Task]:
        """Return up to `limit` tasks in the order of their ids, those after the id `after`."""
        found = self._table.between(tenant, rows.TASK, after=after, limit=limit)
        return [Task.model_validate_json(rows.body_of(one)) for one in found]

    def parked(self, *, limit: int, after: str = "") -> Sequence[Task]:
        """Return up to `limit` parked tasks of any tenant, those that wait longest first; reads all that are parked."""
        with verdicts("the table"):
            found = [
                Task.model_validate_json(rows.body_of(one))
                for one in self._table.client.query_entities("Parked eq true")
            ]
        behind = [task for task in found if task.in_line > after]
        return sorted(behind, key=lambda task: task.in_line)[:limit]

    def commit(self, change: Change) -> None:
        """Write all of a decision or nothing; Conflict or Duplicate when it came too late."""
        events = self._events(change.events)
        operations = [*self._claim(change), *self._task(change), *events, *self._belongings(change)]
        if change.posting is not None:
            operations += posted(self._table, change.posting)
        lost = self._table.write(operations)
        if lost == 0 and change.claim is not None:
            raise Duplicate(f"{change.claim} was handled before")
        if lost is not None:
            raise Conflict(f"task {change.task.id}, its entity or its money was changed by somebody else")

    def note(self, events: tuple[AnyEvent, ...]) -> None:
        """Write events that change no task, all or none; Conflict when they came too late."""
        if self._table.write(list(self._events(events))) is not None:
            raise Conflict(f"the events of {events[0].entity} were continued by somebody else")

    def _claim(self, change: Change) -> Iterator[Operation]:
        if change.claim is None:
            return
        key = rows.claim_key(change.claim)
        if self._table.get(change.task.tenant, key) is not None:
            raise Duplicate(f"{change.claim} was handled before")
        yield TransactionOperation.CREATE, rows.row(change.task.tenant, key)

    def _task(self, change: Change) -> Iterator[Operation]:
        task = change.task
        found = self._table.get(task.tenant, rows.TASK + task.id)
        if (int(found["Version"]) if found else 0) != change.expected:
            raise Conflict(f"task {task.id} is no longer at version {change.expected}")
        parked = {"Parked": True} if task.parked_at is not None else {}
        fresh = rows.row(task.tenant, rows.TASK + task.id, task.model_dump_json(), Version=task.version, **parked)
        yield _replaced(fresh, found)

    def _events(self, events: tuple[AnyEvent, ...]) -> Iterator[Operation]:
        if not events:
            return
        tenant, entity = events[0].tenant, events[0].entity
        before, last = events[0].sequence - 1, events[-1].sequence
        found = self._table.get(tenant, rows.sequence_key(entity))
        if (int(found["Last"]) if found else 0) != before:
            raise Conflict(f"the events of {entity} are no longer at {before}")
        yield _replaced(rows.row(tenant, rows.sequence_key(entity), Last=last), found)
        for event in events:
            yield TransactionOperation.CREATE, rows.row(tenant, rows.outbox_key(entity, event.sequence), encode(event))

    def _belongings(self, change: Change) -> Iterator[Operation]:
        """The task's own version guards these: whoever writes them writes the task, too."""
        tenant, entry = change.task.tenant, change.entry
        if entry is not None:
            key = rows.journal_key(entry.task, entry.document, entry.step)
            yield TransactionOperation.UPSERT, rows.row(tenant, key, entry.model_dump_json()), _REPLACE
        for approval in change.approvals:
            yield from self._approval(tenant, approval)

    def _approval(self, tenant: str, approval: Approval) -> Iterator[Operation]:
        body = approval.model_dump_json()
        yield TransactionOperation.UPSERT, rows.row(tenant, rows.APPROVAL + approval.id, body), _REPLACE
        owed = rows.PENDING + approval.id
        if approval.status == "pending":
            yield TransactionOperation.UPSERT, rows.row(tenant, owed, body), _REPLACE
        elif self._table.get(tenant, owed) is not None:
            yield TransactionOperation.DELETE, rows.row(tenant, owed)


def _replaced(fresh: Row, found: TableEntity | None) -> Operation:
    """Create the row, or replace it if it still is as it was found."""
    if found is None:
        return TransactionOperation.CREATE, fresh
    unchanged = {"etag": found.metadata["etag"], "match_condition": MatchConditions.IfNotModified}
    return TransactionOperation.UPDATE, fresh, {**_REPLACE, **unchanged}


class TableOutbox:
    """The `Outbox` port; a sent event leaves the table, the record keeps it."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def unsent(self, *, limit: int, tenant: str | None = None, entity: str | None = None) -> Sequence[AnyEvent]:
        """Return unsent events, an entity's in its order; without a tenant this reads through the whole table."""
        prefix = rows.OUTBOX if entity is None else rows.outbox_prefix(entity)
        return [parse(rows.body_of(one)) for one in self._table.between(tenant, prefix, limit=limit)]

    def mark_sent(self, events: Sequence[AnyEvent]) -> None:
        """Forget events that were published; doing it twice is doing it once."""
        for event in events:
            with verdicts("the table"):
                self._table.client.delete_entity(event.tenant, rows.outbox_key(event.entity, event.sequence))


class TableJournal:
    """The `Journal` port."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def find(self, tenant: str, task: str, document: int, step: str) -> Entry | None:
        """Return the step's entry, or None when it never started."""
        known = rows.is_key(task) and rows.is_key(step)
        found = self._table.get(tenant, rows.journal_key(task, document, step)) if known else None
        return None if found is None else Entry.model_validate_json(rows.body_of(found))


class TableApprovals:
    """The `Approvals` port."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def find(self, tenant: str, approval: str) -> Approval:
        """Return the approval; NotFound when the tenant has none of that id."""
        found = self._table.get(tenant, rows.APPROVAL + approval) if rows.is_key(approval) else None
        if found is None:
            raise NotFound(f"no approval {approval!r}")
        return Approval.model_validate_json(rows.body_of(found))

    def pending(self, tenant: str, *, limit: int, after: str = "") -> Sequence[Approval]:
        """Return up to `limit` undecided approvals in the order of their ids, those after the id `after`."""
        found = self._table.between(tenant, rows.PENDING, after=after, limit=limit)
        return [Approval.model_validate_json(rows.body_of(one)) for one in found]
