"""The system of record on Spanner: what `core.recording` decides about a message is committed at once.

The usual message is the next of its entity, whose head this process knows: it is committed without reading anything,
in rows that Spanner refuses when the head is another one by now or something waits. Whatever is refused or unusual is
decided inside a read-write transaction. The function given to Spanner for that reads, decides and buffers mutations,
nothing else: it runs anew after an abort. https://cloud.google.com/spanner/docs/transactions
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from google.api_core import exceptions
from google.cloud.spanner_v1 import COMMIT_TIMESTAMP, KeyRange, KeySet, param_types

from gcp.adapters.heads import Heads
from shared.core.recording import (
    WINDOW,
    AuditRow,
    BillingRow,
    EntityRecord,
    Parked,
    Recording,
    Verdict,
    decide,
    keep,
    skip,
)
from shared.errors import Transient
from shared.ports import START, Cursor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from google.cloud.spanner_v1.database import Database
    from google.cloud.spanner_v1.transaction import Transaction

    from shared.events.catalog import AnyEvent

    Decision = Callable[[EntityRecord, Mapping[int, Parked]], Recording]

_ENTITIES = ("Tenant", "Entity", "Last", "Chain", "UpdatedAt")
_INBOX = ("Tenant", "Entity", "Sequence", "EventId", "AppliedAt")
_AUDIT = ("Tenant", "Entity", "Sequence", "EventId", "Type", "Task", "Time", "Body", "Chained", "RecordedAt")
_BILLING = (
    *("EventId", "Tenant", "Task", "Entity", "Sequence", "Step", "Model"),
    *("TokensIn", "TokensOut", "CostMicroUsd", "PriceVersion"),
    *("Document", "Line", "Deployment", "Outcome", "Workflow", "Cloud", "SavedMicroUsd", "Day", "RecordedAt"),
)
_AWAITED = ""  # the event id of an inbox row whose number something parked waits for
_PARKED = ("Tenant", "Entity", "Sequence", "Cause", "Reason", "Body", "ParkedAt")


def _columns(row: type[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what reads a row's fields in order (`dataclasses.astuple` copies each of them deeply)."""
    return attrgetter(*(field.name for field in fields(row)))


_entity_values, _audit_values = _columns(EntityRecord), _columns(AuditRow)
_billing_values, _parked_values = _columns(BillingRow), _columns(Parked)

_AFTER = "(Entity > @afterEntity OR (Entity = @afterEntity AND Sequence > @afterSequence))"

# Pub/Sub delivers again; what is listed here is worth that.
_PASSING = (
    exceptions.Aborted,
    exceptions.DeadlineExceeded,
    exceptions.ServiceUnavailable,
    exceptions.ResourceExhausted,
    exceptions.RetryError,
)
# What Spanner says of a row that is there already, or that is to be changed and is not there.
_REFUSALS = (exceptions.AlreadyExists, exceptions.NotFound)


