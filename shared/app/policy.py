"""The policy in force while the fabric runs: read again twice a second at most, and never replaced by a broken one.

Where its text lies is the wiring's to say: a setting, or a file. Every text that was in force stays readable by its
version, and by its prices' version (the first that had these prices), so that each line of a bill leads to what it was
made of: one setting for each different text that people wrote, two for one with new prices.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from shared.core.policy_text import Reading, parse, read
from shared.errors import Conflict, FabricError, NotFound, Permanent, Transient
from shared.ports import Setting, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.core.policy import Policy

EVERY = timedelta(seconds=0.5)
_VERSION = re.compile(r"[0-9a-f]{12}")
NAME, GOOD = "policy", "policy.good"  # as it was written last; as it was in order last


def _nothing(_: Policy) -> None:
    """Keep nothing."""


class Policies:
    """The policy, asked for at each decision.

    `text` returns what operators wrote, None when they never did: then `seed` is in force. `tell` hears once what is
    wrong with a text. `good` is where a process that starts under a broken text finds the last one that was in order,
    and `keep` is told of each that is.
    """

    def __init__(
        self,
        text: Callable[[], str | None],
        seed: Callable[[], Policy],
        now: Callable[[], datetime],
        tell: Callable[[str], None],
        *,
        good: Callable[[], str | None] = lambda: None,
        keep: Callable[[Policy], None] = _nothing,
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
        if not problems:
            problems = self._kept(reading.policy)
        holds = f"version {reading.policy.version} holds"
        self._say(problems and f"not all of the policy is in force as it was written; {holds}: {problems}")
        return reading.policy

    def _kept(self, policy: Policy) -> str:
        """Note a good policy, and return what is wrong when it cannot be noted."""
        try:
            self._keep(policy)
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


def change(settings: Settings, text: str, *, instead_of: int | None = None, now: Policy | None = None) -> Policy:
    """Put a policy in force; Permanent unless all of it is in order, Conflict when somebody else changes it too.

    `instead_of` is the version it was made from; Conflict when another one is written by now. `now` is the one in
    force: it stays readable, also if nobody ever wrote it down.
    """
    policy = parse(text)
    if now is not None:
        file_away(settings, now)
    before = settings.read(NAME).version if instead_of is None else check_unmoved(settings, instead_of)
    settings.write(Setting(NAME, text, before + 1))
    keep(settings, policy)
    return policy


def check_unmoved(settings: Settings, revision: int) -> int:
    """Return the revision; Conflict when the policy was written again since."""
    now = settings.read(NAME).version
    if now != revision:
        raise Conflict(f"the policy was written {now} times by now, not {revision}")
    return now


def keep(settings: Settings, policy: Policy) -> None:
    """Note a policy as the last good one, and file it away."""
    before = settings.read(GOOD)
    if policy.text and before.text != policy.text:
        _write(settings, Setting(GOOD, policy.text, before.version + 1))
    file_away(settings, policy)


def file_away(settings: Settings, policy: Policy) -> None:
    """Keep a policy's text under its versions, for good; one that was made of no text leaves nothing to read."""
    for version in {policy.version, policy.price_version} if policy.text else ():
        if not settings.read(_filed(version)).version:
            _write(settings, Setting(_filed(version), policy.text, 1))


def in_its_version(settings: Settings, version: str, now: Policy) -> str:
    """Return the text of a policy that is or was in force, by its version or its prices'; NotFound for no such one."""
    if version in {now.version, now.price_version} and now.text:
        return now.text
    found = settings.read(_filed(version)) if _VERSION.fullmatch(version) else None
    if found is None or not found.version:
        raise NotFound(f"no policy and no prices of version {version[:80]!r} were ever in force here")
    return found.text


def _filed(version: str) -> str:
    return f"{NAME}.{version}"


def _write(settings: Settings, setting: Setting) -> None:
    """Write a text that anybody else who writes it just now writes as well."""
    try:
        settings.write(setting)
    except Conflict:  # somebody noted theirs, which is as good
        return
