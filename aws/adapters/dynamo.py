"""Tasks, outbox, journal and approvals in one DynamoDB table; one transaction writes what one decision said.

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
from datetime import UTC, timedelta
from itertools import islice
from typing import Any
from zlib import crc32

from botocore.exceptions import ClientError

from aws.adapters.verdicts import THROTTLED, code_of, verdicts
from shared.core.approval import Approval
from shared.core.journal import Entry
from shared.core.task import Task
from shared.errors import Conflict, Duplicate, FabricError, NotFound, Permanent, Transient
from shared.events.catalog import AnyEvent, encode, parse
from shared.ports import Change

# A claim outlives every queue's retention and a redrive after it. What creates a task claims it for good.
CLAIM_DAYS = 30
_MOST_BYTES = 390 * 1024  # of the 400 KB an item may have: https://docs.aws.amazon.com/dynamodb/ "Quotas"
_SHARDS = 16  # of the relay's index, so that it bears more than one partition's writes
_DELETES = 25
_PARKED = "parked"  # the shard of the index that parked tasks wait in
_NEW = "attribute_not_exists(pk)"

Item = dict[str, Any]


def _values(**values: str | int) -> Item:
    return {name: {"N": str(value)} if isinstance(value, int) else {"S": value} for name, value in values.items()}


class _Table:
    """Reads of the table, always consistent."""

    def __init__(self, dynamo: Any, table: str) -> None:  # noqa: ANN401  boto3 makes its clients' types at run time
        self._dynamo = dynamo
        self._table = table

    def _get(self, pk: str, sk: str) -> Item | None:
        with verdicts("read"):
            found = self._dynamo.get_item(TableName=self._table, Key=_values(pk=pk, sk=sk), ConsistentRead=True)
        item: Item | None = found.get("Item")
        return item

    def _below(self, pk: str, *, limit: int, after: str = "", prefix: str = "") -> Iterator[Item]:
        """Yield up to `limit` items of a partition in the order of their sort keys."""
        condition, values = "pk = :pk", _values(**{":pk": pk})
        if after:
            condition, values = f"{condition} AND sk > :after", values | _values(**{":after": after})
        if prefix:
            condition, values = f"{condition} AND begins_with(sk, :prefix)", values | _values(**{":prefix": prefix})
        asked = {"KeyConditionExpression": condition, "ExpressionAttributeValues": values, "ConsistentRead": True}
        return islice(self._pages(asked, limit), limit)

    def _pages(self, asked: Item, size: int) -> Iterator[Item]:
        """Yield all items of a query, reading a page of that size when the one before is used up."""
        start: Item = {}
        while True:
            with verdicts("query"):
                page = self._dynamo.query(TableName=self._table, Limit=size, **asked, **start)
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


class DynamoTasks(_Table):
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
        writes = [(claimed, self._addressed(write)) for claimed, write in _writes(change)]
        with verdicts("commit"):
            try:
                self._dynamo.transact_write_items(TransactItems=[write for _, write in writes])
            except ClientError as error:
                if code_of(error) != "TransactionCanceledException":
                    raise
                reasons = [reason.get("Code") for reason in error.response["CancellationReasons"]]
                raise _cancelled(change, [claimed for claimed, _ in writes], reasons) from error

    def page(self, tenant: str, *, limit: int, after: str = "") -> Sequence[Task]:
        """Return up to `limit` tasks in the order of their ids."""
        items = self._below(f"{tenant}#tasks", limit=limit, after=after)
        return [Task.model_validate_json(item["body"]["S"]) for item in items]

    def parked(self, *, limit: int) -> Sequence[Task]:
        """Return up to `limit` parked tasks of any tenant, those that wait longest first; the index may be late."""
        asked = {
            "IndexName": "unsent",
            "KeyConditionExpression": "unsent = :parked",
            "ExpressionAttributeValues": _values(**{":parked": _PARKED}),
        }
        keys = islice(((item["pk"]["S"], item["sk"]["S"]) for item in self._pages(asked, limit)), limit)
        found = (self._get(pk, sk) for pk, sk in keys)
        tasks = (Task.model_validate_json(item["body"]["S"]) for item in found if item is not None)
        return [task for task in tasks if task.parked_at is not None]

    def _addressed(self, write: Item) -> Item:
        return {verb: {"TableName": self._table, **what} for verb, what in write.items()}


def _cancelled(change: Change, claims: Sequence[bool], reasons: Sequence[str | None]) -> FabricError:
    """Return what a cancelled transaction means: a taken claim says more than anything else that failed."""
    failed = list(zip(claims, reasons, strict=True))
    if (True, "ConditionalCheckFailed") in failed:
        return Duplicate(f"{change.claim} was handled before")
    if any(reason in {"ConditionalCheckFailed", "TransactionConflict"} for reason in reasons):
        return Conflict(f"task {change.task.id} or its entity moved on from version {change.expected}")
    if any(reason in THROTTLED for reason in reasons):
        return Transient("commit: the table is throttled")
    names = sorted({reason for reason in reasons if reason and reason != "None"})
    return Permanent(f"commit: refused by the table ({', '.join(names)})", code="refused-by-aws")


def _writes(change: Change) -> Iterator[tuple[bool, Item]]:
    """Yield the writes of a change, each with whether it is the claim."""
    if change.claim is not None:
        yield True, _put(_claim(change), _NEW)
    yield False, _task(change)
    if change.events:
        yield False, _sequence(change.events)
    for event in change.events:
        yield False, _put(_outgoing(event))
    if change.entry is not None:
        entry = change.entry
        pk, sk = f"{entry.tenant}#journal#{entry.task}", f"{entry.document:04}#{entry.step}"
        yield False, _put(_values(pk=pk, sk=sk, body=_checked(entry.model_dump_json())))
    for approval in change.approvals:
        yield from ((False, write) for write in _approval(approval))


def _put(item: Item, condition: str = "", **values: str | int) -> Item:
    put: Item = {"Item": item}
    if condition:
        put["ConditionExpression"] = condition
    if values:
        put["ExpressionAttributeValues"] = _values(**{f":{name}": value for name, value in values.items()})
    return {"Put": put}


def _checked(body: str) -> str:
    size = len(body.encode())
    if size > _MOST_BYTES:
        raise Permanent(f"{size} bytes are more than the {_MOST_BYTES} one item may have", code="oversize")
    return body


def _claim(change: Change) -> Item:
    item = _values(pk=f"{change.task.tenant}#claim#{change.claim}", sk="claim")
    if change.expected == 0 or not change.events:
        return item
    expires = change.events[0].time + timedelta(days=CLAIM_DAYS)
    return item | _values(expires=int(expires.timestamp()))


def _task(change: Change) -> Item:
    task = change.task
    body = _checked(task.model_dump_json())
    item = _values(pk=f"{task.tenant}#tasks", sk=task.id, version=task.version, body=body)
    if task.parked_at is not None:
        item |= _values(unsent=_PARKED, since=f"{task.parked_at.astimezone(UTC).isoformat()}#{task.id}")
    if change.expected == 0:
        return _put(item, _NEW)
    return _put(item, "version = :expected", expected=change.expected)


def _sequence(events: Sequence[AnyEvent]) -> Item:
    """Move the entity's sequence, if it still is where it was when the decision was made."""
    first, last = events[0], events[-1]
    update: Item = {
        "Key": _values(pk=_entity(first.tenant, first.entity), sk="sequence"),
        # `last` is a reserved word of DynamoDB's expressions.
        "UpdateExpression": "SET #last = :last",
        "ExpressionAttributeNames": {"#last": "last"},
        "ExpressionAttributeValues": _values(**{":last": last.sequence}),
        "ConditionExpression": _NEW,
    }
    if first.sequence > 1:
        update["ConditionExpression"] = "#last = :before"
        update["ExpressionAttributeValues"] |= _values(**{":before": first.sequence - 1})
    return {"Update": update}