class SpannerRecords:
    """The `Records` port.

    `patience` is how long aborted transactions are run anew; `retry_delay` is the pause before that where the
    server names none (the emulator does not).
    """

    def __init__(self, database: Database, *, patience: float = 20.0, retry_delay: float | None = None) -> None:
        self._database = database
        self._retry = {"timeout_secs": patience, "default_retry_delay": retry_delay}
        self._heads = Heads()

    def apply(self, event: AnyEvent, at: datetime) -> Verdict:
        """Record the event, all its rows in one commit."""
        head = self._heads.take(event, at)
        if head is not None and self._append(head, recording := decide(head, {}, event, at)):
            self._heads.keep(recording.record, at)
            return recording.verdict
        return self._record(
            event.tenant, event.entity, event.sequence, lambda record, waiting: decide(record, waiting, event, at), at
        )

    def park(self, poison: Parked) -> Verdict:
        """Keep a message that cannot be read."""
        return self._record(
            poison.tenant, poison.entity, poison.sequence, lambda record, waiting: keep(record, waiting, poison)
        )

    def skip(self, tenant: str, entity: str, sequence: int, *, by: str, reason: str, at: datetime) -> Verdict:
        """Settle the number that holds the entity back."""
        return self._record(
            tenant, entity, sequence, lambda record, waiting: skip(record, waiting, sequence, by, reason, at)
        )

    def head(self, tenant: str, entity: str) -> EntityRecord:
        """Return how far the entity's record goes."""
        with _verdicts(), self._database.snapshot() as snapshot:
            return _head(snapshot, tenant, entity)

    def history(
        self,
        tenant: str,
        *,
        task: str | None = None,
        entity: str | None = None,
        after: Cursor = START,
        limit: int = 1000,
    ) -> Sequence[AuditRow]:
        """Return applied events in the order of entities and numbers."""
        named = {"Tenant": tenant, "Task": task, "Entity": entity}
        rows = self._select("Audit", _AUDIT[:-1], named, after=after, limit=limit)
        return [AuditRow(*(*row[:6], _plain(row[6]), *row[7:])) for row in rows]

    def bill(
        self, tenant: str, *, task: str | None = None, after: Cursor = START, limit: int = 1000
    ) -> Sequence[BillingRow]:
        """Return what was used."""
        named = {"Tenant": tenant, "Task": task}
        rows = self._select("Billing", _BILLING[:-1], named, after=after, limit=limit)
        return [BillingRow(*row) for row in rows]

    def spent(self, tenant: str, *, task: str | None = None) -> int:
        """Return the sum of the whole bill."""
        where, values = _where({"Tenant": tenant, "Task": task})
        statement = f"SELECT IFNULL(SUM(CostMicroUsd), 0) FROM Billing WHERE {where}"  # noqa: S608  this file's words
        ((total,),) = self._query(statement, values, dict.fromkeys(values, param_types.STRING))
        return int(total)

    def parked(
        self, tenant: str, *, entity: str | None = None, after: Cursor = START, limit: int = 1000
    ) -> Sequence[Parked]:
        """Return what waits."""
        named = {"Tenant": tenant, "Entity": entity}
        rows = self._select("Parked", _PARKED, named, after=after, limit=limit)
        return [_parked_from(row) for row in rows]

    def _append(self, head: EntityRecord, recording: Recording) -> bool:
        """Write what follows `head`, unread; return whether it fitted.

        It does not where the number was settled or is awaited (its inbox row is there), where `head` is empty and the
        entity is not new, and where it is not and the entity is unknown. A commit that the SDK sent twice does not
        fit either, and is a duplicate to whoever looks.
        """
        try:
            with _verdicts(), self._database.batch(**self._retry) as batch:
                put = batch.update if head.last else batch.insert
                put("Entities", _ENTITIES, [(*_entity_values(recording.record), COMMIT_TIMESTAMP)])
                batch.insert("Inbox", _INBOX, _inbox(recording.audit))
                _add_trail(batch.insert, recording)
        except _REFUSALS:
            return False
        return True

    def _record(
        self, tenant: str, entity: str, sequence: int, decision: Decision, at: datetime | None = None
    ) -> Verdict:
        """Write what the decision says, and go on while parked items are due; the first verdict is the message's.

        `at` is a moment before, given for a head worth knowing afterwards.
        """

        def once(transaction: Transaction) -> tuple[Recording, bool]:
            record = _head(transaction, tenant, entity)
            waiting = _waiting(transaction, record, sequence)
            recording = decision(record, waiting)
            held = _is_held(recording, waiting)
            _write(transaction, recording, held=held)
            return recording, held

        with _verdicts():
            recording, held = self._database.run_in_transaction(once, **self._retry)
            verdict: Verdict = recording.verdict
            while recording.more:
                recording, held = self._database.run_in_transaction(once, **self._retry)
        if at is not None and not held:
            self._heads.keep(recording.record, at)
        return verdict

    def _select(
        self,
        table: str,
        columns: Sequence[str],
        named: Mapping[str, str | None],
        *,
        after: Cursor,
        limit: int,
    ) -> list[list[Any]]:
        """Return a page of rows in their entities' order; every word of the statement is one of this file's."""
        where, given = _where(named)
        statement = (
            f"SELECT {', '.join(columns)} FROM {table} WHERE {where} AND {_AFTER}"  # noqa: S608
            " ORDER BY Entity, Sequence LIMIT @limit"
        )
        texts, numbers = given | {"afterEntity": after[0]}, {"afterSequence": after[1], "limit": limit}
        types = dict.fromkeys(texts, param_types.STRING) | dict.fromkeys(numbers, param_types.INT64)
        return self._query(statement, texts | numbers, types)

    def _query(self, statement: str, values: Mapping[str, Any], types: Mapping[str, Any]) -> list[list[Any]]:
        with _verdicts(), self._database.snapshot() as snapshot:
            return list(snapshot.execute_sql(statement, params=dict(values), param_types=dict(types)))


