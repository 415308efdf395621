"""Bugs that somebody might really write, each of which a small storm must find, and by which words.

Each plants itself with pytest's monkeypatch or into the ports of every process, and is gone with its world.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import aws.handlers.dispatch
from local.faults.kinds import ROUGH, Kind, Rates
from local.faults.transport import Transport
from local.faults.world import unchanged
from local.sqlite import ledger as sqlite_ledger
from local.sqlite import records as sqlite_records
from local.sqlite import tasks as sqlite_tasks
from local.sqlite.broker import SqliteDeadLetters
from local.sqlite.records import SqliteRecords
from shared.app import commit, leases, parking, paying, steps, tasks
from shared.app.purse import Ticket
from shared.core import draws, recording, stepping
from shared.core import task as core_task
from shared.core.draws import Outcome
from shared.core.ledger import NOTHING, Posting
from shared.core.routes import Route, routes
from shared.errors import FabricError, Throttled, Transient
from shared.events.catalog import Cause
from shared.events.ids import derive
from shared.ports import Change, Ports
from tests.core.ledger_planted import _write_anything

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pytest

    from local.faults.world import Plant

ALL = frozenset(Kind)
TOGETHER = frozenset({Kind.RIVALS, Kind.ZOMBIE, Kind.DUPLICATE, Kind.REORDER})
CANCELS = TOGETHER | {Kind.CANCEL}
CRASHES = frozenset({Kind.CRASH_BEFORE, Kind.CRASH_AFTER, Kind.CRASH_UNSENT, Kind.LOST_ANSWER})


class Planted(NamedTuple):
    """A bug: words of what finds it, in which weather, how it gets into the code and into the ports."""

    found: str
    kinds: frozenset[Kind] = ALL
    patch: Callable[[pytest.MonkeyPatch], None] = lambda _: None
    ports: Plant = unchanged
    rates: Rates = ROUGH


def often(**share: float) -> Rates:
    """Return rough rates, but for these kinds, by the names of their members."""
    named = {Kind[name]: rate for name, rate in share.items()}
    return Rates(*({kind: named.get(kind, rate) for kind, rate in rates.items()} for rates in ROUGH))


CLOSE = often(RIVALS=0.5)
LOST = often(LOST_ANSWER=0.08, CRASH_BEFORE=0.01, CRASH_AFTER=0.02)
MOODY = often(PROVIDER=0.6)
FICKLE = often(CANCEL=0.6)


def instead(module: Any, name: str, wrong: Callable[..., Any]) -> Callable[[pytest.MonkeyPatch], None]:
    """Return what puts something else in a function's place."""
    return lambda patch: patch.setattr(module, name, wrong)


def nothing(*_: Any, **__: Any) -> None:
    """Do nothing."""


@dataclass
class Instead:
    """A port with one method that does something else; it is given the right one, and what that would be given."""

    port: Any
    method: str
    wrong: Callable[..., Any]

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.port, name)
        return partial(self.wrong, real) if name == self.method else real


def port(name: str, method: str, wrong: Callable[..., Any]) -> Plant:
    """Return a plant in a method of a port."""

    def plant(ports: Ports) -> Ports:
        changed: dict[str, Any] = {name: Instead(getattr(ports, name), method, wrong)}
        return replace(ports, **changed)

    return plant


def hasty(ports: Ports) -> Ports:
    """Publish, and then commit."""

    def early(real: Callable[[Change], None], change: Change) -> None:
        ports.bus.publish([(route, event) for event in change.events for route in routes(event)])
        real(change)

    return port("tasks", "commit", early)(ports)


def without_claim(real: Callable[[Change], None], change: Change) -> None:
    """Recognise no message."""
    real(replace(change, claim=None))


def torn(real: Callable[[Change], None], change: Change) -> None:
    """Write the state, and then the events."""
    real(replace(change, events=()))
    later = change.task.model_copy(update={"version": change.task.version + 1})
    real(replace(change, task=later, expected=change.task.version, claim=None, posting=None))


def forgetful(often: int) -> Callable[..., None]:
    """Say that it was written, and write nothing, once in so many times."""
    numbers = itertools.count(1)

    def write_some(real: Callable[[Any], None], what: Any) -> None:
        if next(numbers) % often:
            real(what)

    return write_some


def all_but_ends(real: Callable[[Any], None], events: Sequence[Any]) -> None:
    """Note what was sent, but not that a task has ended."""
    real([event for event in events if event.type != "task.completed"])


def no_compare(patch: pytest.MonkeyPatch) -> None:
    """Write a task and its events, whatever was written since they were decided on."""
    patch.setattr(sqlite_tasks, "_write_task", no_expectations)
    patch.setattr(sqlite_tasks, "_advance", any_sequence)


def mute(*_: Any, **__: Any) -> list[Any]:
    """Have nothing to say to whoever asks for one entity, or for all: a duplicate, a relay."""
    return []


