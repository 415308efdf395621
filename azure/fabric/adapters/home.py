"""The home store on another cloud, asked over HTTPS: the control state's ports, each method one request.

May know the operations' names and fields (they are the ports' own); must not know what the home is built on. No
retries: the engine above tries again, and every operation is safe to repeat.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from azure.fabric.adapters.home_ledger import as_texts
from shared.core.approval import Approval
from shared.core.journal import Entry
from shared.core.task import Task
from shared.errors import Conflict, Duplicate, FabricError, NotFound, Permanent, Transient
from shared.events.catalog import AnyEvent, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from azure.fabric.adapters.web import Answer, Web
    from shared.core.routes import Route
    from shared.ports import Change

MOST_BYTES = 2 * 1024 * 1024  # what the home takes in one request
_LOOK_SECONDS, _LOOKS = 3.0, 100  # a pipeline ends within five minutes
_SET_UP_SECONDS = 15.0
_BATCH_BYTES = MOST_BYTES // 4
# Faults of the deployment: no task or document may fail of them, so they are waited out.
_SET_UP = frozenset({"forbidden", "not-understood", "unauthenticated"})


class Home:
    """The way to the home: one operation, one POST."""

    def __init__(self, web: Web, url: str, token: Callable[[], str]) -> None:
        self._web = web
        self._url = url.rstrip("/")
        self._token = token

    def ask(self, operation: str, **asked: object) -> dict[str, Any]:
        """Return the answer; a refusal is raised as what the home's own port raised."""
        body = json.dumps(asked).encode()
        if len(body) > MOST_BYTES:
            raise Permanent(f"{len(body)} bytes are more than the {MOST_BYTES} a request may have", code="oversize")
        headers = {"Authorization": f"Bearer {self._token()}", "Content-Type": "application/json"}
        answer = self._web.ask("POST", f"{self._url}/fabric/{operation}", headers, body)
        told = _object(answer.body)
        if answer.status != HTTPStatus.OK or told is None:
            raise _verdict(operation, answer, told or {})
        return told


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        told = json.loads(body)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def _verdict(operation: str, answer: Answer, told: Mapping[str, Any]) -> FabricError:
    """Return what was meant: a verdict has a code, anything else was said by what stands between us and the home."""
    code, detail = str(told.get("code", "")), str(told.get("detail", ""))
    known: dict[str, type[Conflict | Duplicate | NotFound]] = {
        "conflict": Conflict,
        "duplicate": Duplicate,
        "not-found": NotFound,
    }
    if code in known:
        return known[code](detail)
    if answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return Permanent(detail or f"{operation}: too large", code="oversize")
    if code and code not in _SET_UP and answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return Permanent(detail, code=code)
    return Transient(
        f"{operation}: the home answers {answer.status} {code or 'without a verdict'}",
        retry_after=_patience(answer, code),
    )


def _patience(answer: Answer, code: str) -> float:
    asked = next((value for name, value in answer.headers.items() if name.lower() == "retry-after"), "")
    if asked.isdecimal():
        return float(asked)
    down = answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not code
    return 1.0 if down else _SET_UP_SECONDS


class HomeTasks:
    """The `Tasks` port."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def load(self, tenant: str, task: str) -> Task:
        """Return the task; NotFound when the tenant has none of that id."""
        return Task.model_validate(self._home.ask("tasks.load", tenant=tenant, task=task)["task"])

    def last_sequence(self, tenant: str, entity: str) -> int:
        """Return the number of the entity's latest event, 0 when it has none."""
        return int(self._home.ask("tasks.last_sequence", tenant=tenant, entity=entity)["last"])

    def commit(self, change: Change) -> None:
        """Write all of it or nothing; Conflict or Duplicate when it came too late."""
        self._home.ask(
            "tasks.commit",
            task=_plain(change.task),
            expected=change.expected,
            events=[_plain(event) for event in change.events],
            claim=change.claim,
            entry=change.entry and _plain(change.entry),
            approvals=[_plain(approval) for approval in change.approvals],
            posting=change.posting and as_texts(change.posting),
        )

    def note(self, events: tuple[AnyEvent, ...]) -> None:
        """Write events that change no task, all or none; Conflict when they came too late."""
        self._home.ask("tasks.note", events=[_plain(event) for event in events])

    def page(self, tenant: str, *, limit: int, after: str = "") -> Sequence[Task]:
        """Return up to `limit` tasks in the order of their ids, those after the id `after`."""
        told = _pages(self._home, "tasks", "tasks.page", tenant, limit, after)
        return [Task.model_validate(one) for one in told]

    def parked(self, *, limit: int, after: str = "") -> Sequence[Task]:
        """Return up to `limit` parked tasks of any tenant, the longest first: as many as one answer holds."""
        return [Task.model_validate(one) for one in self._home.ask("tasks.parked", limit=limit, after=after)["tasks"]]


