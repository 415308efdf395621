"""Why calls were made, as it lies beside their money."""

from __future__ import annotations

import pytest

from shared.core import notes
from shared.core.routing import Candidate, Pick, Refusal, Route, routes
from shared.events.routing import Refused
from tests.core.given import NOON, routed


def route(name: str, price: int, *, provisioned: bool = False) -> Route:
    """Return a deployment at that price."""
    kind = "provisioned" if provisioned else "on-demand"
    one = {"name": name, "provider": "openai", "model": "m", "kind": kind, "tokens_in": price, "tokens_out": price}
    return routes([Candidate.model_validate(one)])[0]


CHEAP, DEAR, RESERVED = route("cheap", 10**6), route("dear", 10**7), route("reserved", 10**6, provisioned=True)


@pytest.mark.parametrize(
    ("chosen", "other", "why"),
    [
        (Pick(CHEAP, ""), Pick(DEAR, ""), "dearer: at most $0.001000"),
        (Pick(CHEAP, ""), Pick(CHEAP, "", late=True), "slower than asked for"),
        (Pick(RESERVED, ""), Pick(CHEAP, ""), "not needed: there is provisioned capacity"),
        (Pick(DEAR, ""), Pick(CHEAP, "", success=0.2), "fails more often"),
        (Pick(CHEAP, ""), Pick(CHEAP, ""), "no cheaper"),
    ],
    ids=["price", "speed", "capacity", "success", "name"],
)
def test_who_stands_behind_hears_why(chosen: Pick, other: Pick, why: str) -> None:
    """The reason is the first that the order goes by: speed, capacity that is paid for, price, success."""
    assert notes.behind(chosen, other, lambda one: one.cost(50, 50)) == why


def test_who_is_busy_hears_for_how_long() -> None:
    """A wait is told in whole seconds, rounded up; what no waiting changes has none."""
    assert notes.refusal(Refusal("a", "breaker open", 4.2, "busy")) == "breaker open for 5 s"
    assert notes.refusal(Refusal("a", "cannot classify")) == "cannot classify"


def test_what_is_kept_is_read() -> None:
    """The choices come back in their order, the last one with what its lease had left."""
    first, last = routed(), routed(1).model_copy(update={"at": NOON, "call": "d1", "run": 2, "cloud": "aws"})
    assert notes.read(notes.kept([first, last]), 7) == (first, last.model_copy(update={"left_micro_usd": 7}))
    assert notes.read("", 7) == ()


def test_long_notes_keep_the_call_and_its_own_reasons() -> None:
    """Where many came to nothing, those are kept without whom they left, who are counted; the draw's own is whole."""
    many = tuple(Refused(deployment=f"model-{number}", reason="x" * 200) for number in range(40))
    long = routed().model_copy(update={"refused": many})
    text = notes.kept([long] * 12)
    *before, own = notes.read(text, 7)
    assert len(text) < 16_000
    assert {(one.refused, one.more_refused) for one in before} == {((), 40)}
    assert own.refused == many


def test_a_reason_is_cut() -> None:
    """What somebody else chose to say cannot make an event too large."""
    found = notes.named([("a", "x" * 10_000)])
    assert (len(found.refused[0].reason), found.more) == (200, 0)
