from __future__ import annotations

import json

import pytest

from benchmarks.router import rows
from benchmarks.router_path import DOWN, Desk, policy
from benchmarks.runner import Effort


@pytest.mark.parametrize("as_step", [False, True])
def test_a_call_is_told_and_traced(as_step: bool) -> None:  # noqa: FBT001  a parameter of the test
    """A call leaves its admission, its route with all that were not asked, its price, and three spans."""
    desk = Desk(traced=True, as_step=as_step)
    assert desk.call().answer["label"] == "MIT"
    admitted, routed, metered = map(json.loads, desk.told)
    assert admitted["type"] == "task.admitted"
    assert {one["deployment"] for one in routed["data"]["refused"]} == set(policy().candidates) - {DOWN}
    assert (metered["data"]["deployment"], metered["data"]["line"]) == (DOWN, 1)
    assert metered["data"]["cost_micro_usd"] > 0
    assert desk.hand_on() == (3, 3)


@pytest.mark.parametrize("as_step", [False, True])
def test_a_deployment_that_is_down_is_fallen_back_from(as_step: bool) -> None:  # noqa: FBT001  as above
    """Every one of many calls asks the deployment that is down first, and another one pays."""
    desk = Desk(fall_back=True, as_step=as_step)
    for _ in range(9):
        desk.call()
    told = [json.loads(one) for one in desk.told]
    asked = [(one["data"]["kind"], one["data"]["deployment"] == DOWN) for one in told if one["type"] == "model.routed"]
    assert asked == [("first", True), ("fallback", False)] * 9
    assert desk.hand_on() == (36, 0)


def test_without_peers_the_rows_say_how_to_get_them() -> None:
    """Rows that need another environment are skipped with what to type, and ours are measured all the same."""
    measured = {row.name: row for row in rows(Effort("tiny", repeats=1))}
    assert measured["model call, whole path"].ours
    assert "--peers" in measured["model calls over HTTP, LiteLLM"].note
    assert measured["model calls over HTTP, LiteLLM"].verdict == "skipped"
