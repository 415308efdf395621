"""The JSON spoken with the azure-functions-durable SDK (out-of-process schema 3).

May know the SDK's context, history and action formats. Must not import the SDK, and must not know
storage, the hub or a clock: times come in as microseconds since 1970.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any

from local.durable.records import Event, EventType, Instance

FAILURE_LABEL = "\n\n$OutOfProcData$:"
LONGEST_SHORT_TIMER = "6.00:00:00"
LONG_TIMER_SLICE = "3.00:00:00"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

RawAction = Mapping[str, Any]
Signature = tuple[int, str]  # what must be the same on every replay: kind of action, name it is addressed to


class Broken(Exception):  # noqa: N818  a verdict on the orchestrator, named as one
    """The orchestrator asked for something that cannot be done; the text tells its author what."""


class ActionType(IntEnum):
    """What an orchestrator can ask for."""

    CALL_ACTIVITY = 0
    CALL_ACTIVITY_WITH_RETRY = 1
    CALL_SUB_ORCHESTRATOR = 2
    CALL_SUB_ORCHESTRATOR_WITH_RETRY = 3
    CONTINUE_AS_NEW = 4
    CREATE_TIMER = 5
    WAIT_FOR_EXTERNAL_EVENT = 6
    CALL_ENTITY = 7
    CALL_HTTP = 8
    SIGNAL_ENTITY = 9
    WHEN_ANY = 11
    WHEN_ALL = 12


WITH_RETRY = frozenset({ActionType.CALL_ACTIVITY_WITH_RETRY, ActionType.CALL_SUB_ORCHESTRATOR_WITH_RETRY})


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970; a time without a zone is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND


def to_datetime(micros: int) -> datetime:
    """Return the moment, in UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def to_text(micros: int) -> str:
    """The moment as the SDK and the management API write it."""
    return to_datetime(micros).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_text(text: str) -> int:
    """The moment that `to_text`, or the SDK, wrote."""
    return to_micros(datetime.fromisoformat(text))


def event_body(kind: EventType, at: int, shown: Mapping[str, object] | None = None, *, task: int = -1) -> str:
    """Return one history event as JSON; never marked as played, the SDK finds that out by itself."""
    head = {"EventType": int(kind), "EventId": task, "IsPlayed": False, "Timestamp": to_text(at)}
    return json.dumps(head if shown is None else head | dict(shown), separators=(",", ":"))


def context_text(instance: Instance, fragments: Sequence[str]) -> str:
    """The whole context of an episode: ready-made history fragments, joined."""
    rest = json.dumps(
        {
            "input": instance.input,
            "instanceId": instance.id,
            "isReplaying": instance.revision > 0,
            "parentInstanceId": instance.parent.instance if instance.parent else None,
            "upperSchemaVersion": 1,
            "upperSchemaVersionNew": 2,
            "longRunningTimerIntervalDuration": LONG_TIMER_SLICE,
            "maximumShortTimerDuration": LONGEST_SHORT_TIMER,
        }
    )
    return f'{{"history":[{",".join(fragments)}],{rest[1:]}'


def started(name: str, version: str | None, at: int) -> str:
    """The event that starts a generation of an instance."""
    return event_body(EventType.EXECUTION_STARTED, at, {"Name": name, "Version": version})


def orchestrator_started(at: int) -> Event:
    """The event that opens an episode and tells the orchestrator the time."""
    return Event(EventType.ORCHESTRATOR_STARTED, event_body(EventType.ORCHESTRATOR_STARTED, at))


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a failed call is repeated."""

    attempts: int
    first: int
    backoff: float
    longest: float

    @classmethod
    def of(cls, action: RawAction) -> RetryPolicy | None:
        """The policy that an action carries, None when it has none."""
        if ActionType(action["actionType"]) not in WITH_RETRY:
            return None
        options = action["retryOptions"]
        if options.get("retryTimeoutInMilliseconds") is not None:
            raise Broken("retryTimeoutInMilliseconds makes the SDK wait for ever: limit the attempts instead")
        return cls(
            attempts=max(1, int(options["maxNumberOfAttempts"])),
            first=int(options["firstRetryIntervalInMilliseconds"]),
            backoff=float(options.get("backoffCoefficient") or 1),
            longest=float(options.get("maxRetryIntervalInMilliseconds") or "inf"),
        )

    def delay(self, attempt: int) -> int:
        """Microseconds to wait after the attempt with this number (from 1) failed."""
        try:
            wanted = self.first * self.backoff ** (attempt - 1)
        except OverflowError:
            wanted = self.longest
        return int(min(wanted, self.longest) * 1000)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the orchestrator said in an episode: everything it ever asked for, and how it stands."""

    actions: tuple[RawAction, ...]
    done: bool = False
    output: str | None = None
    custom_status: str | None = None
    error: str | None = None


def signature(action: RawAction) -> Signature:
    """Return what must be the same on every replay."""
    return action["actionType"], action.get("functionName") or action.get("externalEventName") or ""


def parse_reply(text: str) -> Reply:
    """Read the SDK's answer."""
    state = json.loads(text)
    return Reply(
        actions=tuple(_flat(state["actions"][0], within_any=False)),
        done=bool(state["isDone"]),
        output=_dumped(state.get("output")),
        custom_status=_dumped(state.get("customStatus")),
        error=state.get("error"),
    )


def parse_failure(error: Exception) -> Reply:
    """Read the exception with which the SDK reports a failed orchestrator."""
    text, label, state = str(error).rpartition(FAILURE_LABEL)
    if not label:
        return Reply(actions=(), error=f"{type(error).__name__}: {error}")
    reported = json.loads(state)
    return Reply(
        actions=(),
        error=reported.get("error") or text,
        custom_status=_dumped(reported.get("customStatus")),
    )


def _flat(actions: Sequence[RawAction], *, within_any: bool) -> Iterator[RawAction]:
    """The actions in the order in which the SDK numbers their tasks, without their nesting."""
    for action in actions:
        inside = within_any or action["actionType"] == ActionType.WHEN_ANY
        if "compoundActions" in action:
            yield from _flat(action["compoundActions"], within_any=inside)
        else:
            yield {**action, "withinAny": True} if within_any else action


def _dumped(value: object) -> str | None:
    return None if value is None else json.dumps(value)
