"""Tasks, outbox, journal and approvals in one DynamoDB table; one transaction writes what one decision said and posts.

| item     | pk                        | sk              | besides                                             |
|----------|---------------------------|-----------------|-----------------------------------------------------|
| task     | tenant#tasks              | id              | version, body; unsent, since: while it is parked    |
| sequence | tenant#entity#<entity>    | sequence        | last                                                |
| outbox   | tenant#entity#<entity>    | outbox#<number> | body; unsent, since: the sparse index of the relay  |
| claim    | tenant#claim#<claim>      | claim           | expires                                             |
| journal  | tenant#journal#<task>     | <doc>#<step>    | body                                                |
| approval | tenant#approvals, #pending | id             | body; the second one only while a person is awaited |

A tenant's name has no `#`, so no other tenant's key can begin like it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import islice
from zlib import crc32

from aws.adapters.ledger import posted
from aws.adapters.table import NEW, Item, Table, cancelled, checked, put, values
from aws.adapters.verdicts import verdicts
from shared.core.approval import Approval
from shared.core.journal import Entry
from shared.core.task import Task
from shared.errors import Duplicate, NotFound, Transient
from shared.events.catalog import AnyEvent, encode, parse
from shared.ports import Change

# A claim outlives every queue's retention and a redrive after it. What creates a task claims it for good.
CLAIM_DAYS = 30
_SHARDS = 16  # of the relay's index, so that it bears more than one partition's writes
_DELETES = 25
_FIRST = "0"  # no time comes before it, and no key may be empty
_PARKED = "parked"  # the shard of the index that parked tasks wait in


class DynamoTasks(Table):
    """The `Tasks` port."""

    def load(self, tenant: str, task: str) -> Task:
        """Return the task; NotFound when the tenant has none of that id."""
        item = self._get(f"{tenant}#tasks", task)
        if item is None:
            raise NotFound(f"no task {task!r}")
        return Task.model_validate_json(item["body"]["S"])

    def last_sequence(self, tenant: str, entity: str) -> int:
        """Return the number of the entity's latest event."""
        item = self._get(_entity(tenant, entity), "sequence")
        return int(item["last"]["N"]) if item else 0

    def commit(self, change: Change) -> None:
        """Write all of a decision or nothing; Conflict or Duplicate when it came too late."""
        claims = [put(_claim(change), NEW)] if change.claim is not None else []
        reasons = self._transact([*claims, *_writes(change)])
        if claims and reasons[:1] == ["ConditionalCheckFailed"]:  # a taken claim says more than anything else
            raise Duplicate(f"{change.claim} was handled before")
        if reasons:
            moved_on = f"task {change.task.id}, its entity or its money moved on from version {change.expected}"
            raise cancelled(reasons, moved_on)

    def note(self, events: tuple[AnyEvent, ...]) -> None:
        """Write events that change no task, all or none; Conflict when they came too late."""
        reasons = self._transact([_sequence(events), *(put(_outgoing(event)) for event in events)])
        if reasons:
            raise cancelled(reasons, f"the events of {events[0].entity} are no longer at {events[0].sequence - 1}")

    def page(self, tenant: str, *, limit: int, after: str = "") -> Sequence[Task]:
        """Return up to `limit` tasks in the order of their ids."""
        items = self._below(f"{tenant}#tasks", limit=limit, after=after)
        return [Task.model_validate_json(item["body"]["S"]) for item in items]

    def parked(self, *, limit: int, after: str = "") -> Sequence[Task]:
        """Return up to `limit` parked tasks of any tenant, those that wait longest first; the index may be late."""
        asked = {
            "IndexName": "unsent",
            "KeyConditionExpression": "unsent = :parked AND since > :after",
            "ExpressionAttributeValues": values(**{":parked": _PARKED, ":after": after or _FIRST}),
        }
        keys = islice(((item["pk"]["S"], item["sk"]["S"]) for item in self._pages(asked, limit)), limit)
        found = (self._get(pk, sk) for pk, sk in keys)
        tasks = (Task.model_validate_json(item["body"]["S"]) for item in found if item is not None)
        return [task for task in tasks if task.parked_at is not None]


def _writes(change: Change) -> Iterator[Item]:
    """Yield the writes of a change, but for its claim."""
    yield _task(change)
    if change.events:
        yield _sequence(change.events)
    for event in change.events:
        yield put(_outgoing(event))
    if change.entry is not None:
        entry = change.entry
        pk, sk = f"{entry.tenant}#journal#{entry.task}", f"{entry.document:04}#{entry.step}"
        yield put(values(pk=pk, sk=sk, body=checked(entry.model_dump_json())))
    for approval in change.approvals:
        yield from _approval(approval)
    if change.posting is not None:
        yield from posted(change.posting)


def _claim(change: Change) -> Item:
    item = values(pk=f"{change.task.tenant}#claim#{change.claim}", sk="claim")
    if change.expected == 0 or not change.events:
        return item
    expires = change.events[0].time + timedelta(days=CLAIM_DAYS)
    return item | values(expires=int(expires.timestamp()))


def _task(change: Change) -> Item:
    task = change.task
    body = checked(task.model_dump_json())
    item = values(pk=f"{task.tenant}#tasks", sk=task.id, version=task.version, body=body)
    if task.parked_at is not None:
        item |= values(unsent=_PARKED, since=task.in_line)
    if change.expected == 0:
        return put(item, NEW)
    return put(item, "version = :expected", expected=change.expected)


