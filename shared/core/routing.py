"""Who should answer a question: candidates as data, what was learned about each, and the order to ask them in.

Pure: time is an argument, in seconds since the epoch, and the same facts always give the same order. A decision takes
microseconds, so that what is decided with are tuples; candidates are models because people write them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from shared.core.health import WELL, Health, against
from shared.core.money import PRICES, usd

Provider = Literal["extractive", "bedrock", "azure-openai", "gemini", "openai", "smollm"]
Kind = Literal["provisioned", "on-demand"]
EMBEDDED = "extractive-1"
ANYWHERE = "*"  # the data zone of what never leaves this process
_ENOUGH = 20  # answers, before a measured latency counts more than a promised one
_REMEMBERED = 300.0  # seconds
_HOPELESS = 0.01
_MILLION = 1_000_000
_PROVISIONED, _NEXT, _LATE = "provisioned capacity", "next in cost", ", slower than asked for"

_Count = Annotated[int, Field(strict=True, gt=0)]
_Price = Annotated[int, Field(strict=True, ge=0, le=10**12)]
_Share = Annotated[float, Field(strict=True, ge=0, le=1)]
_Seconds = Annotated[float, Field(strict=True, gt=0, le=900, allow_inf_nan=False)]


class Candidate(BaseModel):
    """A deployment that may be asked. Prices are micro-USD per million tokens.

    `credential` is the NAME of an environment variable, never a secret; `abilities` are purposes and `json`;
    `quality` is a figure per purpose, 1 where none is given; `context` counts tokens in and out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")
    provider: Provider
    model: str = Field(min_length=1, max_length=200)
    region: str = Field(default="", max_length=64)
    kind: Kind = "on-demand"
    url: str = Field(
        default="", max_length=500, pattern=r"^(https://[^@\\\s]+|http://127\.0\.0\.1(:[0-9]{1,5})?(/[^@\\\s]*)?|)$"
    )
    credential: str = Field(default="", pattern=r"^([A-Z][A-Z0-9_]*)?$")
    context: _Count = 128_000
    tokens_in: _Price
    tokens_out: _Price
    abilities: tuple[str, ...] = ("classify", "summarise", "json")
    data_zone: str = Field(default="", max_length=32)
    quality: dict[str, _Share] = {}
    p50_ms: _Count = 1_000
    p95_ms: _Count = 4_000
    requests_per_minute: _Count | None = None
    tokens_per_minute: _Count | None = None
    timeout: _Seconds = 30.0
    idle_timeout: _Seconds = 10.0


def embedded() -> Candidate:
    """Return the model that is always there: no network, no limit, any data zone."""
    price = PRICES[EMBEDDED]
    return Candidate(
        name=EMBEDDED,
        provider="extractive",
        model=EMBEDDED,
        context=10_000_000,
        tokens_in=price.tokens_in,
        tokens_out=price.tokens_out,
        data_zone=ANYWHERE,
        p50_ms=20,
        p95_ms=200,
    )


