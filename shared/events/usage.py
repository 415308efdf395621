"""What is said about money: the facts a bill is made of."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from shared.events.envelope import Fact
from shared.events.ids import MicroUsd, Position, Tokens


class UsageMetered(Fact):
    """Tokens one call used on one model, and their price in millionths of a US dollar.

    `line` counts a task's calls from 1 without a gap, so that a bill can be checked for missing lines. `outcome` says
    what the money was paid for: an answer, a repaired answer, an attempt without one, a hedge, or a call whose end
    nobody knows, charged at its worst case. `call` is the draw it was paid from, as the choice of the model names it;
    `cloud` is where it was made, and `day` the one of its tenant's budget that it counts in.
    """

    type: ClassVar[str] = "usage.metered"

    document: Position
    step: str
    model: str
    tokens_in: Tokens
    tokens_out: Tokens
    cost_micro_usd: MicroUsd
    price_version: str
    line: int = Field(default=0, ge=0)
    deployment: str = ""
    outcome: Literal["answered", "repaired", "failed", "hedged", "unknown"] = "answered"
    workflow: str = ""
    cloud: str = ""
    call: str = ""
    day: str = ""


class UsageSaved(Fact):
    """A call that needed no provider: an equal one was answered before, for this tenant, by that deployment.

    `by` the cache, or by the task's own journal: what it paid for itself is not paid again. With a `similarity` the
    text was not equal to the earlier one, but so similar to it. `day` is the one of the call that was not made.
    """

    type: ClassVar[str] = "usage.saved"

    document: Position
    step: str
    model: str
    saved_micro_usd: MicroUsd
    by: Literal["cache", "journal"]
    deployment: str = ""
    day: str = ""
    price_version: str = ""
    left_micro_usd: MicroUsd | None = None
    workflow: str = ""
    cloud: str = ""
    similarity: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)


class UsageCorrected(Fact):
    """What a call of unknown outcome really cost, found later; it replaces the amount of its line.

    The tokens are those that nobody knew of before. `by` and `reason` say who settled it by hand, and why; they are
    empty when the call's own end was found.
    """

    type: ClassVar[str] = "usage.corrected"

    document: Position
    step: str
    line: int = Field(ge=1)
    was_micro_usd: MicroUsd
    cost_micro_usd: MicroUsd
    tokens_in: Tokens = 0
    tokens_out: Tokens = 0
    model: str = ""
    deployment: str = ""
    workflow: str = ""
    cloud: str = ""
    call: str = ""
    day: str = ""
    by: str = Field(default="", max_length=200)
    reason: str = Field(default="", max_length=500)
