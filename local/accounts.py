"""What a person sees of tenants: limits, what is used of them, how fast they may go on. Words only, no decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from local.screen import say, say_rows, table, text
from shared.core.buckets import level
from shared.core.ledger import Book, windows_at
from shared.core.story import usd
from shared.core.switches import stopped

if TYPE_CHECKING:
    from local.controls import Controls
    from shared.core.policy import TenantPolicy


def facts(mine: Controls, tenant: str, policy: TenantPolicy) -> dict[str, Any]:
    """Return what is known of a tenant, as plain values; amounts in micro-USD."""
    from shared.app.switches import switched  # noqa: PLC0415  only these verbs need it

    account, now = mine.ledger.account(tenant), mine.now().timestamp()
    day, month = (account.books.get(window, Book()) for window in windows_at(now))
    switch = next((stopped((one,), tenant, flow) for one in switched(mine) for flow in policy.workflows), None)
    return {
        "tenant": tenant,
        "stopped": f"by {switch.by}: {switch.reason}" if switch else "",
        "spent_today": day.settled,
        "held_today": day.open,
        "spent_this_month": month.settled,
        "held_this_month": month.open,
        "open_runs": account.runs,
        "requests_left": round(level(account.requests, policy.requests, now), 2),
        "tokens_left": round(level(account.tokens, policy.tokens, now)),
        "turned_away": account.turned_away,
        "waiting_for_money": len(account.waits),
        "limits": policy.model_dump(mode="json"),
    }


def print_all(rows: Sequence[dict[str, Any]]) -> None:
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


def print_one(one: dict[str, Any]) -> None:
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
        ("data zone", limits["data_zone"] or "any"),
        ("cache", "answers may be kept" if limits["cache"] else "no answer is kept"),
    )
    shown = table("", "")
    for name, said in rows:
        shown.add_row(name, text(said))
    say(shown)


def _rate(left: float, per_minute: int, burst: int) -> str:
    return f"{left:,.0f} left of {burst:,}, {per_minute:,} more a minute"
