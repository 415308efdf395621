"""What is said about the choice of a model: who could have answered, who was asked, and why not the others."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.events.attributes import Moment
from shared.events.envelope import Fact
from shared.events.ids import MicroUsd, Position


class Refused(BaseModel):
    """A deployment that was not asked, and why."""

    model_config = ConfigDict(frozen=True, strict=True)

    deployment: str
    reason: str


class ModelRouted(Fact):
    """A call was sent to a deployment.

    `attempt` counts the deployments asked for one answer; `after` is what went wrong with the one before. `refused` are
    those that were not asked, the first of them where they are many; `more_refused` counts the others. `call` is the
    draw that it was paid from, `at` when, `run` and `cloud` where it was made: after a crash somebody else tells of it.
    """

    type: ClassVar[str] = "model.routed"

    document: Position
    step: str
    deployment: str
    reason: str
    refused: tuple[Refused, ...] = ()
    more_refused: int = Field(default=0, ge=0)
    attempt: int = Field(default=1, ge=1)
    kind: Literal["first", "fallback", "retry", "repair", "hedge"] = "first"
    after: str = ""
    price_version: str
    worst_micro_usd: MicroUsd
    left_micro_usd: MicroUsd
    call: str = ""
    at: Moment | None = None
    run: int = Field(default=0, ge=0)
    cloud: str = ""


class ModelUnrouted(Fact):
    """Nobody answered, and nobody is left to be asked now: of each deployment why, or what came of asking it."""

    type: ClassVar[str] = "model.unrouted"

    document: Position
    step: str
    reason: str
    refused: tuple[Refused, ...] = ()
    more_refused: int = Field(default=0, ge=0)
    price_version: str
    left_micro_usd: MicroUsd