def _where(named: Mapping[str, str | None]) -> tuple[str, dict[str, str]]:
    given = {name: value for name, value in named.items() if value is not None}
    return " AND ".join(f"{name} = @{name}" for name in given), given


@contextmanager
def _verdicts() -> Iterator[None]:
    """Turn failures that pass by themselves into Transient."""
    try:
        yield
    except _PASSING as error:
        raise Transient(f"Spanner: {type(error).__name__}") from error


def _head(reader: Any, tenant: str, entity: str) -> EntityRecord:  # noqa: ANN401  a snapshot or a transaction
    rows = list(reader.read("Entities", _ENTITIES[:-1], KeySet(keys=[(tenant, entity)])))
    return EntityRecord(*rows[0]) if rows else EntityRecord(tenant, entity)


def _waiting(transaction: Transaction, record: EntityRecord, sequence: int) -> dict[int, Parked]:
    """Return the first parked items after the last applied number, and the one at `sequence`."""
    key = (record.tenant, record.entity)
    after = KeySet(ranges=[KeyRange(start_open=(*key, record.last), end_closed=key)])
    found = _items(transaction.read("Parked", _PARKED, after, limit=WINDOW))
    if len(found) == WINDOW and sequence > max(found):
        found |= _items(transaction.read("Parked", _PARKED, KeySet(keys=[(*key, sequence)])))
    return found


def _items(rows: Any) -> dict[int, Parked]:  # noqa: ANN401  a streamed result
    return {item.sequence: item for item in map(_parked_from, rows)}


def _parked_from(row: Sequence[Any]) -> Parked:
    return Parked(*(*row[:6], _plain(row[6])))


def _plain(time: datetime) -> datetime:
    """Return Spanner's kind of datetime as Python's own."""
    return datetime.combine(time.date(), time.timetz())


def _is_held(recording: Recording, waiting: Mapping[int, Parked]) -> bool:
    """Whether anything stays parked, as far as was looked."""
    left = any(number > recording.record.last for number in waiting)
    return left or recording.more or recording.park is not None


def _write(transaction: Transaction, recording: Recording, *, held: bool) -> None:
    """Buffer the rows, the entity's before those that lie under it."""
    record = recording.record
    if not (recording.audit or recording.park):
        return
    transaction.insert_or_update("Entities", _ENTITIES, [(*_entity_values(record), COMMIT_TIMESTAMP)])
    if recording.park:
        transaction.insert_or_update("Parked", _PARKED, [_parked_values(recording.park)])
    inbox = _inbox(recording.audit)
    if held:  # whoever knows of nothing parked must not take the next number without a look
        inbox.append((record.tenant, record.entity, record.last + 1, _AWAITED, COMMIT_TIMESTAMP))
    transaction.insert_or_update("Inbox", _INBOX, inbox)
    if not recording.audit:
        return
    _add_trail(transaction.insert, recording)
    key = (record.tenant, record.entity)
    settled = KeyRange(start_closed=key, end_closed=(*key, record.last))
    transaction.delete("Parked", KeySet(ranges=[settled]))


def _inbox(audit: Sequence[AuditRow]) -> list[tuple[Any, ...]]:
    return [(row.tenant, row.entity, row.sequence, row.event_id, COMMIT_TIMESTAMP) for row in audit]


def _add_trail(insert: Callable[..., None], recording: Recording) -> None:
    """Buffer the audit trail and the bill; a number is inserted there once, whatever the inbox has forgotten."""
    insert("Audit", _AUDIT, [(*_audit_values(row), COMMIT_TIMESTAMP) for row in recording.audit])
    if recording.billing:
        insert("Billing", _BILLING, [(*_billing_values(row), COMMIT_TIMESTAMP) for row in recording.billing])
