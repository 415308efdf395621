"""What every store of control state must do; each store's test inherits `TasksContract`.

One store keeps tasks, outbox, journal and approvals, because one transaction writes them.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.app.commit import create, relay
from shared.core import task as tasks
from shared.core.approval import withdraw
from shared.core.journal import Line
from shared.core.ledger import NOTHING
from shared.core.workflow import DOCUMENT_REVIEW
from shared.errors import Conflict, Duplicate, NotFound, Permanent, Transient
from shared.ports import Change
from tests.contracts.control import (
    Flaky,
    Store,
    also,
    approval_of,
    cause_of,
    control_ports,
    ended,
    entry_of,
    leased,
    make,
    placed,
    refusal,
    said,
    submitted,
    with_text,
)
from tests.contracts.parked_contract import ParkedContract


class TasksContract(ParkedContract):
    #: A result of so many bytes fits, and those of so many do not: the store's own limit, from both sides.
    fits: int
    oversize: tuple[int, ...]

    def test_a_committed_task_is_loaded_as_it_was(self, store: Store) -> None:
        """What was committed is what is loaded."""
        change = submitted(make())
        store.tasks.commit(change)
        assert store.tasks.load("acme", "task-1") == change.task

    @pytest.mark.parametrize(("tenant", "task"), [("acme", "task-2"), ("other", "task-1"), ("acm", "etask-1")])
    def test_a_tenant_finds_its_own_tasks_alone(self, store: Store, tenant: str, task: str) -> None:
        """Another tenant's task, and one that never was, are equally not found."""
        store.tasks.commit(submitted(make()))
        with pytest.raises(NotFound):
            store.tasks.load(tenant, task)

    def test_a_claim_is_taken_once(self, store: Store) -> None:
        """The second change with a claim is a duplicate, and writes nothing of itself."""
        store.tasks.commit(submitted(make(), claim="key"))
        with pytest.raises(Duplicate):
            store.tasks.commit(submitted(make("task-2", entity="package-b"), claim="key"))
        assert store.tasks.last_sequence("acme", "package-b") == 0
        assert [task.id for task in store.tasks.page("acme", limit=10)] == ["task-1"]

    def test_a_taken_claim_says_more_than_an_old_version(self, store: Store) -> None:
        """A message that comes twice is a duplicate even though its task moved on."""
        store.tasks.commit(submitted(make()))
        task = store.tasks.load("acme", "task-1")
        store.tasks.commit(placed(task))
        with pytest.raises(Duplicate):
            store.tasks.commit(placed(task))

    def test_tenants_claim_apart(self, store: Store) -> None:
        """Two tenants may use the same claim, the same task id and the same entity."""
        store.tasks.commit(submitted(make(), claim="key"))
        store.tasks.commit(submitted(make(tenant="other"), claim="key"))
        assert store.tasks.load("other", "task-1").tenant == "other"
        assert store.tasks.last_sequence("other", "package-a") == 2

    def test_a_task_is_made_once(self, store: Store) -> None:
        """A new task whose id exists is a conflict, whatever its claim."""
        store.tasks.commit(submitted(make()))
        with pytest.raises(Conflict):
            store.tasks.commit(submitted(make(), after=2, claim="another"))

    def test_one_of_two_decisions_on_a_version_wins(self, store: Store) -> None:
        """The decision that comes second on a version is a conflict and leaves neither claim nor event."""
        store.tasks.commit(submitted(make()))
        seen = store.tasks.load("acme", "task-1")
        store.tasks.commit(placed(seen, claim="first"))
        with pytest.raises(Conflict):
            store.tasks.commit(placed(seen, after=3, claim="second"))
        assert store.tasks.load("acme", "task-1").version == 2
        assert [event.sequence for event in store.outbox.unsent(limit=10)] == [1, 2, 3]
        store.tasks.commit(replace(also(store.tasks.load("acme", "task-1")), claim="second"))

    def test_an_entitys_numbers_are_given_once(self, store: Store) -> None:
        """Two tasks of an entity that both continue from the same number conflict."""
        store.tasks.commit(submitted(make()))
        with pytest.raises(Conflict):
            store.tasks.commit(submitted(make("task-2")))
        store.tasks.commit(submitted(make("task-2"), after=2))
        assert store.tasks.last_sequence("acme", "package-a") == 4

    def test_an_entity_cannot_skip_numbers(self, store: Store) -> None:
        """Events that start behind a gap are a conflict, for a new entity and for a known one."""
        with pytest.raises(Conflict):
            store.tasks.commit(submitted(make(), after=5))
        store.tasks.commit(submitted(make()))
        with pytest.raises(Conflict):
            store.tasks.commit(submitted(make("task-2"), after=3))

    def test_events_without_a_task_are_written_in_order(self, store: Store) -> None:
        """What is said of no task's change is unsent like any other event, and moves its entity's sequence."""
        store.tasks.commit(submitted(make()))
        store.tasks.note(refusal(1, 2))
        store.tasks.note(refusal(3))
        assert store.tasks.last_sequence("acme", "limits:acme") == 3
        assert store.tasks.last_sequence("acme", make().entity) == 2
        unsent = store.outbox.unsent(limit=10, tenant="acme", entity="limits:acme")
        assert [(event.type, event.sequence) for event in unsent] == [
            ("task.throttled", number) for number in (1, 2, 3)
        ]
        store.outbox.mark_sent(unsent)
        assert store.outbox.unsent(limit=10, tenant="acme", entity="limits:acme") == []

    @pytest.mark.parametrize("numbers", [(2,), (1, 2), (4,)])
    def test_events_without_a_task_come_too_late_as_a_whole(self, store: Store, numbers: tuple[int, ...]) -> None:
        """Of two that continue an entity at one number the second is a conflict, and leaves nothing; so does a gap."""
        store.tasks.note(refusal(1, 2))
        with pytest.raises(Conflict):
            store.tasks.note(refusal(*numbers))
        assert store.tasks.last_sequence("acme", "limits:acme") == 2
        assert [event.sequence for event in store.outbox.unsent(limit=9)] == [1, 2]

    def test_tasks_are_paged_by_id(self, store: Store) -> None:
        """Pages follow one another without overlap, in the order of ids, of one tenant alone."""
        for number in range(7):
            store.tasks.commit(submitted(make(f"task-{number}", entity=f"package-{number}")))
        store.tasks.commit(submitted(make("task-3b", tenant="other")))
        pages = []
        after = ""
        while page := store.tasks.page("acme", limit=3, after=after):
            pages.append([task.id for task in page])
            after = page[-1].id
        assert pages == [["task-0", "task-1", "task-2"], ["task-3", "task-4", "task-5"], ["task-6"]]

    def test_committed_events_wait_until_they_are_sent(self, store: Store) -> None:
        """An event is unsent from its commit until it is marked, and marking twice is marking once."""
        change = submitted(make())
        store.tasks.commit(change)
        assert list(store.outbox.unsent(limit=10)) == list(change.events)
        store.outbox.mark_sent(change.events[:1])
        store.outbox.mark_sent(change.events[:1])
        assert list(store.outbox.unsent(limit=10)) == list(change.events[1:])
        store.outbox.mark_sent(change.events)
        assert list(store.outbox.unsent(limit=10)) == []

    @pytest.mark.parametrize("entity", ["package-a", "package-a#b", "pack", "ä/ö: 文書 #1"])
    def test_unsent_events_are_found_by_entity(self, store: Store, entity: str) -> None:
        """Asking for an entity's unsent events gives these alone, however alike the names are."""
        names = ["package-a", "package-a#b", "pack", "ä/ö: 文書 #1"]
        for name in names:
            store.tasks.commit(submitted(make(f"task-{names.index(name)}", entity=name)))
        store.tasks.commit(submitted(make(tenant="other", entity=entity)))
        found = store.outbox.unsent(limit=10, tenant="acme", entity=entity)
        assert [(event.tenant, event.entity, event.sequence) for event in found] == [
            ("acme", entity, 1),
            ("acme", entity, 2),
        ]

    def test_unsent_events_of_an_entity_are_in_order(self, store: Store) -> None:
        """A limit cuts the end of an entity's events off, never the beginning."""
        for number in range(6):
            store.tasks.commit(submitted(make(f"task-{number}"), after=2 * number))
        assert [event.sequence for event in store.outbox.unsent(limit=5)] == [1, 2, 3, 4, 5]
        assert len(store.outbox.unsent(limit=100)) == 12

    def test_unsent_events_of_all_entities_are_found(self, store: Store) -> None:
        """Whoever relays for everybody finds every entity's events, each in its order."""
        for number in range(20):
            store.tasks.commit(submitted(make(f"task-{number}", entity=f"package-{number}")))
        found = store.outbox.unsent(limit=100)
        assert {event.entity for event in found} == {f"package-{number}" for number in range(20)}
        for name in {event.entity for event in found}:
            assert [event.sequence for event in found if event.entity == name] == [1, 2]

    def test_a_crash_before_publishing_loses_nothing(self, store: Store) -> None:
        """What was committed when the bus broke down is unsent, and is relayed once the bus is back."""
        bus = Flaky()
        ports = control_ports(store, bus)
        task = make()
        with pytest.raises(Transient):
            create(ports, cause_of(task), lambda: tasks.submit(task), claim="key")
        assert len(store.outbox.unsent(limit=10)) == 2
        bus.broken = False
        assert relay(ports) == 2
        assert bus.sent == 3  # submitted is recorded; admitted is recorded and dispatched
        assert list(store.outbox.unsent(limit=10)) == []

    def test_a_duplicate_still_speaks(self, store: Store) -> None:
        """The repetition of a message sends what its first delivery committed and could not send."""
        bus = Flaky()
        ports = control_ports(store, bus)
        task = make()
        with pytest.raises(Transient):
            create(ports, cause_of(task), lambda: tasks.submit(task), claim="key")
        bus.broken = False
        assert create(ports, cause_of(task), lambda: tasks.submit(task), claim="key").id == task.id
        assert list(store.outbox.unsent(limit=10)) == []
        assert store.tasks.last_sequence("acme", "package-a") == 2

    def test_a_journal_entry_is_found_and_replaced(self, store: Store) -> None:
        """A step's entry is found under its document and step alone, and its result replaces its intent."""
        store.tasks.commit(submitted(make()))
        task = store.tasks.load("acme", "task-1")
        begun = entry_of(task)
        store.tasks.commit(also(task, entry=begun))
        assert store.journal.find("acme", "task-1", 0, "extract") == begun
        assert store.journal.find("acme", "task-1", 1, "extract") is None
        assert store.journal.find("acme", "task-1", 0, "classify") is None
        assert store.journal.find("other", "task-1", 0, "extract") is None
        billed = {"a draw": Line(line=1, cost=7), "another": Line(line=3, cost=0)}
        done = entry_of(task, output={"text": "ü\u2028\n", "n": [1.5, None]}, cost=7, billed=billed)
        store.tasks.commit(also(store.tasks.load("acme", "task-1"), entry=done))
        assert store.journal.find("acme", "task-1", 0, "extract") == done

    def test_a_conflict_writes_no_journal(self, store: Store) -> None:
        """An entry whose change came too late is not written."""
        store.tasks.commit(submitted(make()))
        task = store.tasks.load("acme", "task-1")
        store.tasks.commit(also(task))
        with pytest.raises(Conflict):
            store.tasks.commit(also(task, entry=entry_of(task)))
        assert store.journal.find("acme", "task-1", 0, "extract") is None

    def test_a_result_is_as_large_as_the_store_takes(self, store: Store) -> None:
        """A result up to the limit is kept whole; a larger one is refused for good, and nothing of its change stays."""
        store.tasks.commit(submitted(make()))
        task = store.tasks.load("acme", "task-1")
        for size in self.oversize:
            with pytest.raises(Permanent) as refused:
                store.tasks.commit(replace(also(task, entry=with_text(task, size)), claim="key"))
            assert refused.value.code == "oversize"
            assert store.tasks.load("acme", "task-1") == task
            assert store.journal.find("acme", "task-1", 0, "extract") is None
        kept = with_text(task, self.fits)
        store.tasks.commit(replace(also(task, entry=kept), claim="key"))
        assert store.journal.find("acme", "task-1", 0, "extract") == kept

    def test_an_approval_is_pending_until_it_is_decided(self, store: Store) -> None:
        """A decided approval is found by its id and is owed no longer."""
        store.tasks.commit(submitted(make()))
        task = store.tasks.load("acme", "task-1")
        asked = approval_of(task)
        store.tasks.commit(also(task, approvals=(asked,)))
        assert list(store.approvals.pending("acme", limit=10)) == [asked]
        assert list(store.approvals.pending("other", limit=10)) == []
        decided = asked.model_copy(update={"status": "approved"})
        store.tasks.commit(also(store.tasks.load("acme", "task-1"), approvals=(decided,)))
        assert store.approvals.find("acme", asked.id) == decided
        assert list(store.approvals.pending("acme", limit=10)) == []

    def test_a_change_carries_an_approval_for_every_document(self, store: Store) -> None:
        """Cancelling a task whose every document waits is one commit."""
        store.tasks.commit(submitted(make()))
        task = store.tasks.load("acme", "task-1")
        asked = tuple(approval_of(task, f"approval-{number:02}") for number in range(DOCUMENT_REVIEW.max_documents))
        store.tasks.commit(also(task, approvals=asked))
        decision = tasks.cancel(store.tasks.load("acme", "task-1"), "ann", "a mistake")
        after = decision.task.model_copy(update={"version": 3})
        withdrawn = tuple(map(withdraw, asked))
        store.ledger.post(leased())
        store.tasks.commit(Change(after, 2, said(task, decision, 2), "cancel", None, withdrawn, ended(store)))
        assert list(store.approvals.pending("acme", limit=100)) == []
        assert store.ledger.account("acme").runs == 0

    def test_a_change_and_its_money_are_one(self, store: Store) -> None:
        """A task and its lease are written together, and where one lost a race neither is written."""
        store.tasks.commit(replace(submitted(make()), posting=leased()))
        opened = leased().lease
        assert store.ledger.lease("acme", "lease-1") == opened
        assert store.ledger.account("acme").runs == 1
        task = store.tasks.load("acme", "task-1")
        with pytest.raises(Conflict):  # the account is not what was decided on
            store.tasks.commit(replace(submitted(make("task-2"), after=2), posting=leased("lease-2")))
        with pytest.raises(NotFound):
            store.tasks.load("acme", "task-2")
        with pytest.raises(Conflict):  # the task is not
            store.tasks.commit(replace(also(task.model_copy(update={"version": 7})), posting=ended(store)))
        with pytest.raises(Duplicate):  # it was done before
            store.tasks.commit(replace(also(task), claim="submit:task-1", posting=ended(store)))
        assert store.ledger.lease("acme", "lease-1") == opened
        assert [event.sequence for event in store.outbox.unsent(limit=10)] == [1, 2]
        store.tasks.commit(replace(also(task), posting=ended(store)))
        assert store.ledger.account("acme").runs == 0
        store.tasks.commit(replace(also(store.tasks.load("acme", "task-1")), posting=NOTHING))
        assert store.tasks.load("acme", "task-1").version == 3

    def test_pending_approvals_are_paged_by_id(self, store: Store) -> None:
        """Pages of approvals follow one another without overlap."""
        store.tasks.commit(submitted(make()))
        for number in range(5):
            task = store.tasks.load("acme", "task-1")
            store.tasks.commit(also(task, approvals=(approval_of(task, f"approval-{number}"),)))
        first = store.approvals.pending("acme", limit=3)
        rest = store.approvals.pending("acme", limit=3, after=first[-1].id)
        assert [approval.id for approval in (*first, *rest)] == [f"approval-{number}" for number in range(5)]

    def test_an_unknown_approval_is_not_found(self, store: Store) -> None:
        """An approval nobody asked for, or another tenant's, is not found."""
        store.tasks.commit(submitted(make()))
        task = store.tasks.load("acme", "task-1")
        store.tasks.commit(also(task, approvals=(approval_of(task),)))
        for tenant, name in (("acme", "approval-2"), ("other", "approval-1")):
            with pytest.raises(NotFound):
                store.approvals.find(tenant, name)

    def test_a_busy_store_asks_for_another_attempt(self, store: Store) -> None:
        """A store that refuses for a passing reason raises Transient, and the change can be made afterwards."""
        with store.busy(), pytest.raises(Transient) as refused:
            store.tasks.commit(submitted(make()))
        assert not isinstance(refused.value, Conflict)
        store.tasks.commit(submitted(make()))
        assert store.tasks.load("acme", "task-1").version == 1
