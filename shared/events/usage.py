"""What is said about money: the facts a bill is made of."""

from __future__ import annotations

from typing import ClassVar

from shared.events.envelope import Fact
from shared.events.ids import MicroUsd, Position, Tokens


class UsageMetered(Fact):
    """Tokens one step used on one model, and their price in millionths of a US dollar."""

    type: ClassVar[str] = "usage.metered"

    document: Position
    step: str
    model: str
    tokens_in: Tokens
    tokens_out: Tokens
    cost_micro_usd: MicroUsd
    price_version: str
