"""What every bus must do; each bus's test inherits `BusContract`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import pytest

from shared.core.routes import Route
from shared.errors import Transient
from shared.events.catalog import AnyEvent, parse
from shared.events.ids import derive
from shared.ports import Bus
from tests.contracts.control import make, submitted

CARRIED = (Route.WORK, Route.REVIEWS, Route.RECORDS)


class Wires(Protocol):
    """A bus under test, and what came out at its other end."""

    bus: Bus

    def received(self, route: Route) -> Sequence[str]:
        """Return the bodies that arrived on a route, in order, each once."""
        ...

    def cut(self) -> AbstractContextManager[None]:
        """Make every hand-over inside fail for a passing reason."""
        ...


def events(entity: str = "package-a", *, count: int = 2) -> list[AnyEvent]:
    """Return events of an entity."""
    pairs = (
        submitted(make(f"{derive(entity)}-{n}", entity=entity), after=2 * n).events for n in range((count + 1) // 2)
    )
    return [event for pair in pairs for event in pair][:count]


class BusContract:
    #: The routes it carries; whoever carries fewer also says so in the fixture `route`.
    carried: tuple[Route, ...] = CARRIED

    @pytest.fixture(params=CARRIED)
    def route(self, request: pytest.FixtureRequest) -> Route:
        """Each of the routes it carries."""
        found: Route = request.param
        return found

    def test_an_event_arrives_as_it_was(self, wires: Wires, route: Route) -> None:
        """What is published on a route arrives there unchanged, and nowhere else."""
        said = events("ä: 文書\uffff")
        wires.bus.publish([(route, event) for event in said])
        assert [parse(body) for body in wires.received(route)] == said
        assert [list(wires.received(other)) for other in self.carried if other is not route] == [
            [] for _ in self.carried[1:]
        ]

    def test_an_entitys_events_stay_in_order(self, wires: Wires) -> None:
        """More events than any batch holds arrive in each entity's order."""
        first, second = events("package-a", count=24), events("package-b", count=24)
        mixed = [event for pair in zip(first, second, strict=True) for event in pair]
        wires.bus.publish([(Route.RECORDS, event) for event in mixed])
        arrived = [parse(body) for body in wires.received(Route.RECORDS)]
        for entity in ("package-a", "package-b"):
            assert [event.sequence for event in arrived if event.entity == entity] == list(range(1, 25))

    def test_publishing_nothing_is_nothing(self, wires: Wires) -> None:
        """A decision without facts publishes nothing and does not fail."""
        wires.bus.publish([])
        assert [list(wires.received(route)) for route in self.carried] == [[] for _ in self.carried]

    def test_a_cut_wire_asks_for_another_attempt(self, wires: Wires, route: Route) -> None:
        """A hand-over that may not have happened is Transient, and can be made afterwards."""
        said = events()
        with wires.cut(), pytest.raises(Transient):
            wires.bus.publish([(route, event) for event in said])
        wires.bus.publish([(route, event) for event in said])
        assert [parse(body) for body in wires.received(route)] == said
