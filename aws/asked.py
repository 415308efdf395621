"""What the other clouds may ask of the home store: a request model for each operation, and whose rows go together.

Knows shapes and owners; what an operation does stands in `aws.handlers.home`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainValidator, TypeAdapter, model_validator

from aws.wire import event_of
from shared.core.approval import Approval
from shared.core.journal import Entry
from shared.core.ledger import Account, Draw, Lease, Posting
from shared.core.ledger_rows import account_from, draw_from, lease_from
from shared.core.routes import Route
from shared.core.task import Task
from shared.events.catalog import AnyEvent
from shared.events.ids import Entity, Position, TaskId, Tenant

_MOST_LISTED = 1000

# The models that come in were written by these same models on another cloud; ids are theirs to judge.
_Told = Annotated[AnyEvent, PlainValidator(event_of)]
_TENANT: TypeAdapter[str] = TypeAdapter(Tenant)
_TASK_ID: TypeAdapter[str] = TypeAdapter(TaskId)
Owned = AnyEvent | Approval | Entry | Account | Lease | Draw
_Limit = Annotated[int, Field(ge=1, le=_MOST_LISTED)]


def _check_owner(tenant: str, *rows: Owned) -> None:
    """Raise ValueError unless that is a tenant's name, which no key can be broken with, and all rows are theirs."""
    _TENANT.validate_python(tenant)
    if any(row.tenant != tenant for row in rows):
        raise ValueError("what is written together belongs to one tenant")


class Asked(BaseModel):
    """What an operation is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class OfTask(Asked):
    """A task by its id."""

    tenant: Tenant
    task: str


class OfEntity(Asked):
    """An entity by its name."""

    tenant: Tenant
    entity: Entity


class OfStep(OfTask):
    """A step of a task's document."""

    document: int
    step: str


class OfApproval(Asked):
    """An approval by its id."""

    tenant: Tenant
    approval: str


class OfSetting(Asked):
    """A setting by its name; operators write it, here."""

    name: str = Field(max_length=64)


class Paged(Asked):
    """Some of a tenant's, in the order of their ids, those after one."""

    tenant: Tenant
    limit: _Limit
    after: str = ""


class Limited(Asked):
    """How many."""

    limit: _Limit


class Waiting(Limited):
    """How many that wait, those behind one."""

    after: str = ""


class Unsent(Limited):
    """How many unsent events, and whose."""

    tenant: Tenant | None = None
    entity: Entity | None = None


class Sent(Asked):
    """Events that were published."""

    events: tuple[_Told, ...]


class Addressed(Asked):
    """An event and the route it goes."""

    route: Route
    event: _Told


class Published(Asked):
    """Messages for the bus, in their order."""

    messages: tuple[Addressed, ...]


class OfDocument(Asked):
    """A document of a task, as a pipeline's input names it; what else that input has is the pipeline's."""

    model_config = ConfigDict(frozen=True, extra="allow")

    tenant: Tenant
    task: TaskId
    document: Position


class Execution(Asked):
    """One execution of a pipeline."""

    workflow: str
    name: str
    given: OfDocument


def _row(read: Callable[[str], Any]) -> PlainValidator:
    """Return what reads one of the ledger's rows from its text."""

    def checked_row(text: object) -> object:
        try:
            return read(str(text))
        except (KeyError, TypeError) as fault:
            raise ValueError("no row of the ledger") from fault

    return PlainValidator(checked_row)


class OfTenant(Asked):
    """A tenant by its name."""

    tenant: Tenant


class OfLease(OfTenant):
    """A lease by its id."""

    lease: str


class OfDraw(OfLease):
    """A draw by its id."""

    draw: str


class OfDraws(Paged):
    """Some of a lease's draws."""

    lease: str


class Due(Limited):
    """What is due by a moment."""

    at: AwareDatetime


class Posted(Asked):
    """`core.ledger.Posting`, each row as its text."""

    account: Annotated[Account, _row(account_from)] | None
    lease: Annotated[Lease, _row(lease_from)] | None
    draw: Annotated[Draw, _row(draw_from)] | None

    @model_validator(mode="after")
    def _is_one_tenants(self) -> Self:
        for row in self.rows()[:1]:
            _check_owner(row.tenant, *self.rows())
        return self

    def rows(self) -> list[Account | Lease | Draw]:
        """Return the rows there are."""
        return [row for row in (self.account, self.lease, self.draw) if row is not None]

    def posting(self) -> Posting:
        """Return it as the ports take it."""
        return Posting(self.account, self.lease, self.draw)


class Decided(Asked):
    """All that one decision writes: `shared.ports.Change` as JSON."""

    task: Task
    expected: int = Field(ge=0)
    events: tuple[_Told, ...]
    claim: str | None = None
    entry: Entry | None = None
    approvals: tuple[Approval, ...] = ()
    posting: Posted | None = None

    @model_validator(mode="after")
    def _is_one_tenants(self) -> Self:
        money = self.posting.rows() if self.posting else []
        _check_owner(self.task.tenant, *self.events, *self.approvals, *filter(None, [self.entry]), *money)
        _TASK_ID.validate_python(self.task.id)
        return self


class Noted(Asked):
    """Events of one entity that change no task."""

    events: Annotated[tuple[_Told, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_one_entitys(self) -> Self:
        _check_owner(self.events[0].tenant, *self.events)
        if len({event.entity for event in self.events}) > 1:
            raise ValueError("what is noted together is about one entity")
        return self
