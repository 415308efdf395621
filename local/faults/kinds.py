"""The kinds of faults, each with a name to switch it by and how often it strikes. Values only."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from shared.errors import Permanent

if TYPE_CHECKING:
    from collections.abc import Iterable


class Kind(StrEnum):
    """What can go wrong."""

    CRASH_BEFORE = "crash-before"  # a process dies before an access has its effect
    CRASH_AFTER = "crash-after"  # a process dies after the effect, before it hears of it or acknowledges anything
    CRASH_UNSENT = "crash-unsent"  # a process dies between its commit and its publishing
    TIMEOUT = "timeout"  # an access fails, and had no effect; of a publication, half
    LOST_ANSWER = "lost-answer"  # an access fails, and had its effect: an unknown outcome
    EXHAUSTED = "exhausted"  # a store refuses: too many requests
    ZOMBIE = "zombie"  # a process stops until its leases are over and its message came again, and goes on
    RIVALS = "rivals"  # others work between two accesses of a process
    DUPLICATE = "duplicate"  # a message is delivered twice
    REORDER = "reorder"  # a message overtakes up to 400 others
    PARTIAL = "partial-batch"  # an access fails in the middle of a batch
    POISON = "poison"  # messages that nobody can read, among the others
    REDRIVE = "redrive"  # messages go to the dead letters, and all of those are delivered twice
    VANISH = "vanish"  # a pipeline's message is acknowledged, and its execution never was
    PROVIDER = "provider"  # a model answers with 429, 5xx, half an answer, or not at all though it did the work
    CACHE_DOWN = "cache-down"  # the cache is away for seconds
    LEDGER_DOWN = "ledger-down"  # the store of the money is away for seconds
    SKEW = "skew"  # each process's clock is up to ten minutes wrong
    SAME_KEY = "same-key"  # a client submits the same thing twice at a time
    CANCEL = "cancel"  # a client cancels what is under way, and people vote and change their minds meanwhile


EVERYTHING = frozenset(Kind)


class Rates(NamedTuple):
    """How often each kind strikes: by access to a port, by message, or by task."""

    accesses: dict[Kind, float]
    messages: dict[Kind, float]
    tasks: dict[Kind, float]


USUAL = Rates(
    accesses={
        Kind.CRASH_BEFORE: 1 / 6000,
        Kind.CRASH_AFTER: 1 / 6000,
        Kind.CRASH_UNSENT: 1 / 600,  # of publications
        Kind.TIMEOUT: 1 / 600,
        Kind.LOST_ANSWER: 1 / 400,  # of accesses with an effect
        Kind.EXHAUSTED: 1 / 800,
        Kind.ZOMBIE: 1 / 30_000,
        Kind.RIVALS: 1 / 150,
        Kind.PROVIDER: 1 / 25,  # of calls
        Kind.CACHE_DOWN: 0.06,  # of the time
        Kind.LEDGER_DOWN: 0.06,
    },
    messages={
        Kind.DUPLICATE: 0.10,
        Kind.REORDER: 0.25,
        Kind.PARTIAL: 0.05,  # of batches
        Kind.POISON: 0.002,
        Kind.REDRIVE: 0.004,
        Kind.VANISH: 0.003,
    },
    tasks={Kind.SAME_KEY: 0.10, Kind.CANCEL: 0.05},
)

# For small storms, in which much has to happen.
ROUGH = Rates(
    accesses={kind: min(0.20, 5 * rate) for kind, rate in USUAL.accesses.items()},
    messages={kind: min(0.30, 5 * rate) for kind, rate in USUAL.messages.items()},
    tasks={kind: 3 * rate for kind, rate in USUAL.tasks.items()},
)


def chosen(only: str = "", without: Iterable[str] = ()) -> frozenset[Kind]:
    """Return the kinds that are named, all if none is, but for those `without`; Permanent for a name there is not."""
    named = [name.strip() for name in only.split(",") if name.strip()]
    unknown = [name for name in (*named, *without) if name not in set(Kind)]
    if unknown:
        raise Permanent(f"no kind {', '.join(unknown)}; there are {', '.join(Kind)}", code="unknown-kind")
    found = (frozenset(map(Kind, named)) if named else EVERYTHING) - set(map(Kind, without))
    if not found:
        raise Permanent("no kind of fault is left: that would be no storm", code="unknown-kind")
    return found
