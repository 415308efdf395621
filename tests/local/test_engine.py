"""The whole path, all three clouds' handlers in one process, in memory and in virtual time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import local.engine
from local.clock import VirtualClock
from local.clouds.aws import call_api
from local.engine import ATTEMPTS, Engine
from local.lock import exclusive
from local.wiring import TENANT
from shared.core.task import Status
from shared.core.workflow import DAY
from shared.events.catalog import AnyEvent, parse
from tests.local.faulty import Broken, Throttled
from tests.local.invariants import problems
from tests.local.stage import ASKING, INVOICE, MIT, PLAIN, UNCLEAR, Fabric, fabric, write_corpus

if TYPE_CHECKING:
    from local.sqlite.broker import Message
    from shared.ports import Ports

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")

STEPS = ["extract", "classify", "summarise", "policy"]


def test_one_document_without_questions_is_reviewed_on_aws_alone(memory: Fabric, tmp_path: Path) -> None:
    """A single document that no human may have to see is placed on AWS and reviewed without Azure."""
    item = memory.review(write_corpus(tmp_path, {"a.txt": MIT}), PLAIN)["a.txt"]
    assert (item.status, item.label, item.verdict) == ("done", "mit", "automatic")
    assert memory.task(item.task).placed_on == "aws"
    assert {event.source.split("/")[1] for event in memory.told("a.txt")} == {"aws"}
    assert problems(memory.engine.database, [tmp_path / "a.txt"]) == []


def test_a_review_is_recorded_step_by_step(memory: Fabric, tmp_path: Path) -> None:
    """The record tells a review in the order in which it happened, each step with its use and its cost."""
    memory.review(write_corpus(tmp_path, {"a.txt": MIT}), PLAIN)
    told = memory.told("a.txt")
    assert [event.sequence for event in told] == list(range(1, len(told) + 1))
    assert [event.type for event in told][:3] == ["task.submitted", "task.admitted", "task.placed"]
    assert [event.type for event in told][-2:] == ["document.reviewed", "task.completed"]
    assert [event.data.step for event in told if event.type == "step.completed"] == STEPS
    assert [event.data.step for event in told if event.type == "usage.metered"] == ["classify", "summarise"]
    used = sum(event.data.cost_micro_usd for event in told if event.type == "usage.metered")
    assert used == told[-1].data.cost_micro_usd > 0


def test_a_batch_is_reviewed_on_azure(memory: Fabric, tmp_path: Path) -> None:
    """Documents of one entity are one task, fanned out on Azure, each document by AWS's pipeline."""
    corpus = write_corpus(tmp_path, {f"{number}.txt": MIT for number in range(5)})
    items = memory.review(corpus, PLAIN, entity="batch")
    assert {item.status for item in items.values()} == {"done"}
    (task,) = {item.task for item in items.values()}
    assert memory.task(task).placed_on == "azure"
    assert memory.task(task).status is Status.COMPLETED
    assert problems(memory.engine.database, list(tmp_path.iterdir())) == []


def test_more_documents_than_a_task_takes_become_several_tasks(memory: Fabric, tmp_path: Path) -> None:
    """An entity with more documents than one task takes is reviewed in several tasks, in one order of events."""
    corpus = write_corpus(tmp_path, {f"{number:03}.txt": f"{MIT}\n{number}" for number in range(53)})
    items = memory.review(corpus, PLAIN, entity="many")
    assert {item.status for item in items.values()} == {"done"}
    assert len({item.task for item in items.values()}) == 2
    assert problems(memory.engine.database, list(tmp_path.iterdir())) == []


def test_what_waits_goes_on_when_it_was_approved(memory: Fabric, tmp_path: Path) -> None:
    """A document that policy wants a human for waits, is approved over HTTP, and ends with that verdict."""
    review = memory.submit(write_corpus(tmp_path, {"bill.txt": INVOICE}))
    memory.engine.work()
    (waiting,) = review.collected()
    assert (waiting.status, waiting.label, waiting.reason) == ("waiting", "invoice", "invoice needs an approval.")
    assert problems(memory.engine.database, [tmp_path / "bill.txt"]) == []
    assert memory.decide(waiting.approval, "approved")[0] == 200
    memory.engine.work()
    (done,) = review.collected()
    assert (done.status, done.verdict) == ("done", "approved")
    assert problems(memory.engine.database, [tmp_path / "bill.txt"]) == []


def test_a_rejected_document_is_reviewed_too(memory: Fabric, tmp_path: Path) -> None:
    """A rejection is a verdict, not a failure."""
    review = memory.submit(write_corpus(tmp_path, {"bill.txt": INVOICE}))
    memory.engine.work()
    memory.decide(review.collected()[0].approval, "rejected")
    memory.engine.work()
    (done,) = review.collected()
    assert (done.status, done.verdict) == ("done", "rejected")
    assert problems(memory.engine.database) == []


