"""What every store of control state must do with tasks that are parked; a part of `TasksContract`."""

from __future__ import annotations

from datetime import timedelta, timezone

import pytest

from shared.core import task as tasks
from shared.errors import Conflict
from shared.events.document import DocumentFailed
from tests.contracts.control import (
    AT,
    REF,
    Store,
    also,
    entry_of,
    make,
    onward,
    parked,
    placed,
    submitted,
    waits,
)


class ParkedContract:
    def test_parked_tasks_are_found(self, store: Store) -> None:
        """Whoever resumes finds parked tasks as they were stored, and no other ones."""
        assert list(store.tasks.parked(limit=10)) == []
        store.tasks.commit(submitted(make("task-2", entity="package-b")))
        task = parked(store)
        assert task.parked_at == AT
        assert list(store.tasks.parked(limit=10)) == [task]

    def test_who_waits_longest_is_found_first(self, store: Store) -> None:
        """A limit leaves out those that were parked last, whatever their names, zones and fractions of a second."""
        east = timezone(timedelta(hours=9))
        moments = {
            "task-d": AT.replace(microsecond=0),
            "task-c": AT.astimezone(east),
            "task-a": AT + timedelta(microseconds=1),
            "task-b": AT + timedelta(days=1),
        }
        for name in sorted(moments):
            store.tasks.commit(submitted(make(name, entity=f"package-of-{name}")))
            store.tasks.commit(waits(store.tasks.load("acme", name), since=moments[name]))
        for limit in (1, 3, 4, 10):
            assert [task.id for task in store.tasks.parked(limit=limit)] == list(moments)[:limit]

    def test_those_that_wait_equally_long_are_ordered_by_id(self, store: Store) -> None:
        """Tasks that were parked at one moment, as by an operator's switch, come in the order of their ids."""
        for name in ("task-3", "task-1", "task-2"):
            parked(store, name)
        assert [task.id for task in store.tasks.parked(limit=2)] == ["task-1", "task-2"]

    def test_parked_tasks_of_all_tenants_are_found(self, store: Store) -> None:
        """One scheduler serves every tenant: the same id of two tenants is two parked tasks, the older first."""
        parked(store, minutes=1, tenant="acme")
        parked(store, tenant="other")
        assert [task.tenant for task in store.tasks.parked(limit=10)] == ["other", "acme"]
        store.tasks.commit(onward(other := store.tasks.load("other", "task-1"), tasks.resume(other, "again")))
        assert [task.tenant for task in store.tasks.parked(limit=10)] == ["acme"]

    def test_parked_tasks_are_paged_by_their_place(self, store: Store) -> None:
        """Pages follow one another without overlap, also behind a task that has gone on since it was seen."""
        for name in ("task-3", "task-1", "task-2"):
            parked(store, name)
            parked(store, name, tenant="other")
        parked(store, "task-0", minutes=1)
        seen, after = [], ""
        while page := store.tasks.parked(limit=2, after=after):
            seen += [f"{task.tenant} {task.id}" for task in page]
            after = page[-1].in_line
            store.tasks.commit(onward(page[-1], tasks.resume(page[-1], "again")))
        line = [f"{tenant} task-{number}" for tenant in ("acme", "other") for number in (1, 2, 3)]
        assert seen == [*line, "acme task-0"]
        assert [f"{task.tenant} {task.id}" for task in store.tasks.parked(limit=9)] == line[::2]

    @pytest.mark.parametrize("end", ["resumed", "cancelled", "settled"])
    def test_a_task_that_waits_no_more_is_not_found(self, store: Store, end: str) -> None:
        """A task leaves the list when it goes on, is cancelled or ends, and the next one moves up."""
        task = parked(store)
        next_one = parked(store, "task-2", minutes=1)
        why = DocumentFailed(
            document=0, name="a.txt", uri=REF.uri, step="extract", code="e", reason="r", cost_micro_usd=0
        )
        ways = {
            "resumed": lambda: tasks.resume(task, "again"),
            "cancelled": lambda: tasks.cancel(task, "ann", "a mistake"),
            "settled": lambda: tasks.settle(task, why),
        }
        store.tasks.commit(onward(task, ways[end]()))
        assert list(store.tasks.parked(limit=1)) == [next_one]
        assert list(store.tasks.parked(limit=10)) == [next_one]

    def test_a_task_that_is_parked_again_waits_from_then(self, store: Store) -> None:
        """A second pause begins when it begins: who waited meanwhile comes first."""
        task = parked(store)
        meanwhile = parked(store, "task-2", minutes=1)
        store.tasks.commit(onward(task, tasks.resume(task, "again")))
        store.tasks.commit(waits(store.tasks.load("acme", "task-1"), since=AT + timedelta(minutes=2)))
        found = store.tasks.parked(limit=10)
        assert [(one.id, one.run) for one in found] == [(meanwhile.id, 1), ("task-1", 2)]

    def test_a_parked_task_that_changes_is_found_as_it_is_now(self, store: Store) -> None:
        """What happens to a task while it waits neither hides it nor moves it back; its newest version is returned."""
        task = parked(store)
        parked(store, "task-2", minutes=1)
        store.tasks.commit(also(task, entry=entry_of(task)))
        first, _ = store.tasks.parked(limit=10)
        assert (first.id, first.version) == ("task-1", task.version + 1)

    def test_a_conflict_parks_nothing(self, store: Store) -> None:
        """A decision to park that came too late leaves no trace in the list."""
        store.tasks.commit(submitted(make()))
        seen = store.tasks.load("acme", "task-1")
        store.tasks.commit(placed(seen))
        with pytest.raises(Conflict):
            store.tasks.commit(waits(seen))
        assert list(store.tasks.parked(limit=10)) == []

    def test_parked_tasks_are_no_unsent_events(self, store: Store) -> None:
        """The list of parked tasks and the outbox do not show in one another."""
        task = parked(store)
        assert {event.type for event in store.outbox.unsent(limit=10)} == {"task.submitted", "task.admitted"}
        store.outbox.mark_sent(store.outbox.unsent(limit=10))
        assert list(store.outbox.unsent(limit=10)) == []
        assert list(store.tasks.parked(limit=10)) == [task]
