"""What a person sees of tenants: limits, what is used of them, how fast they may go on. Words only, no decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from local.screen import say, say_rows, table, text
from shared.core.money import usd


def print_all(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a line for each tenant."""
    shown = table("tenant", "today", "of", "month", "of", "held", "runs", "of", "requests/min", "tokens/min", "left")
    for one in rows:
        limits = one["limits"]
        shown.add_row(
            text(one["tenant"]),
            usd(one["spent_today"]),
            usd(limits["daily_budget"]),
            usd(one["spent_this_month"]),
            usd(limits["monthly_budget"]),
            usd(one["held_today"]),
            str(one["open_runs"]),
            str(limits["max_runs"]),
            f"{limits['requests_per_minute']:,}",
            f"{limits['tokens_per_minute']:,}",
            f"{one['requests_left']:,.0f}",
        )
    stops = [f"stopped {one['stopped']}" if one["stopped"] else "" for one in rows]
    say_rows(shown, [(text(stop, "bold red"),) if stop else () for stop in stops])


def print_one(one: Mapping[str, Any]) -> None:
    """Print all that is known of a tenant."""
    limits = one["limits"]
    say(text(one["tenant"], "bold"), text(f"stopped {one['stopped']}" if one["stopped"] else "", "bold red"))
    day = f"{usd(one['spent_today'])} spent, {usd(one['held_today'])} held"
    month = f"{usd(one['spent_this_month'])} spent, {usd(one['held_this_month'])} held"
    rows = (
        ("today", f"{day} of {usd(limits['daily_budget'])}"),
        ("this month", f"{month} of {usd(limits['monthly_budget'])}"),
        ("a task", f"{usd(limits['max_budget'])} at most"),
        ("runs", f"{one['open_runs']} open of {limits['max_runs']}, {one['waiting_for_money']} wait for money"),
        ("requests", _rate(one["requests_left"], limits["requests_per_minute"], limits["request_burst"])),
        ("tokens", _rate(one["tokens_left"], limits["tokens_per_minute"], limits["token_burst"])),
        ("turned away", f"{one['turned_away']:,} requests that came too fast"),
        ("may use", f"{', '.join(limits['workflows'])}; as {', '.join(limits['priorities'])}"),
        ("more money", "granted by others than who submitted" if limits["four_eyes"] else "granted by any owner"),
        ("data zone", limits["data_zone"] or "any"),
        ("cache", "answers may be kept" if limits["cache"] else "no answer is kept"),
    )
    shown = table("", "")
    for name, said in rows:
        shown.add_row(name, text(said))
    say(shown)


def _rate(left: float, per_minute: int, burst: int) -> str:
    return f"{left:,.0f} left of {burst:,}, {per_minute:,} more a minute"