class HomeOutbox:
    """The `Outbox` port."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def unsent(self, *, limit: int, tenant: str | None = None, entity: str | None = None) -> Sequence[AnyEvent]:
        """Return the oldest unsent events, an entity's in its order: as many as one answer holds."""
        told = self._home.ask("outbox.unsent", limit=limit, tenant=tenant, entity=entity)
        return [parse(json.dumps(event)) for event in told["events"]]

    def mark_sent(self, events: Sequence[AnyEvent]) -> None:
        """Note that these were published; doing it twice is doing it once."""
        for batch in _batches(_plain(event) for event in events):
            self._home.ask("outbox.mark_sent", events=batch)


class HomeJournal:
    """The `Journal` port."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def find(self, tenant: str, task: str, document: int, step: str) -> Entry | None:
        """Return the step's entry, or None when it never started."""
        told = self._home.ask("journal.find", tenant=tenant, task=task, document=document, step=step)["entry"]
        return None if told is None else Entry.model_validate(told)


class HomeApprovals:
    """The `Approvals` port."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def find(self, tenant: str, approval: str) -> Approval:
        """Return the approval; NotFound when the tenant has none of that id."""
        return Approval.model_validate(self._home.ask("approvals.find", tenant=tenant, approval=approval)["approval"])

    def pending(self, tenant: str, *, limit: int, after: str = "") -> Sequence[Approval]:
        """Return up to `limit` undecided approvals in the order of their ids, those after the id `after`."""
        told = _pages(self._home, "approvals", "approvals.pending", tenant, limit, after)
        return [Approval.model_validate(one) for one in told]


class HomeBus:
    """The `Bus` port: the home hands over, in the entities' order, to every cloud, this one included."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def publish(self, messages: Sequence[tuple[Route, AnyEvent]]) -> None:
        """Hand all messages over; Transient when any of them may not have arrived."""
        for batch in _batches({"route": route.value, "event": _plain(event)} for route, event in messages):
            self._home.ask("bus.publish", messages=batch)


class HomePipelines:
    """The `Pipelines` port. `wait` lets seconds pass between two looks at a pipeline that takes long."""

    def __init__(self, home: Home, wait: Callable[[float], None]) -> None:
        self._home = home
        self._wait = wait

    def run(self, workflow: str, name: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run to the end and return the output; its failure is raised as Permanent, a passing one as Transient.

        No request may take as long as a pipeline: one that takes long goes on without us, and is looked at.
        """
        output = self._home.ask("pipelines.run", workflow=workflow, name=name, given=dict(given))["output"]
        for _ in range(_LOOKS):
            if output is not None:
                break
            self._wait(_LOOK_SECONDS)
            output = self._looked(given)
        if output is None:
            raise Transient(f"pipeline {name} came to no end")
        result: Mapping[str, Any] = output
        return result

    def _looked(self, given: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the output, or None when it is too early; a home that is away for a moment is looked at again."""
        which = {name: given[name] for name in ("tenant", "task", "document")}
        try:
            output: Mapping[str, Any] | None = self._home.ask("pipelines.look", **which)["output"]
        except Transient:
            return None
        return output


def _plain(model: Task | Entry | Approval | AnyEvent) -> dict[str, Any]:
    told: dict[str, Any] = model.model_dump(mode="json")
    return told


def _pages(home: Home, name: str, operation: str, tenant: str, limit: int, after: str) -> Iterator[dict[str, Any]]:
    """Yield up to `limit`, however many answers they take."""
    more = True
    while more and limit > 0:
        told = home.ask(operation, tenant=tenant, limit=limit, after=after)
        yield from told[name]
        limit -= len(told[name])
        more, after = told["more"], told[name][-1]["id"] if told[name] else after


def _batches(told: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield lists that one request takes each, in the same order."""
    batch: list[dict[str, Any]] = []
    size = 0
    for one in told:
        length = len(json.dumps(one))
        if batch and size + length > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += length
    if batch:
        yield batch
