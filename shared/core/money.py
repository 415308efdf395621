"""Money in integer micro-USD: the embedded model's price, and how an amount is written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Price:
    """Micro-USD per million tokens."""

    tokens_in: int
    tokens_out: int


# No provider bills the embedded model: its price is an internal charge-back, so that a laptop shows real bookkeeping.
PRICES: dict[str, Price] = {
    "extractive-1": Price(tokens_in=20_000, tokens_out=40_000),
}


def usd(micro_usd: int) -> str:
    """Return an amount of micro-USD as people write it."""
    sign = "-" if micro_usd < 0 else ""
    return f"{sign}${abs(micro_usd) / 1_000_000:,.6f}"
