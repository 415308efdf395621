"""The documents an engine is heard to work at, whoever submitted them; a review counts its own alone."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local.review import OUTCOMES, PARKING, note_parking
from local.told import added

if TYPE_CHECKING:
    from local.corpus import Outcome
    from local.sqlite.broker import Message


@dataclass
class Backlog:
    """How far each document is that was heard of, and what was spent meanwhile."""

    spent: int = 0
    _state: dict[tuple[str, int], Outcome] = field(default_factory=dict)

    def heard(self, message: Message) -> None:
        """Count what the event says of its document, if it is about one."""
        event = json.loads(message.body)
        if event["type"] in PARKING:
            note_parking(self._state, event)
        position = event["data"].get("document")
        if position is None:
            return
        document = (event["taskid"], position)
        self._state[document] = OUTCOMES.get(event["type"]) or self._state.get(document, "queued")
        if event["type"] in {"usage.metered", "usage.corrected"}:
            self.spent += added(event["data"])

    @staticmethod
    def follow() -> bool:
        """Return False: what another engine does is not heard here, so nobody can tell what is left."""
        return False

    @property
    def tally(self) -> Counter[Outcome]:
        """How many documents are how far."""
        return Counter(self._state.values())
