"""Before the fabric's door: who is refused for a passing reason waits for as long as it was told, and asks again.

Knows documents, refusals and what time it is; must not know who carries a document to which door.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from shared.errors import Throttled

if TYPE_CHECKING:
    from local.corpus import Item, Outcome

PATIENCE_SECONDS = 60.0
SHORT_OF_MONEY = "quota-used-up"
_PASSING = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_SECONDS = "retry_after"  # where a client keeps what HTTP says in a header
_UNSAID = 1.0
_BEFORE = datetime.min.replace(tzinfo=UTC)
# What a run gives back at its end (its place, tokens and money it did not use), whatever was guessed of when that is.
_GIVEN_BACK = frozenset({"runs", "tokens", "money", SHORT_OF_MONEY})


class Clock(Protocol):
    """What time it is, and waiting."""

    def now(self) -> datetime:
        """Return the time."""
        ...

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        ...


def with_patience(answer: dict[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
    """Return a door's answer with the seconds of its Retry-After, which must not be lost with the other headers."""
    said = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    return answer | {_SECONDS: float(said)} if said.isdecimal() else answer


def patience_of(answer: Mapping[str, Any]) -> float | None:
    """Return for how many seconds a refusal asks to wait, None when it does not say."""
    found: float | None = answer.get(_SECONDS)
    return found


def held_up(status: int, answer: Mapping[str, Any]) -> Throttled | None:
    """Return the refusal that passes, None for any other answer."""
    seconds = patience_of(answer)
    if status < HTTPStatus.BAD_REQUEST or (seconds is None and status not in _PASSING):
        return None
    detail, code = str(answer.get("detail") or f"answered {status}"), str(answer.get("code", ""))
    return Throttled(detail, retry_after=_UNSAID if seconds is None else seconds, code=code)


@dataclass
class Line:
    """Documents in line, an entity's together.

    All are one tenant's and of one kind, so what holds up the first holds up the others: these do not ask.
    """

    clock: Clock
    held: Throttled | None = None
    due: datetime = _BEFORE
    _groups: deque[list[Item]] = field(default_factory=deque)

    def __len__(self) -> int:
        """How many documents are in line."""
        return sum(map(len, self._groups))

    def join(self, groups: Iterable[list[Item]]) -> None:
        """Stand behind who is there."""
        self._groups.extend(groups)

    def advance(self, admit: Callable[[list[Item]], None]) -> bool:
        """Let in as many as may come; return whether any did. `admit` lets a group in, or raises Throttled."""
        self.held, before = None, len(self._groups)
        while self._groups:
            try:
                admit(self._groups[0])
            except Throttled as refusal:
                self.held = refusal
                self.due = self.clock.now() + timedelta(seconds=refusal.retry_after)
                break
            self._groups.popleft()
        return len(self._groups) < before

    def sift(self, is_known: Callable[[list[Item]], bool], admit: Callable[[list[Item]], None]) -> None:
        """Let those in who were here before: they take nothing from anybody, wherever they stand."""
        still: deque[list[Item]] = deque()
        while self._groups:
            group = self._groups.popleft()
            if not (is_known(group) and self._is_in(group, admit)):
                still.append(group)
        self._groups = still

    @staticmethod
    def _is_in(group: list[Item], admit: Callable[[list[Item]], None]) -> bool:
        try:
            admit(group)
        except Throttled:
            return False
        return True

    def outside(self) -> Iterator[Item]:
        """Yield the documents that are not let in, and why: parked, as nothing of them failed."""
        for group in self._groups:
            for item in group:
                yield item if item.status == "failed" else replace(item, status="parked", reason=self._why)

    @property
    def _why(self) -> str:
        return f"not let in yet: {self.held}"


class Entering(Protocol):
    """A review whose documents may have to wait outside."""

    @property
    def line(self) -> Line:
        """Those that do."""
        ...

    def advance(self) -> bool:
        """Submit as many of them as may come; return whether any did."""
        ...

    @property
    def tally(self) -> Counter[Outcome]:
        """How many documents are how far."""
        ...


def let_all_in(
    review: Entering,
    work: Callable[[], object],
    *,
    patience: float = PATIENCE_SECONDS,
    told: Callable[[Throttled, int, float], None] = lambda _refusal, _left, _seconds: None,
) -> None:
    """Work, and let in who was held up, until all are in or nothing has moved for `patience` seconds.

    Nobody asks earlier than it was told to, but for what its own runs have given back meanwhile. `told` hears what
    holds up how many for how many seconds.
    """
    line, clock = review.line, review.line.clock
    moved = clock.now()
    before = review.tally
    work()
    while line.held is not None:
        if ended := review.tally != before:
            moved = clock.now()
        at_once = ended and line.held.code in _GIVEN_BACK
        wait = 0.0 if at_once else max((line.due - clock.now()).total_seconds(), 0.0)
        if clock.now() + timedelta(seconds=wait) > moved + timedelta(seconds=patience):
            return
        told(line.held, len(line), wait)
        clock.wait(wait)
        if review.advance():
            moved = clock.now()
        before = review.tally
        work()
