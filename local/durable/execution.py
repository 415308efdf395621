"""One generation of one instance, folded from its history: what is open, and what an episode may take in.

A state machine over events: `apply` is the only way its state changes, for new events as well as for a
history read back after a crash. May know records and the SDK's protocol; must not know storage, a clock
or the SDK itself.

Task numbers must come out exactly as the SDK counts them. For one event the SDK numbers the follow-up of
a retry first and what the orchestrator asks for next afterwards; so events that make a retry go on are
taken only in front of all others (`select`).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from local.durable.protocol import ActionType, context_text
from local.durable.records import SHOWN_TO_SDK, Batch, Event, EventType, Open

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from local.durable.protocol import Signature
    from local.durable.records import Instance, Message

_KINDS = {  # the action that a scheduling event came from, without and with retries
    EventType.TASK_SCHEDULED: (ActionType.CALL_ACTIVITY, ActionType.CALL_ACTIVITY_WITH_RETRY),
    EventType.CHILD_CREATED: (ActionType.CALL_SUB_ORCHESTRATOR, ActionType.CALL_SUB_ORCHESTRATOR_WITH_RETRY),
    EventType.TIMER_CREATED: (ActionType.CREATE_TIMER, None),
    EventType.WAIT_OPENED: (ActionType.WAIT_FOR_EXTERNAL_EVENT, None),
}


class Execution:
    """The state of one generation of an instance."""

    def __init__(self, instance: Instance, history: Iterable[Event] = ()) -> None:
        self.instance = instance
        self.length = 0
        self.next_task = 0
        self.open: dict[int, Open] = {}
        self.recorded: list[Signature] = []
        self.follow_ups: list[Open] = []
        self._fragments: list[str] = []
        self._waits: Counter[str] = Counter()
        for event in history:
            self.apply(event)

    def apply(self, event: Event) -> None:
        """Fold one event into the state."""
        self.length += 1
        if event.type in SHOWN_TO_SDK:
            self._fragments.append(event.body)
        if event.type in _KINDS:
            self._apply_asked(event)
        elif event.type is EventType.EVENT_RAISED:
            self._waits[event.name or ""] -= 1
        elif event.task is not None:
            self.open.pop(event.task, None)

    def _apply_asked(self, event: Event) -> None:
        plain, with_retry = _KINDS[event.type]
        kind = plain if event.remaining is None else with_retry
        if event.attempt == 1 and kind is not None:
            self.recorded.append((kind, event.name or ""))
        if event.task is None:
            self._waits[event.name or ""] += 1
            return
        timer = event.type is EventType.TIMER_CREATED
        self.open[event.task] = Open(event.action or 0, event.attempt or 1, event.remaining, timer)
        self.next_task = event.task + 1

    def select(self, messages: Sequence[Message]) -> Batch:
        """Sort messages that are due: for this episode, too early, or too late."""
        batch, waits, only_retries = Batch(), self._waits.copy(), True
        for message in messages:
            if self._is_stale(message):
                batch.stale.append(message)
            elif message.type is EventType.EVENT_RAISED and waits[message.name or ""] < 1:
                batch.early.append(message)
            elif not self._makes_retry_go_on(message):
                only_retries = False
                waits[message.name or ""] -= message.type is EventType.EVENT_RAISED
                batch.taken.append(message)
            elif only_retries:
                batch.taken.append(message)
            else:
                break
        return batch

    def _is_stale(self, message: Message) -> bool:
        return message.generation not in {None, self.instance.generation}

    def _makes_retry_go_on(self, message: Message | Event) -> bool:
        task = None if message.task is None else self.open.get(message.task)
        return task is not None and task.goes_on(message.type)

    def receive(self, events: Iterable[Event]) -> None:
        """Fold the events of a new episode, remembering the retries that they make go on."""
        self.follow_ups = []
        for event in events:
            if event.task is not None and self._makes_retry_go_on(event):
                self.follow_ups.append(self.open[event.task])
            self.apply(event)

    def context(self) -> str:
        """Return the context to hand to the SDK."""
        return context_text(self.instance, self._fragments)
