"""A hand-over queue and where it leads: what comes out of it goes to a neighbour, now or later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aws.adapters.verdicts import verdicts

if TYPE_CHECKING:
    from shared.core.routes import Route
    from shared.events.catalog import AnyEvent
    from shared.ports import Bus


@dataclass(frozen=True, slots=True)
class Handover:
    """One queue, its route, and the bus that goes on from there."""

    sqs: Any  # boto3 makes its clients' types at run time
    url: str
    route: Route
    bus: Bus

    @property
    def queue(self) -> str:
        """The queue's name, which its ARN ends with, too."""
        return self.url.rpartition("/")[2]

    def hand_over(self, event: AnyEvent) -> None:
        """Hand one event over; Transient when it may not have arrived."""
        self.bus.publish([(self.route, event)])

    def postpone(self, receipt: str, seconds: int) -> None:
        """Hide a message that could not be handed over; the rest of its group waits with it."""
        with verdicts("postpone"):
            self.sqs.change_message_visibility(QueueUrl=self.url, ReceiptHandle=receipt, VisibilityTimeout=seconds)
