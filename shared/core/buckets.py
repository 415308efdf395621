"""Token buckets, as values: how much may still be asked for, and exactly when the next ask will do.

Knows numbers only: times are seconds since the epoch, counted in whole microseconds, so that the time promised to
somebody who was refused is the time that lets them in, on any machine that adds it up. A refusal changes nothing.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

_MICRO = 1_000_000
_MINUTE = 60 * _MICRO


class Bucket(NamedTuple):
    """What was left in it, and when that was so; one never used is full."""

    level: float = -1.0
    at: float = 0.0


class Rate(NamedTuple):
    """How fast a bucket fills, and how much it holds."""

    per_minute: float
    burst: float


NEVER_USED = Bucket()
_row = tuple.__new__  # makes a bucket as its class does, in half the time


def level(bucket: Bucket, rate: Rate, now: float) -> float:
    """Return what is in the bucket now; below zero when somebody took more than it holds."""
    return rate.burst if bucket == NEVER_USED else _level(bucket, rate, _elapsed(bucket, now))


def take(bucket: Bucket, rate: Rate, amount: float, now: float) -> Bucket | None:
    """Return the bucket with so much less in it, or None when there is not enough.

    More than it holds is given when it is full, and owed afterwards: else it could never be had at all.
    """
    there, at = bucket
    per_minute, burst = rate
    # As `level` has it, spelled out: this is asked twice for each request there is.
    if at == 0.0 and bucket == NEVER_USED:
        return Bucket(burst - amount, now)
    elapsed = round((now - at) * _MICRO)
    if elapsed > 0:
        there += elapsed * per_minute / _MINUTE
        at = now
    if there >= burst:
        return _row(Bucket, (burst - amount, at))
    return _row(Bucket, (there - amount, at)) if there >= amount else None


def settle(bucket: Bucket, rate: Rate, unused: float, now: float) -> Bucket:
    """Return the bucket with what was taken and not used back in it; below zero, what was used beyond that is owed."""
    there = level(bucket, rate, now) + unused
    return Bucket(min(rate.burst, there), max(now, bucket.at))


def wait(bucket: Bucket, rate: Rate, amount: float, now: float) -> float:
    """Return in how many seconds `take` gives the amount if nobody else takes any: not a microsecond too much."""
    if bucket == NEVER_USED:
        return 0.0
    wanted = min(amount, rate.burst)
    due = max(0, ceil((wanted - bucket.level) * _MINUTE / rate.per_minute))
    while _level(bucket, rate, due) < wanted:
        due += 1
    while due > 0 and _level(bucket, rate, due - 1) >= wanted:
        due -= 1
    return max(0, due - _elapsed(bucket, now)) / _MICRO


def _elapsed(bucket: Bucket, now: float) -> int:
    """Return the microseconds since it was touched; below zero by a clock that runs behind, and that fills nothing."""
    return round((now - bucket.at) * _MICRO)


def _level(bucket: Bucket, rate: Rate, elapsed: int) -> float:
    return min(rate.burst, bucket.level + elapsed * rate.per_minute / _MINUTE) if elapsed > 0 else bucket.level
