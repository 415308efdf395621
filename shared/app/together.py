"""What one process learned of a provider that takes no calls, told to the others: they wait as if it had been them.

One setting says which deployments are shut and until when. It is written when one is shut that was not, never by each
call, and read twice a second at most. Whoever used the deployment begins slowly from what it measured, whoever did not
only waits, each a bit longer by its seat. That it cannot be read or written costs a refusal each, as if it were not
there. What a process measures itself (speed, quota, breaker) stays its own: that is about its way to the provider.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from shared.core.shut import is_news, shut_in, text_of
from shared.errors import Conflict, FabricError
from shared.ports import Setting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from shared.app.learned import Learned
    from shared.core.gate import Gate
    from shared.core.health import Health, Outcome
    from shared.core.routing import Route
    from shared.ports import Settings

_LOG = logging.getLogger(__name__)
NAME = "providers.shut"
_RACES = 4


class Together:
    """The `Learned` port: what this process has learned, and what the others say."""

    def __init__(self, mine: Learned, settings: Settings, now: Callable[[], datetime]) -> None:
        self._mine, self._settings, self._now = mine, settings, now
        self._heard = ""

    @property
    def health(self) -> Mapping[str, Health]:
        """Return how the deployments are that somebody asked before."""
        self._hear()
        return self._mine.health

    def gate(self, deployment: str) -> Gate:
        """Return a deployment's gate as it is."""
        self._hear()
        return self._mine.gate(deployment)

    def enter(self, route: Route, now: float, rank: int) -> float:
        """Let a call through the deployment's gate and return 0, or the seconds to wait."""
        self._hear()
        return self._mine.enter(route, now, rank)

    def leave(self, route: Route, outcome: Outcome, now: float) -> None:
        """Learn from a call's end, and let the others know of a deployment that takes no more."""
        self._mine.leave(route, outcome, now)
        if outcome.end == "throttled" or outcome.retry_after:
            self._say(route.name, now + outcome.retry_after, now)

    def _hear(self) -> None:
        try:
            text = self._settings.read(NAME).text
        except FabricError as down:
            _LOG.warning("what others learned of their providers is not read: %s", down)
            return
        if text == self._heard:
            return
        self._heard, now = text, self._now().timestamp()
        for deployment, until in shut_in(text).items():
            self._mine.hear(deployment, until, now)

    def _say(self, deployment: str, until: float, now: float) -> None:
        try:
            for _ in range(_RACES):
                found = self._settings.read(NAME)
                known = shut_in(found.text)
                if not is_news(known, deployment, until, now):
                    return
                try:
                    self._settings.write(Setting(NAME, text_of(known, deployment, until, now), found.version + 1))
                except Conflict:  # somebody else had news; perhaps the same
                    continue
                return
        except FabricError as down:
            _LOG.warning("what was learned of %s is not told: %s", deployment, down)