def _outgoing(event: AnyEvent) -> Item:
    pk = _entity(event.tenant, event.entity)
    since = f"{event.time.isoformat()}#{event.sequence:015}"
    return _values(pk=pk, sk=_unsent_key(event), body=encode(event), unsent=_shard(pk), since=since)


def _entity(tenant: str, entity: str) -> str:
    return f"{tenant}#entity#{entity}"


def _unsent_key(event: AnyEvent) -> str:
    return f"outbox#{event.sequence:015}"


def _shard(pk: str) -> str:
    return f"{crc32(pk.encode()) % _SHARDS:02}"


def _approval(approval: Approval) -> Iterator[Item]:
    body = _checked(approval.model_dump_json())
    yield _put(_values(pk=f"{approval.tenant}#approvals", sk=approval.id, body=body))
    pending = f"{approval.tenant}#pending"
    if approval.status == "pending":
        yield _put(_values(pk=pending, sk=approval.id, body=body))
    else:
        yield {"Delete": {"Key": _values(pk=pending, sk=approval.id)}}


class DynamoOutbox(_Table):
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
        keys = [_values(pk=_entity(event.tenant, event.entity), sk=_unsent_key(event)) for event in events]
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
            "ExpressionAttributeValues": _values(**{":shard": shard}),
        }
        return ((item["since"]["S"], item["pk"]["S"]) for item in self._pages(asked, page))


class DynamoJournal(_Table):
    """The `Journal` port."""

    def find(self, tenant: str, task: str, document: int, step: str) -> Entry | None:
        """Return the step's entry, or None."""
        item = self._get(f"{tenant}#journal#{task}", f"{document:04}#{step}")
        return Entry.model_validate_json(item["body"]["S"]) if item else None


class DynamoApprovals(_Table):
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