def test_in_a_batch_only_what_must_wait_waits(memory: Fabric, tmp_path: Path) -> None:
    """Within one task some documents wait for a human, some are done, some have failed, each for itself."""
    corpus = write_corpus(tmp_path, {"bill.txt": INVOICE, "empty.txt": "", "good.txt": MIT})
    write_corpus(corpus, {"noise.bin": bytes(range(256)) * 9})
    items = memory.review(corpus, entity="mixed")
    assert {name: item.status for name, item in items.items()} == {
        "bill.txt": "waiting",
        "empty.txt": "failed",
        "good.txt": "done",
        "noise.bin": "failed",
    }
    assert "empty" in items["empty.txt"].reason
    assert "not a text" in items["noise.bin"].reason
    assert problems(memory.engine.database, list(tmp_path.iterdir())) == []


def test_a_task_whose_every_document_failed_has_failed(memory: Fabric, tmp_path: Path) -> None:
    """A task without one reviewed document ends as failed, with a reason."""
    item = memory.review(write_corpus(tmp_path, {"empty.txt": ""}), PLAIN)["empty.txt"]
    task = memory.task(item.task)
    assert (task.status, task.spent) == (Status.FAILED, 0)
    assert "empty" in task.reason
    assert problems(memory.engine.database, [tmp_path / "empty.txt"]) == []


def test_silence_escalates_and_then_expires(memory: Fabric, tmp_path: Path) -> None:
    """Nobody answers: after three days the owners are asked, too, after four more the default decides."""
    review = memory.submit(write_corpus(tmp_path, {"bill.txt": INVOICE}))
    memory.engine.work()
    asked = memory.clock.now()
    for day in (1, 2, 3):
        _go_to(memory, asked + timedelta(days=day, minutes=day))
    assert memory.told("bill.txt")[-1].type == "approval.escalated"
    assert "owner" in memory.told("bill.txt")[-1].data.approvers
    for day in (4, 5, 6, 7):
        _go_to(memory, asked + timedelta(days=day, minutes=day))
    (done,) = review.collected()
    assert (done.status, done.verdict) == ("done", "rejected")
    kinds = [event.type for event in memory.told("bill.txt")]
    assert kinds[-3:] == ["approval.expired", "document.reviewed", "task.completed"]
    assert problems(memory.engine.database, [tmp_path / "bill.txt"]) == []


def test_an_approval_after_the_last_deadline_comes_too_late(memory: Fabric, tmp_path: Path) -> None:
    """A vote after the last deadline is refused and the default stands, though no timer had spoken yet."""
    review = memory.submit(write_corpus(tmp_path, {"bill.txt": INVOICE}))
    memory.engine.work()
    waiting = review.collected()[0].approval
    memory.clock.move_to(memory.clock.now() + timedelta(seconds=8 * DAY))
    status, answer = memory.decide(waiting, "approved", roles=("owner",))
    assert (status, answer["code"]) == (409, "already-decided")
    memory.engine.work()
    (done,) = review.collected()
    assert (done.status, done.verdict) == ("done", "rejected")
    assert problems(memory.engine.database) == []


def test_a_long_patience_sees_the_whole_week(memory: Fabric, tmp_path: Path) -> None:
    """An engine that may wait for days waits through all deadlines by itself."""
    review = memory.submit(write_corpus(tmp_path, {"bill.txt": INVOICE}))
    began = memory.clock.now()
    memory.engine.work(patience=2.0 * DAY)
    assert memory.clock.now() - began >= timedelta(days=7)
    assert review.collected()[0].verdict == "rejected"
    assert problems(memory.engine.database) == []


def test_a_cancelled_task_waits_for_nobody(memory: Fabric, tmp_path: Path) -> None:
    """Cancelling while a human is waited for stops the review; what was reviewed stays, a late vote is refused."""
    contents = {"bill.txt": INVOICE, "good.txt": MIT}
    items = memory.review(write_corpus(tmp_path, contents), entity="mixed")
    status, _ = memory.cancel(items["bill.txt"].task, "not needed any more")
    memory.engine.work()
    assert status == 200
    assert memory.task(items["bill.txt"].task).status is Status.CANCELLED
    ends = [event.type for event in memory.told("mixed")][-2:]
    assert ends == ["approval.requested", "task.cancelled"]
    assert memory.decide(items["bill.txt"].approval, "approved")[0] == 409
    memory.engine.work()
    assert problems(memory.engine.database) == []


