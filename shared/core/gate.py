"""The gate before a provider's deployment: closed while it says so, then opened no faster than it was seen to answer.

Never throttled, a gate lets everything through. After a refusal it stays shut for as long as the provider asked, then
starts slowly from what the provider was measured to answer, grows while answers come, and steps back when it is refused
again. Whoever matters most goes first; nobody is held back for ever. Pure: time is an argument, epoch seconds, and so
is the number that spreads the many gates of many processes.
"""

from __future__ import annotations

from typing import NamedTuple

from shared.events.task import Priority

RANKS: dict[Priority, int] = {"interactive": 0, "standard": 1, "background": 2}
_LAST = len(RANKS) - 1

_WINDOW = 10.0  # seconds over which answers are counted
_START = 0.1  # of the measured capacity, after the gate was shut
_DOUBLES = 5.0  # seconds of answers in which a slow start doubles
_GROWS = 0.02  # of the capacity, each second of answers beyond it
_STEP_BACK = 0.7
_LONG = 5.0  # a gate shut for longer starts slowly, one shut for less goes on a bit slower
_BURST = 0.25  # seconds' worth of calls that may come together
_SLOWEST = 1 / 60  # calls a second; a gate that is not shut tries something every minute
_SPREAD = 0.1  # of the pause, and at least a second, over which many gates reopen
_TURNS = 9  # calls in a row that may go before one of a lower class that waits


class Gate(NamedTuple):
    """What a gate remembers. A `rate` of 0 is no bound; rates are calls a second.

    `held` is, per class, until when those below give way to somebody of it who was told to wait.
    """

    limit: float = 0.0  # what the deployment is known to take, 0: not known
    shut_until: float = 0.0
    rate: float = 0.0
    aim: float = 0.0  # where the slow start ends
    next_at: float = 0.0
    since: float = 0.0  # when the counting window began
    answers: int = 0  # in the window
    measured: float = 0.0
    grown_at: float = 0.0
    held: tuple[float, ...] = (0.0,) * len(RANKS)
    turns: int = 0  # calls in a row while a lower class waited


def allow(gate: Gate, now: float, rank: int) -> tuple[Gate, float]:
    """Let a call through, or say how many seconds it should wait before it asks again."""
    if now < gate.shut_until:
        return _waiting(gate, rank, gate.shut_until), gate.shut_until - now
    if not gate.rate:
        return gate, 0.0
    pause = 1 / gate.rate
    free_at = gate.next_at - _BURST
    if now < free_at:
        mine = free_at + pause * sum(now < until for until in gate.held[:rank])
        return _waiting(gate, rank, mine), mine - now
    if any(now < until for until in (gate.held[:rank] if gate.turns < _TURNS else gate.held[rank + 1 :])):
        return _waiting(gate, rank, now + pause), pause
    return _through(gate, now, rank, pause), 0.0


def answered(gate: Gate, now: float) -> Gate:
    """Count an answer; a gate with a bound grows by it."""
    gate = _counted(gate, now)
    if not gate.rate:
        return gate
    elapsed = max(0.0, min(now - gate.grown_at, _DOUBLES))  # an answer to what was asked before it shut
    if gate.rate < gate.aim:
        rate = min(gate.aim, gate.rate * 2 ** (elapsed / _DOUBLES))
    else:
        most = max(gate.aim, gate.measured * (1 + _STEP_BACK))  # no growth into what nobody has used
        rate = max(gate.rate, min(most, gate.rate + gate.aim * _GROWS * elapsed))
    if gate.limit:
        rate = min(rate, gate.limit)
    return gate._replace(rate=rate, grown_at=now)


def throttled(gate: Gate, now: float, retry_after: float, spread: float) -> Gate:
    """Shut the gate for as long as the provider says; `spread` from 0 to 1 is this gate's place among many."""
    until = now + retry_after + max(1.0, retry_after * _SPREAD) * spread
    if now < gate.shut_until:  # this call was on its way before the gate was shut
        return gate._replace(shut_until=max(until, gate.shut_until))
    long = retry_after >= _LONG
    aim = max(_SLOWEST, _capacity(gate, now, 1.0 if long else _STEP_BACK))
    rate = max(_SLOWEST, aim * _START if long else min(gate.rate or aim, aim))
    again = Gate(gate.limit, until, rate, aim, until + _BURST, since=until, grown_at=until)
    return again._replace(measured=gate.measured)  # who waited asks again, and is told when by the new rate


def heard(gate: Gate, now: float, until: float, spread: float) -> Gate:
    """Shut the gate because another process was refused: who made calls begins slowly again, who made none waits."""
    if until <= max(now, gate.shut_until):
        return gate
    if gate.rate or gate.answers or gate.measured:
        return throttled(gate, now, until - now, spread)
    return gate._replace(shut_until=until + max(1.0, (until - now) * _SPREAD) * spread)


def told(gate: Gate, limit: float) -> Gate:
    """Take over the limit that a provider names, in calls a second."""
    return gate if gate.limit == limit else gate._replace(limit=limit)


def _capacity(gate: Gate, now: float, step: float) -> float:
    """Return what to aim at: what the deployment answered lately, and a good part of its limit where that is known.

    A refusal before anything was answered says that it is not back, and nothing about what it can do.
    """
    if gate.rate and not gate.answers:
        return gate.aim
    elapsed = now - gate.since
    lately = gate.answers / elapsed if gate.answers and elapsed >= 1 else 0.0
    seen = max(lately, gate.measured)
    if gate.limit:
        return min(gate.limit, max(seen, gate.limit * _STEP_BACK)) * step
    return (seen or 1.0) * step


def _counted(gate: Gate, now: float) -> Gate:
    elapsed = now - gate.since
    if elapsed < _WINDOW:
        return gate._replace(answers=gate.answers + 1)
    return gate._replace(measured=(gate.answers + 1) / elapsed, since=now, answers=0)


def _through(gate: Gate, now: float, rank: int, pause: float) -> Gate:
    lower_waits = any(now < until for until in gate.held[rank + 1 :])
    held = tuple(0.0 if place == rank else until for place, until in enumerate(gate.held))
    turns = gate.turns + 1 if lower_waits else 0
    return gate._replace(next_at=max(gate.next_at, now) + pause, held=held, turns=turns)


def _waiting(gate: Gate, rank: int, until: float) -> Gate:
    """Note that somebody of this class will be back then; a little patience lets them be late."""
    patience = until + (1 / gate.rate if gate.rate else 1.0)
    held = tuple(max(patience, old) if place == rank else old for place, old in enumerate(gate.held))
    return gate._replace(held=held)
