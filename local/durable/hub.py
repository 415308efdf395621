"""The replay hub: instances move on one episode or one activity at a time, each written in one transaction.

Killed at any moment it loses nothing: an episode happens wholly or not at all; an activity is claimed,
run and finished in that order, so it runs at least once. May know its store, the pure parts beside it
and a clock that it is given. Must not know the SDK: orchestrators and activities are text in, text out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from local.durable.cache import Executions
from local.durable.execution import Execution
from local.durable.planner import Catalog, conclude
from local.durable.protocol import (
    Reply,
    event_body,
    orchestrator_started,
    parse_failure,
    parse_reply,
    to_datetime,
    to_micros,
)
from local.durable.records import Activity, Ending, EventType, Instance, Message, Query, Status
from local.durable.store import Store
from local.durable.writer import Writer, new_instance
from shared.errors import NotFound, Permanent

_BATCH = 1000
_LONGEST_ID = 200
_UNFIT_FOR_IDS = frozenset("/\\#?%")


class Functions(Catalog, Protocol):
    """The functions of an app, as text in and text out."""

    def run_orchestrator(self, name: str, context: str) -> str:
        """Run one episode; raise what the SDK raises when the orchestrator failed."""
        ...

    def run_activity(self, name: str, input_: str | None) -> str:
        """Run an activity; raise what it raises."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """How the hub works.

    `strict` refuses orchestrators that would get stuck on Azure though they work here. `keep_history`
    keeps the events of finished instances until they are purged. `cached` histories stay in memory.
    """

    strict: bool = True
    keep_history: bool = True
    cached: int = 2000


class Hub:
    """Starts, feeds and runs orchestration instances."""

    def __init__(
        self, store: Store, functions: Functions, now: Callable[[], datetime], options: Options | None = None
    ) -> None:
        self._store = store
        self._functions = functions
        self._now = now
        self._options = options or Options()
        self._executions = Executions(store, self._options.cached)
        self._writer = Writer(store, self._executions, keep_history=self._options.keep_history)

    # asking for something

    def start(
        self,
        name: str,
        instance: str,
        input_: str | None = None,
        *,
        version: str | None = None,
        replace_finished: bool = False,
    ) -> bool:
        """Start an instance, `input_` being JSON text; False when there is one of this id already.

        With `replace_finished` an instance that has ended makes room, as it does on Azure.
        """
        _check_id(instance)
        if not self._functions.has_orchestrator(name):
            raise Permanent(f"there is no orchestrator function '{name}'", code="unknown-orchestrator")
        with self._store.transaction():
            existing = self._store.instance(instance)
            if existing is not None and not (replace_finished and existing.status.finished):
                return False
            self._writer.make_room(existing)
            self._writer.begin([new_instance(instance, name, version, input_, self._time())])
        return True

    def raise_event(self, instance: str, name: str, data: str) -> bool:
        """Send an external event, `data` being JSON text; False when the instance has ended."""
        with self._store.transaction():
            if self._existing(instance).status.finished:
                return False
            now = self._time()
            body = event_body(EventType.EVENT_RAISED, now, {"Name": name, "Input": data})
            self._store.send([Message(instance, EventType.EVENT_RAISED, body, now, name=name)])
        return True

    def terminate(self, instance: str, reason: str = "") -> bool:
        """End an instance and all that it started; False when it had ended."""
        with self._store.transaction():
            top = self._existing(instance)
            if top.status.finished:
                return False
            for member in self._family(instance):
                if not member.status.finished:
                    self._store.drop_activities(member.id)
                    ending = Ending(Status.TERMINATED, json.dumps(reason))
                    self._writer.end(member, ending, self._time(), tell=member.id == instance)
        return True

    def suspend(self, instance: str) -> bool:
        """Let an instance take in nothing until `resume`; False when it has ended."""
        return self._set_status(instance, Status.SUSPENDED)

    def resume(self, instance: str) -> bool:
        """Let a suspended instance go on; False when it has ended."""
        return self._set_status(instance, None)

    def purge(self, query: Query | str) -> int:
        """Delete ended instances with the ended ones that they started; return how many."""
        with self._store.transaction():
            chosen = [query] if isinstance(query, str) else [found.id for found in self._store.instances(query)]
            family = {member.id: member for top in chosen for member in self._ended_family(top)}
            self._store.forget(family)
        return len(family)

    # asking about something

    def status(self, instance: str) -> Instance | None:
        """Return the instance as it stands, None when there is none of this id."""
        return self._store.instance(instance)

    def instances(self, query: Query) -> list[Instance]:
        """Return instances in the order of their creation."""
        return self._store.instances(query)

    def history(self, instance: str) -> list[str]:
        """Return the events of the instance's current generation, as JSON texts."""
        return [event.body for event in self._store.history(instance)]

    def next_due(self) -> datetime | None:
        """Return when there is something to do next, None when only the outside can wake anybody."""
        message, activity = self._store.first_message(), self._store.first_activity()
        times = [time for time in (message and message[0], activity) if time is not None]
        return to_datetime(min(times)) if times else None

    # working

    def recover(self) -> int:
        """Take back what a dead process had claimed: once, by whoever opens the file to work on it."""
        with self._store.transaction():
            return self._store.release_claims()

    def run_until_idle(self) -> int:
        """Work until nothing is due; return the number of units."""
        units = 0
        while self.run_once():
            units += 1
        return units

    def run_once(self) -> bool:
        """Do what has waited longest, an episode or an activity; False when nothing is due."""
        message, activity = self._store.first_message(), self._store.first_activity()
        if activity is not None and (message is None or activity <= message[0]):
            self._run_activity()
            return True
        if message is None or message[0] > self._time():
            return False
        self._run_episode(message[1])
        return True

    def _run_activity(self) -> None:
        with self._store.joined():
            activity = self._store.claim()
        if activity is None:
            return
        result = self._execute(activity)
        with self._store.joined():
            if self._store.finish(activity):
                self._store.send([result])

    def _execute(self, activity: Activity) -> Message:
        try:
            output = self._functions.run_activity(activity.name, activity.input)
        except Exception as error:  # noqa: BLE001  whatever an activity raises is its result
            cause = f"{type(error).__name__}: {error}"
            reason = f"Activity function '{activity.name}' failed: {cause}"
            return self._result(activity, EventType.TASK_FAILED, {"Reason": reason, "Details": cause})
        return self._result(activity, EventType.TASK_COMPLETED, {"Result": output})

    def _result(self, activity: Activity, kind: EventType, shown: dict[str, object]) -> Message:
        now = self._time()
        body = event_body(kind, now, {"TaskScheduledId": activity.task} | shown)
        return Message(activity.instance, kind, body, now, activity.generation, activity.task)

    def _run_episode(self, instance: str) -> None:
        with self._store.joined():
            state = self._let_in(instance, self._time())
        if state is not None:
            self._executions.keep(state)

    def _let_in(self, instance: str, now: int) -> Execution | None:
        """Give an instance what is due; return its state when it is worth being kept in memory."""
        messages = self._store.due_messages(instance, now, _BATCH)
        current = self._store.instance(instance)
        if current is not None and current.status is Status.SUSPENDED:
            self._store.park(messages)
        elif current is not None and not current.status.finished:
            return self._take_in(current, messages, max(now, current.updated))
        else:
            self._store.drop(messages)
        return None

    def _take_in(self, instance: Instance, messages: list[Message], now: int) -> Execution | None:
        state = self._executions.take(instance)
        batch = state.select(messages)
        self._store.drop([*batch.taken, *batch.stale])
        self._store.park(batch.early)
        if not batch.taken:
            return state
        events = [orchestrator_started(now), *(message.as_event() for message in batch.taken)]
        position = state.length
        state.receive(events)
        step = conclude(state, self._ask(instance, state), now, self._functions, strict=self._options.strict)
        self._store.append(instance.id, position, [*events, *step.events])
        self._writer.write(replace(instance, length=state.length), step, now)
        return state if step.goes_on else None

    def _ask(self, instance: Instance, state: Execution) -> Reply:
        try:
            return parse_reply(self._functions.run_orchestrator(instance.name, state.context()))
        except Exception as error:  # noqa: BLE001  the SDK reports an orchestrator's failure by raising it
            return parse_failure(error)

    # small things

    def _time(self) -> int:
        return to_micros(self._now())

    def _existing(self, instance: str) -> Instance:
        found = self._store.instance(instance)
        if found is None:
            raise NotFound(f"no instance '{instance}'")
        return found

    def _family(self, instance: str) -> list[Instance]:
        return [found for member in self._store.children(instance) if (found := self._store.instance(member))]

    def _ended_family(self, instance: str) -> list[Instance]:
        """Return an ended instance and the ended ones below it; nothing when it has not ended."""
        family = self._family(instance)
        ended = bool(family) and family[0].status.finished
        return [member for member in family if member.status.finished] if ended else []

    def _set_status(self, instance: str, wanted: Status | None) -> bool:
        with self._store.transaction():
            found = self._existing(instance)
            if found.status.finished:
                return False
            going = Status.RUNNING if found.revision else Status.PENDING
            self._store.save([replace(found, status=wanted or going)])
            if wanted is None:
                self._store.unpark(instance)
        return True


def _check_id(instance: str) -> None:
    fit = 0 < len(instance) <= _LONGEST_ID and instance.isprintable() and not instance.startswith("@")
    if not fit or _UNFIT_FOR_IDS.intersection(instance):
        raise Permanent("an instance id has 1 to 200 printable characters, none of / \\ # ? %", code="invalid-id")
