"""Where bills, draws, attempts and counts meet: what one of them does to the others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from local.wiring import TENANT
from shared.app import ledger
from shared.app.closing import wind_up
from shared.app.settling import settle
from shared.app.tasks import cancel
from shared.core.draws import DrawAsk
from shared.errors import Transient
from tests.app.test_settling import lost, said
from tests.app.world import SOURCE, World

if TYPE_CHECKING:
    from shared.core.completion import Completion, Prompt
    from shared.core.ledger import Draw
    from shared.core.task import Task


def freed_twice(world: World) -> tuple[Task, Draw]:
    """Bill a call at its worst, free its name, and let a dearer call be made under that name and freed, too."""
    task, drawn = lost(world)
    ledger.release(world.ports, TENANT, drawn.lease, drawn.id)
    at = world.ports.now().timestamp()
    again = DrawAsk(drawn.id, 0, "classify", drawn.deployment, drawn.worst * 2, drawn.input_sha256, at, 30.0)
    ledger.draw(world.ports, TENANT, drawn.lease, again)
    return task, drawn


def test_a_name_that_became_free_twice_holds_up_no_end(world: World) -> None:
    """What the bill says of a call that cost nothing is taken back, whatever was drawn under its name since."""
    task, drawn = freed_twice(world)
    ledger.release(world.ports, TENANT, drawn.lease, drawn.id)
    over = cancel(world.ports, TENANT, task.id, "ann", "enough", source=SOURCE)
    assert over.over
    assert over.spent == world.lease(task).settled


def test_a_sweeper_comes_to_rest_with_such_a_name(world: World) -> None:
    """A lease that closed while that call was out rests once it is freed."""
    task, drawn = freed_twice(world)
    assert ledger.close(world.ports, TENANT, drawn.lease).state == "closing"
    ledger.release(world.ports, TENANT, drawn.lease, drawn.id)
    wind_up(world.ports, world.lease(task), source=SOURCE)
    assert world.load(task).spent == world.lease(task).settled


def test_a_bill_that_changes_meanwhile_hides_no_failure(world: World) -> None:
    """An attempt that fails says so, although an earlier one's call was settled by hand while it was at work."""
    task, drawn = lost(world)
    results = world.worked(task, until="classify")
    failed = world.told(task).count("step.failed")
    sound = world.ports

    class Settled:
        """A model that breaks off while an operator settles the call before."""

        def complete(self, _: Prompt) -> Completion:
            """Settle, and fail."""
            settle(sound, TENANT, task.id, said(drawn, 1), source=SOURCE)
            raise Transient("the stream broke again")

    world.ports = replace(sound, models=Settled())
    with pytest.raises(Transient):
        world.step(task, "classify", results)
    world.ports = sound
    assert world.told(task).count("step.failed") == failed + 1


def test_who_repeats_a_submission_takes_no_count_away(world: World) -> None:
    """How many were turned away is noted with the next task that is new, and not with a repetition."""
    world.submit(key="a")
    world.ports.refusals.too_fast[TENANT] = 7
    world.submit(key="a")
    assert world.ports.refusals.too_fast[TENANT] == 7
    world.submit(key="b")
    assert (world.ports.refusals.too_fast[TENANT], world.ports.ledger.account(TENANT).turned_away) == (0, 7)


def test_tokens_that_are_known_later_are_on_the_bill(world: World) -> None:
    """A correction brings the tokens that nobody knew of."""
    task, drawn = lost(world)
    settle(world.ports, TENANT, task.id, said(drawn, 1), source=SOURCE)
    told = [event.data for event in world.published(task.id) if event.type == "usage.corrected"]
    assert sum(one.tokens_in + one.tokens_out for one in told) == world.load(task).tokens > 0