def test_a_task_cancelled_before_it_began_does_nothing(memory: Fabric, tmp_path: Path) -> None:
    """A task that is cancelled before the engine works is never placed and costs nothing."""
    review = memory.submit(write_corpus(tmp_path, {"bill.txt": INVOICE}))
    memory.cancel(review.items[0].task, "a mistake")
    memory.engine.work()
    (item,) = review.collected()
    assert (item.status, item.reason, item.cost) == ("cancelled", "a mistake", 0)
    assert [event.type for event in memory.told("bill.txt")] == ["task.submitted", "task.admitted", "task.cancelled"]
    assert problems(memory.engine.database) == []


def test_the_same_documents_again_are_the_same_tasks(memory: Fabric, tmp_path: Path) -> None:
    """Submitting a folder twice reviews nothing twice and answers the same."""
    corpus = write_corpus(tmp_path, {"bill.txt": INVOICE, "good.txt": MIT})
    first, events = memory.review(corpus), len(memory.told("good.txt"))
    assert memory.review(corpus) == first
    assert len(memory.told("good.txt")) == events
    assert problems(memory.engine.database, list(tmp_path.iterdir())) == []


def test_a_changed_document_is_reviewed_anew(memory: Fabric, tmp_path: Path) -> None:
    """A document whose bytes changed is another task of the same entity, whose events go on counting."""
    before = memory.review(write_corpus(tmp_path, {"a.txt": MIT}))["a.txt"]
    after = memory.review(write_corpus(tmp_path, {"a.txt": UNCLEAR}))["a.txt"]
    assert (before.label, after.label) == ("mit", "unknown")
    assert before.task != after.task
    assert {event.taskid for event in memory.told("a.txt")} == {before.task, after.task}
    assert problems(memory.engine.database) == []


def test_the_tally_agrees_with_the_record(memory: Fabric, tmp_path: Path) -> None:
    """What a review counts while it listens is what the record says at the end, and what an earlier run settled."""
    corpus = write_corpus(tmp_path, {"bill.txt": INVOICE, "empty.txt": "", "good.txt": MIT})
    review = memory.submit(corpus)
    memory.engine.work(review.heard)
    assert review.tally == {"waiting": 1, "failed": 1, "done": 1}
    assert review.spent == sum(item.cost for item in review.collected()) > 0
    later = memory.submit(corpus)
    later.catch_up()
    assert (later.tally, later.spent) == (review.tally, review.spent)


def test_a_second_engine_leaves_its_work_to_the_first(tmp_path: Path) -> None:
    """Of two engines on a folder only one works: the other is told so, and what it submitted is taken along."""
    corpus = write_corpus(tmp_path / "corpus", {"a/first.txt": MIT, "b/second.txt": MIT})
    second: list[bool] = []

    def interfere(_: Message) -> None:
        if not second:
            with fabric(tmp_path / "home") as other:
                other.submit(corpus / "b")
                second.append(other.engine.work())

    with fabric(tmp_path / "home") as first:
        first.submit(corpus / "a")
        assert first.engine.work(interfere)
        assert second == [False]
        assert first.told("second.txt")[-1].type == "task.completed"
        assert problems(first.engine.database, [corpus / "a/first.txt", corpus / "b/second.txt"]) == []


def test_what_comes_while_the_lock_is_given_back_is_not_left_lying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody refused in the moment between an engine's last look and its leaving is served all the same."""
    corpus = write_corpus(tmp_path / "corpus", {"late.txt": MIT})
    refused: list[bool] = []

    @contextmanager
    def slow_to_leave(path: Path) -> Iterator[bool]:
        with exclusive(path) as mine:
            yield mine
            if not refused:
                refused.append(False)
                with fabric(tmp_path / "home") as other:
                    other.submit(corpus)
                    refused.append(other.engine.work())

    monkeypatch.setattr(local.engine, "exclusive", slow_to_leave)
    with fabric(tmp_path / "home") as first:
        assert first.engine.work()
        assert refused == [False, False]
        assert first.told("late.txt")[-1].type == "task.completed"


def test_the_lock_goes_with_its_holder(tmp_path: Path) -> None:
    """An engine that ended its work leaves the folder to the next, also while it is still open."""
    with fabric(tmp_path) as first, Engine(tmp_path, VirtualClock()) as second:
        assert first.engine.work()
        assert second.work()
        assert first.engine.work()


def _plant(memory: Fabric, route: str, key: str, body: str) -> None:
    attributes = json.dumps({"tenant": TENANT, "partitionkey": key, "sequence": "1", "type": "task.submitted"})
    memory.engine.database.connection.execute(
        "INSERT INTO messages (route, key, body, attributes) VALUES (?, ?, ?, ?)", (route, key, body, attributes)
    )


def test_a_message_nobody_understands_becomes_a_dead_letter(memory: Fabric, tmp_path: Path) -> None:
    """After its attempts such a message lies with the dead letters, with a reason, and the work beside it is done."""
    _plant(memory, "reviews", "stranger", "{herons")
    item = memory.review(write_corpus(tmp_path, {"a.txt": MIT}), PLAIN)["a.txt"]
    assert item.status == "done"
    ((where, key, attempts, reason),) = memory.dead_letters()
    assert (where, key, attempts + 1) == ("reviews", "stranger", ATTEMPTS)
    assert reason
    assert "herons" not in reason
    assert memory.engine.broker.next_due() is None