def _sequence(events: Sequence[AnyEvent]) -> Item:
    """Move the entity's sequence, if it still is where it was when the decision was made."""
    first, last = events[0], events[-1]
    update: Item = {
        "Key": values(pk=_entity(first.tenant, first.entity), sk="sequence"),
        # `last` is a reserved word of DynamoDB's expressions.
        "UpdateExpression": "SET #last = :last",
        "ExpressionAttributeNames": {"#last": "last"},
        "ExpressionAttributeValues": values(**{":last": last.sequence}),
        "ConditionExpression": NEW,
    }
    if first.sequence > 1:
        update["ConditionExpression"] = "#last = :before"
        update["ExpressionAttributeValues"] |= values(**{":before": first.sequence - 1})
    return {"Update": update}


def _outgoing(event: AnyEvent) -> Item:
    pk = _entity(event.tenant, event.entity)
    since = f"{event.time.isoformat()}#{event.sequence:015}"
    return values(pk=pk, sk=_unsent_key(event), body=encode(event), unsent=_shard(pk), since=since)


def _entity(tenant: str, entity: str) -> str:
    return f"{tenant}#entity#{entity}"


def _unsent_key(event: AnyEvent) -> str:
    return f"outbox#{event.sequence:015}"


def _shard(pk: str) -> str:
    return f"{crc32(pk.encode()) % _SHARDS:02}"


def _approval(approval: Approval) -> Iterator[Item]:
    body = checked(approval.model_dump_json())
    yield put(values(pk=f"{approval.tenant}#approvals", sk=approval.id, body=body))
    pending = f"{approval.tenant}#pending"
    if approval.status == "pending":
        yield put(values(pk=pending, sk=approval.id, body=body))
    else:
        yield {"Delete": {"Key": values(pk=pending, sk=approval.id)}}


class DynamoOutbox(Table):
    """The `Outbox` port; a sent event leaves the table, the record keeps it."""

    def unsent(self, *, limit: int, tenant: str | None = None, entity: str | None = None) -> Sequence[AnyEvent]:
        """Return the oldest unsent events.

        The index only says which entities have some, perhaps late; the events come from the table, in order.
        """
        if tenant is not None and entity is not None:
            return self._of(_entity(tenant, entity), limit)
        found: list[AnyEvent] = []
        for pk in self._entities(limit, tenant, entity):
            found += self._of(pk, limit - len(found))
            if len(found) >= limit:
                break
        return found

    def mark_sent(self, events: Sequence[AnyEvent]) -> None:
        """Forget events that were published."""
        keys = [values(pk=_entity(event.tenant, event.entity), sk=_unsent_key(event)) for event in events]
        for start in range(0, len(keys), _DELETES):
            deletes = [{"DeleteRequest": {"Key": key}} for key in keys[start : start + _DELETES]]
            with verdicts("mark sent"):
                told = self._dynamo.batch_write_item(RequestItems={self._table: deletes})
            if told.get("UnprocessedItems"):
                raise Transient("mark sent: the table is throttled")

    def _of(self, pk: str, limit: int) -> list[AnyEvent]:
        return [parse(item["body"]["S"]) for item in self._below(pk, limit=limit, prefix="outbox#")]

    def _entities(self, limit: int, tenant: str | None, entity: str | None) -> Iterator[str]:
        """Yield the partitions that have unsent events, those that wait longest first."""
        shards = [self._waiting(f"{shard:02}", limit) for shard in range(_SHARDS)]
        seen: set[str] = set()
        for _, pk in heapq.merge(*shards):
            whose, _, which = pk.split("#", 2)
            if pk not in seen and tenant in {None, whose} and entity in {None, which}:
                seen.add(pk)
                yield pk

    def _waiting(self, shard: str, page: int) -> Iterator[tuple[str, str]]:
        asked = {
            "IndexName": "unsent",
            "KeyConditionExpression": "unsent = :shard",
            "ExpressionAttributeValues": values(**{":shard": shard}),
        }
        return ((item["since"]["S"], item["pk"]["S"]) for item in self._pages(asked, page))


class DynamoJournal(Table):
    """The `Journal` port."""

    def find(self, tenant: str, task: str, document: int, step: str) -> Entry | None:
        """Return the step's entry, or None."""
        item = self._get(f"{tenant}#journal#{task}", f"{document:04}#{step}")
        return Entry.model_validate_json(item["body"]["S"]) if item else None


class DynamoApprovals(Table):
    """The `Approvals` port."""

    def find(self, tenant: str, approval: str) -> Approval:
        """Return the approval; NotFound when the tenant has none of that id."""
        item = self._get(f"{tenant}#approvals", approval)
        if item is None:
            raise NotFound(f"no approval {approval!r}")
        return Approval.model_validate_json(item["body"]["S"])

    def pending(self, tenant: str, *, limit: int, after: str = "") -> Sequence[Approval]:
        """Return up to `limit` undecided approvals in the order of their ids."""
        items = self._below(f"{tenant}#pending", limit=limit, after=after)
        return [Approval.model_validate_json(item["body"]["S"]) for item in items]
