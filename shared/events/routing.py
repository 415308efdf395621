"""What is said about the choice of a model: who could have answered, who was asked, and why not the others."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.events.envelope import Fact
from shared.events.ids import MicroUsd, Position


class Refused(BaseModel):
    """A deployment that was not asked, and why."""

    model_config = ConfigDict(frozen=True, strict=True)

    deployment: str
    reason: str


class ModelRouted(Fact):
    """A call was sent to a deployment.

    `attempt` counts the deployments asked for one answer; `after` is what went wrong with the one before.
    """

    type: ClassVar[str] = "model.routed"

    document: Position
    step: str
    deployment: str
    reason: str
    refused: tuple[Refused, ...] = ()
    attempt: int = Field(default=1, ge=1)
    kind: Literal["first", "fallback", "retry", "repair", "hedge"] = "first"
    after: str = ""
    price_version: str
    worst_micro_usd: MicroUsd
    left_micro_usd: MicroUsd
