"""What is said about the record itself."""

from __future__ import annotations

from typing import ClassVar

from shared.events.envelope import Fact


class RecordSkipped(Fact):
    """A person let an entity's record go on without the event of this number.

    `skipped` is the text that was parked under it, `parked_because` why it was; both stay readable here.
    """

    type: ClassVar[str] = "record.skipped"

    by: str
    reason: str
    parked_because: str
    skipped: str
