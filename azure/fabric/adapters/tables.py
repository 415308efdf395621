"""Tasks, outbox, journal and approvals in one Azure table: one transaction writes what one decision said.

Rows that must not have moved are changed under the ETag they were read with; rows that must not exist are created.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableTransactionError, TransactionOperation, UpdateMode

from azure.fabric.adapters import rows
from azure.fabric.adapters.verdicts import verdicts
from shared.core.approval import Approval
from shared.core.journal import Entry
from shared.core.task import Task
from shared.errors import Conflict, Duplicate, NotFound
from shared.events.catalog import parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from azure.data.tables import TableClient, TableEntity

    from azure.fabric.adapters.rows import Row
    from shared.events.catalog import AnyEvent
    from shared.ports import Change

Operation = tuple[Any, ...]


class Table:
    """The table, as the four ports below need it."""

    def __init__(self, client: TableClient) -> None:
        self.client = client

    def get(self, partition: str, key: str) -> TableEntity | None:
        """Return a row, or None."""
        try:
            with verdicts("the table"):
                return self.client.get_entity(partition, key)
        except ResourceNotFoundError:
            return None

    def between(self, partition: str | None, prefix: str, *, after: str = "", limit: int) -> Iterator[TableEntity]:
        """Yield up to `limit` rows whose keys begin with `prefix`, in their order, those after `prefix` + `after`."""
        words = {"low": prefix + after, "high": prefix[:-1] + chr(ord(prefix[-1]) + 1)}
        query = "RowKey gt @low and RowKey lt @high"
        if partition is not None:
            query, words = f"PartitionKey eq @partition and {query}", words | {"partition": partition}
        with verdicts("the table"):
            found = self.client.query_entities(query, parameters=words, results_per_page=min(limit, 1000))
            for _, one in zip(range(limit), found, strict=False):
                yield one

    def partition_of(self, tenant: str, key: str) -> str | None:
        """Return the partition that an id leads to, or None."""
        hint = self.get(rows.index(tenant), key)
        return None if hint is None else str(hint["Partition"])

    def hint(self, tenant: str, key: str, partition: str) -> None:
        """Let an id lead to a partition."""
        with verdicts("the table"):
            self.client.upsert_entity(rows.row(rows.index(tenant), key, Partition=partition))

    def drop(self, partition: str, key: str) -> None:
        """Delete a row, if it is there."""
        with verdicts("the table"):
            self.client.delete_entity(partition, key)


class TableTasks:
    """The `Tasks` port."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def load(self, tenant: str, task: str) -> Task:
        """Return the task; NotFound when the tenant has none of that id."""
        key = rows.task_key(task)
        partition = self._table.partition_of(tenant, key) if rows.is_key(task) else None
        found = self._table.get(partition, key) if partition else None
        if found is None:
            raise NotFound(f"no task {task!r}")
        return Task.model_validate_json(rows.body_of(found))

    def last_sequence(self, tenant: str, entity: str) -> int:
        """Return the number of the entity's latest event, 0 when it has none."""
        found = self._table.get(rows.partition(tenant, entity), rows.SEQUENCE)
        return 0 if found is None else int(found["Last"])

    def page(self, tenant: str, *, limit: int, after: str = "") -> Sequence[Task]:
        """Return up to `limit` tasks in the order of their ids, those after the id `after`."""
        hints = self._table.between(rows.index(tenant), rows.task_key(""), after=after, limit=limit)
        found = (self._table.get(hint["Partition"], hint["RowKey"]) for hint in hints)
        return [Task.model_validate_json(rows.body_of(one)) for one in found if one is not None]

    def commit(self, change: Change) -> None:
        """Write all of a decision or nothing; Conflict or Duplicate when it came too late."""
        partition = rows.partition(change.task.tenant, change.task.entity)
        operations = [
            *self._claim(change, partition),
            *self._task(change, partition),
            *self._sequence(change, partition),
            *_belongings(change, partition),
        ]
        rows.check_size([operation[1] for operation in operations])
        self._hints(change, partition)
        self._submit(change, operations)
        if change.approval is not None and change.approval.status != "pending":
            self._table.drop(rows.index(change.task.tenant), rows.pending_key(change.approval.id))

    def _claim(self, change: Change, partition: str) -> Iterator[Operation]:
        if change.claim is None:
            return
        key = rows.claim_key(change.claim)
        if self._table.get(partition, key) is not None:
            raise Duplicate(f"{change.claim} was handled before")
        yield TransactionOperation.CREATE, rows.row(partition, key)

    def _task(self, change: Change, partition: str) -> Iterator[Operation]:
        task = change.task
        found = self._table.get(partition, rows.task_key(task.id))
        if (int(found["Version"]) if found else 0) != change.expected:
            raise Conflict(f"task {task.id} is no longer at version {change.expected}")
        body = task.model_dump_json()
        yield _replaced(rows.row(partition, rows.task_key(task.id), body, Version=task.version), found)

    def _sequence(self, change: Change, partition: str) -> Iterator[Operation]:
        if not change.events:
            return
        before, last = change.events[0].sequence - 1, change.events[-1].sequence
        found = self._table.get(partition, rows.SEQUENCE)
        if (int(found["Last"]) if found else 0) != before:
            raise Conflict(f"the events of {change.task.entity} are no longer at {before}")
        yield _replaced(rows.row(partition, rows.SEQUENCE, Last=last), found)
        for event in change.events:
            yield TransactionOperation.CREATE, rows.outbox_row(partition, event)

    def _hints(self, change: Change, partition: str) -> None:
        """Lay the index's rows before the truth: one too many leads nowhere, one too few would hide something."""
        tenant, approval = change.task.tenant, change.approval
        if change.expected == 0:
            self._table.hint(tenant, rows.task_key(change.task.id), partition)
        if approval is not None and approval.status == "pending":
            self._table.hint(tenant, rows.approval_key(approval.id), partition)
            self._table.hint(tenant, rows.pending_key(approval.id), partition)

    def _submit(self, change: Change, operations: list[Operation]) -> None:
        try:
            with verdicts("the table"):
                self._table.client.submit_transaction(operations)
        except TableTransactionError as error:
            if error.status_code not in {409, 412}:
                raise
            if change.claim is not None and error.index == 0:
                raise Duplicate(f"{change.claim} was handled before") from error
            raise Conflict(f"task {change.task.id} or its entity was changed by somebody else") from error


