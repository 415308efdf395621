"""Money in integer micro-USD: prices per model, what a call cost, what it can cost at most."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import Permanent

if TYPE_CHECKING:
    from shared.core.completion import Usage

PRICE_VERSION = "2026-11"
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """Micro-USD per million tokens."""

    tokens_in: int
    tokens_out: int


# No provider bills the embedded model: its price is an internal charge-back, so that a laptop shows real bookkeeping.
PRICES: dict[str, Price] = {
    "extractive-1": Price(tokens_in=20_000, tokens_out=40_000),
}


def cost(usage: Usage) -> int:
    """Return the price of one call, rounded up; Permanent for a model without a price."""
    price = PRICES.get(usage.model)
    if price is None:
        raise Permanent(f"no price for model {usage.model!r}; known: {', '.join(PRICES)}", code="unknown-price")
    return _ceil(usage.tokens_in * price.tokens_in + usage.tokens_out * price.tokens_out)


def total(usages: Iterable[Usage]) -> int:
    """Return the price of several calls."""
    return sum(map(cost, usages))


def usd(micro_usd: int) -> str:
    """Return an amount of micro-USD as people write it."""
    sign = "-" if micro_usd < 0 else ""
    return f"{sign}${abs(micro_usd) / 1_000_000:,.6f}"


def _ceil(micro_usd_millions: int) -> int:
    return -(-micro_usd_millions // _MILLION)
