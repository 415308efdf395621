"""Writes down what was decided: steps, beginnings and endings of instances.

May know the store and the records; must not decide, run a function or open a transaction: the hub has
opened one around every call.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from local.durable.protocol import event_body, started
from local.durable.records import Child, Ending, EventType, Instance, Message, Parent, Status, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.durable.cache import Executions
    from local.durable.store import Store


class Writer:
    """The hub's pen."""

    def __init__(self, store: Store, executions: Executions, *, keep_history: bool) -> None:
        self._store = store
        self._executions = executions
        self._keep_history = keep_history

    def write(self, instance: Instance, step: Step, now: int) -> None:
        """Write the step that an episode of the instance made."""
        changed = replace(
            instance,
            status=Status.RUNNING,
            revision=instance.revision + 1,
            custom_status=step.custom_status or instance.custom_status,
            updated=now,
        )
        if step.continue_as_new:
            self._continue_as_new(changed, step.next_input)
            return
        self._store.queue(step.activities)
        self._set_timers(changed, step)
        self._start_children(changed, step.children)
        self._store.unpark(changed.id, step.awaited)
        if step.ending is None:
            self._store.save([changed])
        else:
            self.end(changed, step.ending, now)

    def begin(self, instances: Sequence[Instance]) -> None:
        """Write instances that start a generation, with the message that wakes them."""
        self._store.save(instances)
        kind = EventType.EXECUTION_STARTED
        self._store.send(
            Message(i.id, kind, started(i.name, i.version, i.updated), i.updated, i.generation) for i in instances
        )

    def end(self, instance: Instance, ending: Ending, now: int, *, tell: bool = True) -> None:
        """Write how an instance ended, and let its parent know."""
        self._store.clear_messages(instance.id)
        if not self._keep_history:
            self._store.clear_history(instance.id)
        ended = replace(instance, status=ending.status, output=ending.output, updated=max(now, instance.updated))
        self._store.save([ended])
        if tell:
            self._tell_parent(instance, ending, now)

    def make_room(self, existing: Instance | None) -> None:
        """Delete an instance and all that it started."""
        if existing is None:
            return
        family = self._store.children(existing.id)
        for member in family:
            self._executions.drop(member)
        self._store.forget(family)

    def _continue_as_new(self, instance: Instance, input_: str | None) -> None:
        self._store.clear_history(instance.id)
        self._store.clear_messages(instance.id, keep_events=True)
        self.begin([replace(instance, generation=instance.generation + 1, length=0, input=input_)])

    def _set_timers(self, instance: Instance, step: Step) -> None:
        kind, cancelled = EventType.TIMER_FIRED, set(step.cancelled)
        wanted = [timer for timer in step.timers if timer.task not in cancelled]
        self._store.cancel_timers(instance.id, cancelled)
        self._store.send(
            Message(
                instance=instance.id,
                type=kind,
                body=event_body(kind, timer.fire_at, {"TimerId": timer.task}),
                due=timer.fire_at,
                generation=instance.generation,
                task=timer.task,
            )
            for timer in wanted
        )

    def _start_children(self, instance: Instance, children: Sequence[Child]) -> None:
        wanted = [
            replace(
                new_instance(child.id, child.name, child.version, child.input, instance.updated),
                parent=Parent(instance.id, instance.generation, child.task),
            )
            for child in children
        ]
        self.begin([child for child in wanted if self._has_room(child)])

    def _has_room(self, child: Instance) -> bool:
        """Make room for a child; when its id is taken by a living instance, the parent hears of a failure."""
        existing = self._store.instance(child.id)
        if existing is None or existing.status.finished:
            self.make_room(existing)
            return True
        text = f"an instance '{child.id}' is running already"
        self._tell_parent(child, Ending(Status.FAILED, json.dumps(text)), child.updated)
        return False

    def _tell_parent(self, child: Instance, ending: Ending, now: int) -> None:
        if child.parent is None:
            return
        parent, kind = child.parent, EventType.CHILD_COMPLETED
        shown: dict[str, object] = {"TaskScheduledId": parent.task}
        if ending.status is Status.COMPLETED:
            shown["Result"] = ending.output
        else:
            kind = EventType.CHILD_FAILED
            shown |= {"Reason": json.loads(ending.output or '""'), "Details": ""}
        body = event_body(kind, now, shown)
        self._store.send([Message(parent.instance, kind, body, now, parent.generation, parent.task)])


def new_instance(instance: str, name: str, version: str | None, input_: str | None, now: int) -> Instance:
    """Return an instance that has not begun."""
    return Instance(
        id=instance,
        name=name,
        version=version,
        status=Status.PENDING,
        generation=0,
        revision=0,
        length=0,
        input=input_,
        output=None,
        custom_status=None,
        parent=None,
        created=now,
        updated=now,
    )