def sent_first(ports: Ports, events: Sequence[Any]) -> None:
    """Note that events were sent, and send them."""
    ports.outbox.mark_sent(events)
    ports.bus.publish([(route, event) for event in events for route in routes(event)])


def records_only(ports: Ports, events: Sequence[Any]) -> None:
    """Tell the recorder alone."""
    ports.bus.publish([(Route.RECORDS, event) for event in events])
    ports.outbox.mark_sent(events)


def no_expectations(connection: Any, change: Change) -> None:
    """Write the task, whatever its version is by now."""
    task = change.task
    values = (task.tenant, task.id, task.version, task.model_dump_json())
    connection.execute("INSERT OR REPLACE INTO tasks VALUES (?, ?, ?, ?)", values)


def any_sequence(connection: Any, tenant: str, entity: str, *numbers: int) -> bool:
    """Move the entity's sequence, wherever it is by now."""
    _, after = numbers
    connection.execute("INSERT OR REPLACE INTO sequences VALUES (?, ?, ?)", (tenant, entity, after))
    return True


def acknowledged(self: Transport, route: Route, message: Any, now: float) -> None:
    """Take a message for done before it is."""


def all_well(_: Sequence[str]) -> Mapping[str, Any]:
    """Report no record of the batch as failed."""
    return {"batchItemFailures": []}


def ended_in_no_order(
    record: recording.EntityRecord, waiting: Mapping[int, recording.Parked], event: Any, now: Any
) -> recording.Recording:
    """Apply whatever comes next, whichever number it has."""
    if event.sequence <= record.last:
        return _RIGHT_DECIDE(record, waiting, event, now)
    before = recording.EntityRecord(record.tenant, record.entity, event.sequence - 1, record.chain)
    return _RIGHT_DECIDE(before, waiting, event, now)


def early_is_dropped(
    record: recording.EntityRecord, waiting: Mapping[int, recording.Parked], event: Any, now: Any
) -> recording.Recording:
    """Take what comes early for done."""
    return replace(_RIGHT_DECIDE(record, waiting, event, now), park=None)


def nothing_is_due(record: recording.EntityRecord, waiting: Any, event: Any) -> Any:
    """Forget what waits."""
    return event if event is not None and event.sequence == record.last + 1 and waiting is not None else None


def unlinked(chain: str, *rest: Any) -> str:
    """Chain nothing to what was before."""
    return _RIGHT_LINK(chain[:0], *rest)


def random_names() -> Callable[..., str]:
    """Draw a name instead of deriving it."""
    numbers = itertools.count()
    return lambda *parts: derive(*parts, next(numbers))


def unknown_is_free(lease: Any, drawn: Any) -> Posting:
    """Charge nothing for what nobody knows the end of."""
    return draws._told(None, lease, drawn, "released", Outcome(0)) if drawn.state == "open" else NOTHING


def pay_twice(account: Any, lease: Any, drawn: Any, outcome: Outcome) -> Posting:
    """Charge a call each time that its cost is told."""
    if drawn.state != "settled":
        return _RIGHT_SETTLE(account, lease, drawn, outcome)
    return Posting(None, lease._replace(settled=lease.settled + outcome.cost, version=lease.version + 1))


def fails_open(self: paying.LeasePurse, prompt: Any, routed: Any) -> Any:
    """Call all the same when the ledger cannot be asked."""
    try:
        return _RIGHT_DRAW(self, prompt, routed)
    except Transient:
        return Ticket(derive("free", self.task.id, prompt.purpose), routed.deployment, routed.worst_micro_usd)


def throttling_is_failure(ports: Ports, error: FabricError) -> Any:
    """Take a throttled step for a failed one."""
    return None if isinstance(error, Throttled) else _RIGHT_WAIT(ports, error)


def once_ever(ports: Ports, event: Any, *, source: str) -> Any:
    """Place a task once, although it goes on as another run."""
    if event.type not in {"task.admitted", "task.resumed"}:
        return None
    return commit.change(ports, Cause.of(event, source), core_task.place, claim=f"dispatch:{event.taskid}")


def asked_for_ever(*_: Any) -> tuple[Any, ...]:
    """Leave people with questions that are nobody's any more."""
    return ()


def buried_nowhere(self: SqliteDeadLetters, body: str, reason: str, origin: str) -> None:
    """Say that it was kept."""


def parked_nowhere(*_: Any) -> str:
    """Say that it was kept."""
    return "parked"


def keeps_the_lease(*given: Any) -> Any:
    """End a task and keep its money set aside."""
    _, _, decision, _ = given
    return decision


def unpaid_bill(*_: Any) -> bool:
    """Leave off the bill what a crash left off it."""
    return False