class Route(NamedTuple):
    """A candidate as decisions read it. Milliseconds, micro-USD per million tokens."""

    name: str
    model: str
    provisioned: bool
    context: int
    price_in: int
    price_out: int
    abilities: frozenset[str]
    zone: str
    quality: Mapping[str, float]
    p95: float
    timeout: float
    per_second: float  # calls, 0 for no known limit
    embedded: bool  # counts its own tokens; asked again, it says the same again
    provider: str = ""

    def cost(self, tokens_in: int, tokens_out: int) -> int:
        """Return the price of so many tokens, rounded up."""
        return -(-(tokens_in * self.price_in + tokens_out * self.price_out) // _MILLION)


def routes(candidates: Iterable[Candidate]) -> tuple[Route, ...]:
    """Turn the policy's candidates into what decisions read; done once for a policy."""
    return tuple(
        Route(
            name=one.name,
            model=one.model,
            provisioned=one.kind == "provisioned",
            context=one.context,
            price_in=one.tokens_in,
            price_out=one.tokens_out,
            abilities=frozenset(one.abilities),
            zone=one.data_zone,
            quality=one.quality,
            p95=float(one.p95_ms),
            timeout=one.timeout,
            per_second=(one.requests_per_minute or 0) / 60,
            embedded=one.provider == "extractive",
            provider=one.provider,
        )
        for one in candidates
    )


class Ask(NamedTuple):
    """What an answer must be like. `left` is the budget in micro-USD.

    `text_in` is what the embedded model will bill for reading the prompt; for every other, `tokens_in` is what it will
    take of context and quota, more or less, and `most_in` what can be billed for it at most.
    `sla_ms` of 0 asks for no speed; `hard` refuses what is slower instead of asking it last.
    """

    purpose: str
    text_in: int
    tokens_in: int
    most_in: int
    most_out: int
    left: int
    needs: frozenset[str] = frozenset()
    sla_ms: float = 0.0
    hard: bool = False
    quality: float = 0.0
    zone: str = ""


class Pick(NamedTuple):
    """A deployment to ask, and why it stands where it stands; a `late` one is slower than asked for.

    `success` is the share of its calls that were answered lately.
    """

    route: Route
    reason: str
    success: float = 1.0
    late: bool = False


class Refusal(NamedTuple):
    """A deployment not to ask, and why; `wait` is the seconds until that may be different, 0 for never."""

    deployment: str
    reason: str
    wait: float = 0.0
    code: Literal["unfit", "slow", "budget", "busy"] = "unfit"


class Choice(NamedTuple):
    """Whom to ask, in this order, and whom not."""

    order: tuple[Pick, ...]
    refused: tuple[Refusal, ...]


def decide(known: tuple[Route, ...], ask: Ask, health: Mapping[str, Health], now: float) -> Choice:
    """Rank: what is fast enough before what is not, provisioned capacity before on-demand, then by cost.

    What fails now and then costs more than its price; equal ones stand in the order of their names.
    """
    ranked = []
    refused: list[Refusal] = []
    spilled = False
    purpose, text_in, tokens_in, most_in, most_out, left, needs, sla, hard, floor, zone = ask
    left *= _MILLION
    for route in known:
        name, _, provisioned, context, price_in, price_out, able, there, quality, p95, _, _, embedded, _ = route
        reads, bills = (text_in, text_in) if embedded else (tokens_in, most_in)
        if (
            (purpose not in able or not needs <= able)
            or (zone and there not in (zone, ANYWHERE))
            or (floor and quality.get(purpose, 1.0) < floor)
            or reads + most_out > context
            or bills * price_in + most_out * price_out > left
        ):
            refused.append(_unfit(route, ask))
            continue
        state = health.get(name, WELL)
        if state is not WELL:
            why, wait = against(state, reads + most_out, now)
            if why:
                refused.append(Refusal(name, why, wait, "busy"))
                spilled = spilled or provisioned
                continue
        late = sla > 0 and (state.p95 if _measured(state, now) else p95) > sla
        if late and hard:
            refused.append(Refusal(name, f"slower than {sla:.0f} ms", max(0.0, state.seen + _REMEMBERED - now), "slow"))
            continue
        price = (reads * price_in + most_out * price_out) / (state.success + _HOPELESS)
        ranked.append((late, not provisioned, price, name, route, state.success))
    ranked.sort()
    return Choice(tuple(_picks(ranked, spilled=spilled)), tuple(refused))


def _measured(state: Health, now: float) -> bool:
    """Tell whether what was measured counts: what was slow long ago gets another chance."""
    return state.answered >= _ENOUGH and now - state.seen < _REMEMBERED


def _unfit(route: Route, ask: Ask) -> Refusal:
    """Say what no waiting will change."""
    name, read = route.name, ask.text_in if route.embedded else ask.tokens_in
    if ask.purpose not in route.abilities:
        return Refusal(name, f"cannot {ask.purpose}")
    if not ask.needs <= route.abilities:
        return Refusal(name, f"lacks {', '.join(sorted(ask.needs - route.abilities))}")
    if ask.zone and route.zone not in {ask.zone, ANYWHERE}:
        return Refusal(name, f"in data zone {route.zone or 'unknown'}, not {ask.zone}")
    if route.quality.get(ask.purpose, 1.0) < ask.quality:
        return Refusal(name, f"quality {route.quality[ask.purpose]:g} is below {ask.quality:g}")
    if read + ask.most_out > route.context:
        return Refusal(name, f"a context of {route.context} tokens is too small for {read + ask.most_out}")
    worst = route.cost(ask.text_in if route.embedded else ask.most_in, ask.most_out)
    return Refusal(name, f"may cost {usd(worst)}, {usd(ask.left)} are left", 0.0, "budget")


def _picks(ranked: list[tuple[bool, bool, float, str, Route, float]], *, spilled: bool) -> list[Pick]:
    first = "spill: provisioned capacity is busy" if spilled else "lowest cost"
    picks: list[Pick] = []
    for late, on_demand, _, _, route, success in ranked:
        reason = (_NEXT if picks else first) if on_demand else _PROVISIONED
        picks.append(Pick(route, reason + _LATE if late else reason, success, late))
    return picks
