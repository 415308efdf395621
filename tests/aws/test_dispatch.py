from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aws.handlers import dispatch
from local.wiring import using
from shared.core.task import Status, Task
from shared.errors import Transient
from shared.events.catalog import encode
from tests.aws.stage import kinesis_event, sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.core.routes import Route
    from shared.events.catalog import AnyEvent
    from shared.ports import Change, Tasks
    from tests.aws.stage import Stage


class Throttled:
    """Tasks whose commits are throttled for some of them."""

    def __init__(self, tasks: Tasks, throttled: set[str]) -> None:
        self._tasks = tasks
        self._throttled = throttled
        self.load = tasks.load
        self.last_sequence = tasks.last_sequence
        self.page = tasks.page
        self.parked = tasks.parked
        self.note = tasks.note

    def commit(self, change: Change) -> None:
        """Commit, or ask for another attempt."""
        if change.task.id in self._throttled:
            raise Transient("throttled")
        self._tasks.commit(change)


def record(stage: Stage, task: Task) -> tuple[str, bytes]:
    """Return the record that admitted a task."""
    return task.entity, encode(stage.admitted(task)).encode()


def statuses(stage: Stage, *tasks: Task) -> list[Status]:
    """Return how far the tasks are by now."""
    return [stage.ports.tasks.load(task.tenant, task.id).status for task in tasks]


def test_an_admitted_task_is_placed(stage: Stage) -> None:
    """One document that can need nobody goes to the short pipeline on AWS."""
    task = stage.submitted()
    assert stage.dispatch([record(stage, task)]) == []
    assert statuses(stage, task) == [Status.PLACED]
    placed = stage.said(task)[-1]
    assert (placed.type, placed.data.cloud, placed.source) == ("task.placed", "aws", "/aws")
    assert placed.causationid == stage.admitted(task).id


def test_a_record_delivered_twice_places_once(stage: Stage) -> None:
    """The second delivery of a record changes nothing."""
    task = stage.submitted()
    stage.dispatch([record(stage, task)])
    written = stage.written()
    assert stage.dispatch([record(stage, task)] * 2) == []
    assert stage.written() == written


def test_other_events_pass_by(stage: Stage) -> None:
    """An event that is none of the dispatcher's business is handled by doing nothing."""
    written = stage.written()
    assert dispatch.handler(sample("kinesis.json"), None) == {"batchItemFailures": []}
    assert stage.written() == written
    assert stage.letters.kept == []


def test_poison_among_good_records_is_buried_at_once(stage: Stage) -> None:
    """Good records of a batch are placed, poisoned ones are dead letters with reasons, none comes again."""
    tasks = [stage.submitted(key=f"key-{n}", entity=f"package-{n}") for n in range(3)]
    unknown = encode(stage.admitted(tasks[0]).model_copy(update={"taskid": "never-was"}))
    poison = [
        b"not JSON",
        b"",
        b'{"type": "task.exploded"}',
        unknown.encode(),
        b"\xff\xfe",
        b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}",
    ]
    batch = [
        record(stage, tasks[0]),
        *(("package-0", body) for body in poison),
        *(record(stage, task) for task in tasks[1:]),
    ]
    assert stage.dispatch(batch) == []
    assert statuses(stage, *tasks) == [Status.PLACED] * 3
    codes = [reason.split("]")[0].strip("[") for _, reason, _ in stage.letters.kept]
    assert codes == ["broken-json", "broken-json", "unknown-event-type", "not-found", "broken-json", "too-deep"]


def test_a_dead_letter_is_the_record_as_it_came(stage: Stage) -> None:
    """A dead letter holds the record's data unchanged and where in the stream it was."""
    stage.dispatch([("package-a", b"not JSON")])
    ((body, _, origin),) = stage.letters.kept
    assert base64.b64decode(body) == b"not JSON"
    assert origin.startswith("shardId-000000000000:")


def test_data_that_is_not_base64_is_poison(stage: Stage) -> None:
    """Even a record whose data is no base64 does not stop its shard."""
    event = kinesis_event([("package-a", b"x")])
    event["Records"][0]["kinesis"]["data"] = "e30=!"
    assert dispatch.handler(event, None) == {"batchItemFailures": []}
    assert [reason for _, reason, _ in stage.letters.kept] == ["[broken-base64] kinesis.data: not base64"]


def test_a_passing_failure_holds_its_key_back_alone(stage: Stage) -> None:
    """From a throttled record on, its key's records come again; other keys' records are handled."""
    first = stage.submitted(key="key-1", entity="package-a")
    second = stage.submitted(key="key-2", entity="package-a")
    other = stage.submitted(key="key-3", entity="package-b")
    batch = [record(stage, task) for task in (other, first, second)]
    with using(replace(stage.ports, tasks=Throttled(stage.ports.tasks, {first.id}))):
        assert stage.dispatch(batch) == ["2", "3"]
    assert statuses(stage, other, first, second) == [Status.PLACED, Status.ADMITTED, Status.ADMITTED]
    assert stage.dispatch(batch[1:]) == []
    assert statuses(stage, first, second) == [Status.PLACED, Status.PLACED]


def test_what_is_throttled_is_not_buried(stage: Stage) -> None:
    """A passing failure is no poison, however often it happens."""
    task = stage.submitted()
    with using(replace(stage.ports, tasks=Throttled(stage.ports.tasks, {task.id}))):
        for _ in range(5):
            assert stage.dispatch([record(stage, task)]) == ["1"]
    assert stage.letters.kept == []


def test_an_unforeseen_failure_fails_its_record_alone(stage: Stage, capfd: Any) -> None:
    """A defect that one record meets does not fail its batch, and is noted by its type."""
    bad, good = stage.submitted(key="key-1"), stage.submitted(key="key-2", entity="package-b")

    class Defective(Throttled):
        def commit(self, change: Change) -> None:
            if change.task.id == bad.id:
                raise ZeroDivisionError("secret")
            super().commit(change)

    with using(replace(stage.ports, tasks=Defective(stage.ports.tasks, set()))):
        assert stage.dispatch([record(stage, bad), record(stage, good)]) == ["1"]
    assert statuses(stage, bad, good) == [Status.ADMITTED, Status.PLACED]
    told = capfd.readouterr().err
    assert "ZeroDivisionError" in told
    assert "secret" not in told


def test_poison_that_cannot_be_buried_comes_again(stage: Stage) -> None:
    """A dead letter that may not have been kept leaves its record in the stream."""

    class Full:
        def bury(self, body: str, reason: str, origin: str) -> None:
            raise Transient(f"full: {len(body)} {reason} {origin}")

    for letters in (Full(), None):
        with using(replace(stage.ports, dead_letters=letters)):
            assert stage.dispatch([("package-a", b"not JSON"), ("package-a", b"not JSON")]) == ["1", "2"]


def test_what_was_not_published_is_relayed(stage: Stage) -> None:
    """The publisher sends every minute what a broken bus left in the outbox, once."""

    class Broken:
        def publish(self, messages: Sequence[tuple[Route, AnyEvent]]) -> None:
            raise Transient(f"{len(messages)} not sent")

    with using(replace(stage.ports, bus=Broken())):
        assert stage.submit().status == 503
    assert stage.written()["messages"] == 0
    assert stage.publish() == 2
    assert stage.written()["messages"] == 3
    assert stage.publish() == 0