def test_interactive_work_is_started_first(memory: Fabric) -> None:
    """Of tasks that wait for a pipeline together, those that a person waits for go before those that came earlier."""
    document = memory.engine.documents.write(MIT.encode(), "text/plain", "a.txt").model_dump(mode="json")
    asked = {"documents": [document], "taxonomy": memory.taxonomy(PLAIN).model_dump(mode="json")}
    for priority in ("background", "standard", "interactive"):
        body = json.dumps(asked | {"entity": priority, "priority": priority})
        who, key = {"tenant": TENANT, "sub": "ann"}, {"Idempotency-Key": priority}
        assert call_api("POST", "/tasks", claims=who, body=body, headers=key)[0] == 202
    heard: list[AnyEvent] = []
    memory.engine.work(lambda message: heard.append(parse(message.body)))
    began = [event.entity for event in heard if event.type == "step.started" and event.data.step == "extract"]
    assert began == ["interactive", "background", "standard"]


@pytest.mark.parametrize("route", ["work", "pipeline"])
def test_aws_buries_what_it_cannot_read_at_once(memory: Fabric, tmp_path: Path, route: str) -> None:
    """AWS's consumers know a poisoned message at its first delivery, so that becomes a dead letter with its reason."""
    _plant(memory, route, "stranger", "{herons")
    assert memory.review(write_corpus(tmp_path, {"a.txt": MIT}), PLAIN)["a.txt"].status == "done"
    ((_, _, attempts, reason),) = memory.dead_letters()
    assert (attempts, reason[:13]) == (1, "[broken-json]")
    assert "herons" not in reason
    assert memory.engine.broker.next_due() is None


def test_a_record_nobody_understands_is_parked(memory: Fabric, tmp_path: Path) -> None:
    """The recorder keeps what it cannot read apart, and nobody else waits for it."""
    _plant(memory, "records", "stranger", "{herons")
    assert memory.review(write_corpus(tmp_path, {"a.txt": MIT}), PLAIN)["a.txt"].status == "done"
    assert memory.dead_letters() == []
    assert problems(memory.engine.database) == ["1 rows are left in record_parked"]


def test_a_throttled_recorder_holds_only_the_entity_it_throttles(tmp_path: Path) -> None:
    """503 for one entity delays that entity alone, for as long as asked, in order, and never buries an event."""
    busy: list[Throttled] = []

    def adjust(ports: Ports) -> Ports:
        busy.append(Throttled(ports.records, str(tmp_path / "slow.txt"), times=2 * ATTEMPTS))
        return replace(ports, records=busy[0])

    with fabric(adjust=adjust) as opened:
        began = opened.clock.now()
        corpus = write_corpus(tmp_path, {"fast.txt": MIT, "slow.txt": MIT})
        items = opened.review(corpus, PLAIN)
        tried = busy[0].tried
        assert {item.status for item in items.values()} == {"done"}
        assert {at for entity, _, at in tried if entity.endswith("/fast.txt")} == {began}
        slow = [(sequence, at) for entity, sequence, at in tried if entity.endswith("/slow.txt")]
        assert [sequence for sequence, _ in slow[: 2 * ATTEMPTS]] == [1] * 2 * ATTEMPTS
        assert [sequence for sequence, _ in slow[2 * ATTEMPTS :]] == list(range(1, len(opened.told("slow.txt")) + 1))
        assert slow[-1][1] - began == timedelta(seconds=7 * 2 * ATTEMPTS)
        assert problems(opened.engine.database, list(tmp_path.iterdir())) == []


@pytest.mark.parametrize(("taxonomy", "cloud"), [(PLAIN, "aws"), (ASKING, "azure")])
def test_a_defect_fails_its_document_alone(tmp_path: Path, taxonomy: str, cloud: str) -> None:
    """An exception nobody foresaw fails the document it happened on, wherever that was placed, and no other."""
    with fabric(adjust=lambda ports: replace(ports, models=Broken(ports.models))) as opened:
        items = opened.review(write_corpus(tmp_path, {"bad.txt": UNCLEAR, "good.txt": MIT}), taxonomy)
        assert {name: item.status for name, item in items.items()} == {"bad.txt": "failed", "good.txt": "done"}
        assert "herons" not in items["bad.txt"].reason
        assert opened.task(items["bad.txt"].task).placed_on == cloud
        assert problems(opened.engine.database, list(tmp_path.iterdir())) == []


def _go_to(memory: Fabric, moment: datetime) -> None:
    memory.clock.move_to(moment)
    memory.engine.work()