def _replaced(fresh: Row, found: TableEntity | None) -> Operation:
    """Create the row, or replace it if it still is as it was found."""
    if found is None:
        return TransactionOperation.CREATE, fresh
    unchanged = {"etag": found.metadata["etag"], "match_condition": MatchConditions.IfNotModified}
    return TransactionOperation.UPDATE, fresh, {"mode": UpdateMode.REPLACE, **unchanged}


def _belongings(change: Change, partition: str) -> Iterator[Operation]:
    """The task's own version guards these: whoever writes them writes the task, too."""
    replace = {"mode": UpdateMode.REPLACE}
    if change.entry is not None:
        key = rows.journal_key(change.entry.task, change.entry.document, change.entry.step)
        yield TransactionOperation.UPSERT, rows.row(partition, key, change.entry.model_dump_json()), replace
    if change.approval is not None:
        key = rows.approval_key(change.approval.id)
        yield TransactionOperation.UPSERT, rows.row(partition, key, change.approval.model_dump_json()), replace


class TableOutbox:
    """The `Outbox` port; a sent event leaves the table, the record keeps it."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def unsent(self, *, limit: int, tenant: str | None = None, entity: str | None = None) -> Sequence[AnyEvent]:
        """Return the oldest unsent events, an entity's in its order; without an entity this reads the whole table."""
        known = tenant is not None and entity is not None
        partition = rows.partition(tenant or "", entity or "") if known else None
        found = self._table.between(partition, "outbox|", limit=limit)
        events = [parse(rows.body_of(one)) for one in found]
        return [event for event in events if tenant in {None, event.tenant} and entity in {None, event.entity}]

    def mark_sent(self, events: Sequence[AnyEvent]) -> None:
        """Forget events that were published; doing it twice is doing it once."""
        for event in events:
            self._table.drop(rows.partition(event.tenant, event.entity), rows.outbox_key(event.sequence))


class TableJournal:
    """The `Journal` port."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def find(self, tenant: str, task: str, document: int, step: str) -> Entry | None:
        """Return the step's entry, or None when it never started."""
        partition = self._table.partition_of(tenant, rows.task_key(task)) if rows.is_key(task) else None
        found = self._table.get(partition, rows.journal_key(task, document, step)) if partition else None
        return None if found is None else Entry.model_validate_json(rows.body_of(found))


class TableApprovals:
    """The `Approvals` port."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def find(self, tenant: str, approval: str) -> Approval:
        """Return the approval; NotFound when the tenant has none of that id."""
        key = rows.approval_key(approval)
        partition = self._table.partition_of(tenant, key) if rows.is_key(approval) else None
        found = self._table.get(partition, key) if partition else None
        if found is None:
            raise NotFound(f"no approval {approval!r}")
        return Approval.model_validate_json(rows.body_of(found))

    def pending(self, tenant: str, *, limit: int, after: str = "") -> Sequence[Approval]:
        """Return up to `limit` undecided approvals in the order of their ids, those after the id `after`.

        A hint that a crash left behind is passed over: the approval itself says how it stands.
        """
        owed: list[Approval] = []
        while len(owed) < limit:
            hints = list(self._table.between(rows.index(tenant), "pending|", after=after, limit=limit - len(owed)))
            for hint in hints:
                after = hint["RowKey"].removeprefix("pending|")
                found = self._table.get(hint["Partition"], rows.approval_key(after))
                approval = None if found is None else Approval.model_validate_json(rows.body_of(found))
                owed += [approval] if approval is not None and approval.status == "pending" else []
            if not hints:
                break
        return owed
