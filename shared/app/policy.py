"""The policy in force while the fabric runs: read again twice a second at most, and never replaced by a broken one.

Where its text lies is the wiring's to say: a setting, or a file.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from shared.core.policy_text import Reading, parse, read
from shared.errors import Conflict, FabricError, Permanent, Transient
from shared.ports import Setting, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.core.policy import Policy

EVERY = timedelta(seconds=0.5)
NAME, GOOD = "policy", "policy.good"  # as it was written last; as it was in order last


def _nothing(_: str) -> None:
    """Keep nothing."""


class Policies:
    """The policy, asked for at each decision.

    `text` returns what operators wrote, None when they never did: then `seed` is in force. `tell` hears once what is
    wrong with a text. `good` is where a process that starts under a broken text finds the last one that was in order,
    and `keep` is told of each such text.
    """

    def __init__(
        self,
        text: Callable[[], str | None],
        seed: Callable[[], Policy],
        now: Callable[[], datetime],
        tell: Callable[[str], None],
        *,
        good: Callable[[], str | None] = lambda: None,
        keep: Callable[[str], None] = _nothing,
    ) -> None:
        self._text, self._seed, self._now, self._tell = text, seed, now, tell
        self._good, self._keep = good, keep
        self._last: Policy | None = None
        self._seen: str | None = None
        self._checked = datetime.min.replace(tzinfo=UTC)
        self._told = ""

    def __call__(self) -> Policy:
        """Return the policy in force; Transient when there is none and none can be read."""
        at = self._now()
        last = self._last
        if last is not None and abs(at - self._checked) < EVERY:  # a clock may be set back, too
            return last
        self._checked = at
        return self._look(last)

    def _look(self, last: Policy | None) -> Policy:
        try:
            text = self._text()
        except FabricError as error:
            if last is None:
                raise
            self._say(f"the policy cannot be read, version {last.version} stays in force: {error}")
            return last
        if last is not None and text == self._seen:
            return last
        reading = Reading(self._seed()) if text is None else read(text, self._before)
        self._seen, self._last = text, reading.policy
        problems = "; ".join(reading.problems)
        if text is not None and not problems:
            problems = self._kept(text)
        self._say(problems and f"not all of the policy is in force as it was written: {problems}")
        return reading.policy

    def _kept(self, text: str) -> str:
        """Note a good text, and return what is wrong when it cannot be noted."""
        try:
            self._keep(text)
        except FabricError as error:
            return f"it cannot be noted as the last good one: {error}"
        return ""

    def _before(self) -> Policy | None:
        """Return what was in force before, in this process or an earlier one."""
        if self._last is not None:
            return self._last
        text = self._good()
        if text is None:
            return self._seed()
        try:
            return parse(text)
        except Permanent as broken:
            raise Transient(f"neither the policy nor the last good one is in order: {broken}") from broken

    def _say(self, problem: str) -> None:
        if problem and problem != self._told:
            self._tell(problem)
        self._told = problem


def stored(
    settings: Settings, seed: Callable[[], Policy], now: Callable[[], datetime], tell: Callable[[str], None]
) -> Policies:
    """Return the policy that operators keep in the settings."""
    return Policies(lambda: written(settings, NAME), seed, now, tell, good=lambda: written(settings, GOOD))


def written(settings: Settings, name: str) -> str | None:
    """Return a setting's text, None when nobody ever wrote it: a blank one was written."""
    found = settings.read(name)
    return found.text if found.version else None


def change(settings: Settings, text: str, *, instead_of: int | None = None) -> Policy:
    """Put a policy in force; Permanent unless all of it is in order, Conflict when somebody else changes it too.

    `instead_of` is the version it was made from; Conflict when another one is written by now.
    """
    policy = parse(text)
    before = settings.read(NAME).version if instead_of is None else check_unmoved(settings, instead_of)
    settings.write(Setting(NAME, text, before + 1))
    keep(settings, text)
    return policy


def check_unmoved(settings: Settings, revision: int) -> int:
    """Return the revision; Conflict when the policy was written again since."""
    now = settings.read(NAME).version
    if now != revision:
        raise Conflict(f"the policy was written {now} times by now, not {revision}")
    return now


def keep(settings: Settings, text: str) -> None:
    """Note a text as the last good one."""
    before = settings.read(GOOD)
    if before.text == text:
        return
    try:
        settings.write(Setting(GOOD, text, before.version + 1))
    except Conflict:  # somebody noted theirs, which is as good
        return
