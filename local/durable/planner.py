"""From an orchestrator's reply to the step it makes: what to start, set, cancel or end.

Pure: state and reply in, `Step` out. May know executions and the SDK's protocol; must not know storage,
a clock or the SDK itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

from local.durable.protocol import (
    WITH_RETRY,
    ActionType,
    Broken,
    RetryPolicy,
    event_body,
    from_text,
    signature,
    to_text,
)
from local.durable.records import Activity, Child, Ending, Event, EventType, Open, Status, Step, Timer

if TYPE_CHECKING:
    from local.durable.execution import Execution
    from local.durable.protocol import RawAction, Reply, Signature


class Catalog(Protocol):
    """Which functions exist."""

    def has_activity(self, name: str) -> bool:
        """Whether an activity function has this name."""
        ...

    def has_orchestrator(self, name: str) -> bool:
        """Whether an orchestrator function has this name."""
        ...


def conclude(state: Execution, reply: Reply, at: int, catalog: Catalog, *, strict: bool = True) -> Step:
    """Decide what follows from the reply; a broken orchestrator ends its instance with a sentence."""
    try:
        _check_replay(state, reply)
        step = _continue_as_new(reply) or _Planner(state, reply, at, catalog).plan(strict=strict)
    except Broken as broken:
        text = f"Orchestrator function '{state.instance.name}' failed: {broken}"
        step = Step(ending=Ending(Status.FAILED, json.dumps(text)))
    step.custom_status = reply.custom_status
    return step


def _check_replay(state: Execution, reply: Reply) -> None:
    """Refuse a failure, and an orchestrator that does not ask again for all it asked for before."""
    if reply.error is not None:
        raise Broken(reply.error)
    for position, before in enumerate(state.recorded):
        now = signature(reply.actions[position]) if position < len(reply.actions) else None
        if now != before:
            raise Broken(
                f"non-deterministic orchestrator: step {position} was {_words(before)} and is now "
                f"{_words(now)}; an orchestrator that changes while instances run needs a new name"
            )


def _words(asked: Signature | None) -> str:
    return "nothing" if asked is None else f"{ActionType(asked[0]).name} {asked[1]}".rstrip()


def _continue_as_new(reply: Reply) -> Step | None:
    last = reply.actions[-1] if reply.actions else None
    if last is None or last["actionType"] != ActionType.CONTINUE_AS_NEW:
        return None
    return Step(continue_as_new=True, next_input=last.get("input"))


class _Planner:
    """Collects one step; every task it starts is applied to the state at once, so that numbers go on."""

    def __init__(self, state: Execution, reply: Reply, at: int, catalog: Catalog) -> None:
        self._state = state
        self._reply = reply
        self._at = at
        self._catalog = catalog
        self._step = Step()

    def plan(self, *, strict: bool) -> Step:
        """Schedule follow-ups, then what is new; cancel what was cancelled; end when nothing is open."""
        first = len(self._state.recorded)
        for task in () if self._reply.done else self._state.follow_ups:
            self._follow_up(task)
        if strict:
            self._refuse_drift(first)
        for position in range(first, len(self._reply.actions)):
            self._ask(position)
        self._cancel_timers()
        if self._reply.done and not self._state.open:
            self._step.ending = Ending(Status.COMPLETED, self._reply.output)
        return self._step

    def _refuse_drift(self, first: int) -> None:
        """Refuse what would work here but lets the two sides' task numbers drift apart on Azure."""
        new = self._reply.actions[first:]
        if any(action.get("withinAny") and action["actionType"] in WITH_RETRY for action in new):
            raise Broken("a retry inside task_any gets stuck on Azure: put it into a sub-orchestration")
        if new and any(task.remaining is not None for task in self._state.open.values()):
            raise Broken(
                "going on while a call with retries is open gets stuck on Azure: let a sub-orchestration "
                "return its value or error instead of catching the failure of task_all"
            )

    def _follow_up(self, task: Open) -> None:
        """A pause after a failed attempt; the next attempt after the pause."""
        action = self._reply.actions[task.action]
        if task.timer:
            self._start(action, Open(task.action, task.attempt + 1, (task.remaining or 0) - 1, timer=False))
        elif (policy := RetryPolicy.of(action)) is not None:
            fire_at = self._at + policy.delay(task.attempt)
            self._set_timer(fire_at, Open(task.action, task.attempt, task.remaining, timer=True))

    def _ask(self, position: int) -> None:
        """What the orchestrator asks for the first time."""
        action = self._reply.actions[position]
        kind = ActionType(action["actionType"])
        if kind is ActionType.WAIT_FOR_EXTERNAL_EVENT:
            self._wait(action["externalEventName"], position)
        elif kind is ActionType.CREATE_TIMER:
            self._set_timer(from_text(action["fireAt"]), Open(position, 1, None, timer=True))
        else:
            policy = RetryPolicy.of(action)
            remaining = None if policy is None else policy.attempts - 1
            self._start(action, Open(position, 1, remaining, timer=False))

    def _start(self, action: RawAction, task: Open) -> None:
        """Start an attempt of an activity or a sub-orchestration."""
        kind = ActionType(action["actionType"])
        if kind in {ActionType.CALL_ACTIVITY, ActionType.CALL_ACTIVITY_WITH_RETRY}:
            self._start_activity(action, task)
        elif kind in {ActionType.CALL_SUB_ORCHESTRATOR, ActionType.CALL_SUB_ORCHESTRATOR_WITH_RETRY}:
            self._start_child(action, task)
        else:
            raise Broken(f"{kind.name} is not supported by the local replay hub")

    def _start_activity(self, action: RawAction, task: Open) -> None:
        name, instance = action["functionName"], self._state.instance
        if not self._catalog.has_activity(name):
            raise Broken(f"there is no activity function '{name}'")
        number = self._record(EventType.TASK_SCHEDULED, task, name, {"Name": name})
        self._step.activities.append(
            Activity(instance.id, instance.generation, number, name, action.get("input"), self._at)
        )

    def _start_child(self, action: RawAction, task: Open) -> None:
        name, instance = action["functionName"], self._state.instance
        if not self._catalog.has_orchestrator(name):
            raise Broken(f"there is no orchestrator function '{name}'")
        number = self._state.next_task
        child = action.get("instanceId") or f"{instance.id}:{instance.generation}:{number}"
        self._record(EventType.CHILD_CREATED, task, name, {"Name": name, "InstanceId": child})
        self._step.children.append(Child(child, name, action.get("input"), action.get("version"), number))

    def _set_timer(self, fire_at: int, task: Open) -> None:
        number = self._record(EventType.TIMER_CREATED, task, None, {"FireAt": to_text(fire_at)})
        self._step.timers.append(Timer(number, fire_at))

    def _wait(self, name: str, position: int) -> None:
        self._step.awaited.add(name)
        body = event_body(EventType.WAIT_OPENED, self._at, {"Name": name})
        self._apply(Event(EventType.WAIT_OPENED, body, name=name, action=position, attempt=1))

    def _cancel_timers(self) -> None:
        timers = [(number, task) for number, task in self._state.open.items() if task.timer]
        for number, task in timers:
            if task.remaining is None and self._reply.actions[task.action].get("isCanceled"):
                self._step.cancelled.append(number)
                body = event_body(EventType.TIMER_CANCELLED, self._at, task=number)
                self._apply(Event(EventType.TIMER_CANCELLED, body, task=number))

    def _record(self, kind: EventType, task: Open, name: str | None, shown: dict[str, object]) -> int:
        number = self._state.next_task
        body = event_body(kind, self._at, shown, task=number)
        self._apply(Event(kind, body, number, name, task.action, task.attempt, task.remaining))
        return number

    def _apply(self, event: Event) -> None:
        self._state.apply(event)
        self._step.events.append(event)