def no_memory(self: paying.LeasePurse, question: str) -> Any:
    """Find no draw that an earlier attempt made, but a free name."""
    lease = leases.lease_id(self.task.id)
    names = (derive("again", lease, question, self.entry.attempt, number) for number in itertools.count())
    yield next(name for name in names if name not in self._draws), None


def bill_each_time(task: Any, entry: Any, spending: Any) -> Any:
    """Bill what is on the bill already."""
    return _RIGHT_BILL(task, entry.model_copy(update={"billed": {}, "cost": 0}), spending)


def everywhere_bills_each_time(patch: pytest.MonkeyPatch) -> None:
    """Plant it for whoever bills."""
    for module in (stepping, commit):
        patch.setattr(module, "bill", bill_each_time)


_RIGHT_WAIT, _RIGHT_BILL = steps._wait_of, stepping.bill
_RIGHT_DECIDE, _RIGHT_LINK = recording.decide, recording._link
_RIGHT_SETTLE, _RIGHT_DRAW = draws.settle, paying.LeasePurse.draw

PLANTED: dict[str, Planted] = {
    "acknowledges first": Planted("ended as", CRASHES, instead(Transport, "again", acknowledged)),
    "has no inbox": Planted("never got an answer", CRASHES, ports=port("tasks", "commit", without_claim)),
    "publishes before it commits": Planted("before it was committed", CRASHES, ports=hasty),
    "writes state and events apart": Planted("record has 0 ends", CRASHES, ports=port("tasks", "commit", torn)),
    "forgets a commit": Planted("", CRASHES, ports=port("tasks", "commit", forgetful(40))),
    "has no relay": Planted("unsent", CRASHES, ports=port("outbox", "unsent", mute)),
    "notes as sent what it has not sent": Planted("recorded", CRASHES, instead(commit, "send", sent_first)),
    "tells the recorder alone": Planted("is admitted", CRASHES, instead(commit, "send", records_only)),
    "does not note what it sent": Planted("unsent", CRASHES, ports=port("outbox", "mark_sent", all_but_ends)),
    "writes over what others wrote": Planted("", TOGETHER, no_compare, rates=CLOSE),
    "numbers events by what it saw": Planted(
        "", TOGETHER, instead(sqlite_tasks, "_advance", any_sequence), rates=CLOSE
    ),
    "swallows a batch's error": Planted("ended as", ALL, instead(aws.handlers.dispatch, "failures", all_well)),
    "records in any order": Planted("lines", TOGETHER, instead(sqlite_records, "decide", ended_in_no_order)),
    "drops what comes early": Planted("recorded", TOGETHER, instead(sqlite_records, "decide", early_is_dropped)),
    "never lets go on what waited": Planted("holds back", TOGETHER, instead(recording, "_due", nothing_is_due)),
    "does not chain its trail": Planted("broken trail", TOGETHER, instead(recording, "_link", unlinked)),
    "drops what it cannot read": Planted("in quarantine", ALL, instead(SqliteRecords, "park", parked_nowhere)),
    "buries poison nowhere": Planted("were buried", ALL, instead(SqliteDeadLetters, "bury", buried_nowhere)),
    "draws a task's name": Planted("two answers", ALL, instead(tasks, "derive", random_names())),
    "loses the ledger's versions": Planted(
        "", TOGETHER, instead(sqlite_ledger, "_write", _write_anything), rates=CLOSE
    ),
    "charges nothing for the unknown": Planted("the provider charged", ALL, instead(draws, "unknown", unknown_is_free)),
    "pays twice": Planted("its draws come to", CRASHES, instead(draws, "settle", pay_twice), rates=LOST),
    "calls without the ledger": Planted("no money set aside", ALL, instead(paying.LeasePurse, "draw", fails_open)),
    "asks again what was answered": Planted(
        "answered twice", CRASHES, instead(paying.LeasePurse, "_earlier", no_memory), rates=LOST
    ),
    "takes throttling for failure": Planted(
        "tasks failed", frozenset({Kind.PROVIDER}), instead(steps, "_wait_of", throttling_is_failure), rates=MOODY
    ),
    "places a task once": Planted(
        "is admitted", ALL, instead(aws.handlers.dispatch, "dispatch", once_ever), rates=MOODY
    ),
    "leaves questions open": Planted(
        "still asked", CANCELS, instead(tasks, "_withdrawn", asked_for_ever), rates=FICKLE
    ),
    "keeps a lease": Planted("ended by their time", CRASHES, instead(commit, "_ended", keeps_the_lease)),
    "leaves a bill incomplete": Planted("it was billed", ALL, instead(commit, "bill_the_rest", unpaid_bill)),
    "bills each time": Planted("billed", ALL, everywhere_bills_each_time, rates=LOST),
    "sweeps nothing": Planted("", ALL, instead(parking, "_restart", nothing)),
    "forgets what is parked": Planted("ended as parked", ALL, instead(sqlite_tasks, "_note_parked", nothing)),
}
