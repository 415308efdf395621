"""The policy: who may do what, at which rates and for how much money, and which models there are at what price.

Values only, frozen and checked; `core.policy_text` makes them of what operators write. Amounts are whole micro-USD.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.core.approval import ApprovalPolicy, Level
from shared.core.buckets import Rate
from shared.core.health import BREAKER, Breaker
from shared.core.ledger import Limits
from shared.core.routing import EMBEDDED, Candidate, Route, embedded, routes
from shared.events.ids import Tenant
from shared.events.task import Priority

PRIORITIES: tuple[Priority, ...] = ("interactive", "standard", "background")  # the most urgent first
OnUnknown = Literal["pay-again", "ask", "fail"]
Amount = Annotated[int, Field(gt=0, le=10**15)]
Seconds = Annotated[float, Field(gt=0, le=10**9, allow_inf_nan=False)]
_Role = Annotated[str, Field(min_length=1, max_length=64)]
_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True)
_PRICED = {"tokens_in", "tokens_out"}
_SHAPING = {"provider", "model", "region", "url", "context", "abilities", "data_zone", "quality"}


class TenantPolicy(BaseModel):
    """What a tenant may do. Every limit has a number: there is no way to write "unlimited", nor to leave one blank.

    `max_budget` is per task. Beyond a rate or `max_runs` a tenant is asked to wait; beyond a budget it is refused.

    A run that needs more money than its budget asks for it; with `four_eyes` whoever submitted it may not grant that.

    `semantic_cache` gives an answer again about another text of the tenant's that is at least `semantic_threshold`
    similar and has the same words, but for the years of a copyright. It is off because likeness is not sameness: no
    threshold alone separates texts that say the same from texts that say the contrary, and what the comparison of
    words leaves is a bound on the wrong hits (`python -m benchmarks semantic`), no proof that there are none.
    """

    model_config = _STRICT

    max_budget: Amount = 1_000_000
    workflows: tuple[str, ...] = ("document-review",)
    requests_per_minute: Amount = 6_000
    request_burst: Amount = 1_000
    tokens_per_minute: Amount = 50_000_000
    token_burst: Amount = 50_000_000
    max_runs: Amount = 1_000
    daily_budget: Amount = 50_000_000
    monthly_budget: Amount = 1_000_000_000
    priorities: tuple[Priority, ...] = Field(default=PRIORITIES, min_length=1)
    data_zone: str = Field(default="", max_length=32)
    four_eyes: bool = True
    cache: bool = True
    semantic_cache: bool = False
    semantic_threshold: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.95

    @cached_property
    def bounds(self) -> Bounds:
        """What each request is measured by, at hand."""
        return Bounds(self.priorities, self.requests, self.tokens, self.max_runs, self.money)

    @cached_property
    def requests(self) -> Rate:
        """How fast it may ask."""
        return Rate(self.requests_per_minute, self.request_burst)

    @cached_property
    def tokens(self) -> Rate:
        """How fast it may have models read and write."""
        return Rate(self.tokens_per_minute, self.token_burst)

    @cached_property
    def money(self) -> Limits:
        """What it may spend."""
        return Limits(self.daily_budget, self.monthly_budget)


class Bounds(NamedTuple):
    """A tenant's limits as decisions read them."""

    priorities: tuple[Priority, ...]
    requests: Rate
    tokens: Rate
    runs: int
    money: Limits


class PriorityClass(BaseModel):
    """How one class of work is served when there is more than can be.

    `weight` is its share beside the others'. What has waited for `ageing` seconds counts twice, for twice that three
    times, and so on, up to the class above. Nobody new is let in who would have to wait longer than `most_wait`.

    Its models answer within `sla_ms` (0: no hurry), and are at least of `quality`; where the speed is `hard`, a second
    one is asked as well when the first is late.
    """

    model_config = _STRICT

    weight: Annotated[float, Field(ge=0.001, le=1000, allow_inf_nan=False)]
    ageing: Seconds
    most_wait: Seconds
    sla_ms: Annotated[float, Field(ge=0, le=10**6, allow_inf_nan=False)] = 0.0
    hard: bool = False
    quality: Annotated[float, Field(ge=0, le=1)] = 0.0


class Classes(BaseModel):
    """The classes of work, the most urgent first."""

    model_config = _STRICT

    interactive: PriorityClass = PriorityClass(weight=16, ageing=5, most_wait=10)
    standard: PriorityClass = PriorityClass(weight=4, ageing=15, most_wait=60)
    background: PriorityClass = PriorityClass(weight=1, ageing=60, most_wait=300)

    @model_validator(mode="after")
    def _in_their_order(self) -> Self:
        classes = (self.interactive, self.standard, self.background)
        weights, waits = [one.weight for one in classes], [one.most_wait for one in classes]
        if weights != sorted(weights, reverse=True) or waits != sorted(waits):
            raise ValueError("a more urgent class has at least the weight of the next, and waits no longer")
        return self

    @cached_property
    def heaviest(self) -> Mapping[Priority, float]:
        """How much each class weighs at most: as much as the one above it."""
        first, second = self.interactive.weight, self.standard.weight
        return {"interactive": first, "standard": first, "background": second}

    @cached_property
    def shares(self) -> Mapping[Priority, float]:
        """The part of what can be done that each class has even if all others wait, as heavy as they can become."""
        total, own = sum(self.heaviest.values()), {one: self.of(one).weight for one in PRIORITIES}
        return {one: mine / (total - self.heaviest[one] + mine) for one, mine in own.items()}

    def of(self, priority: Priority) -> PriorityClass:
        """Return the class of that name."""
        found: PriorityClass = getattr(self, priority)
        return found


class Runs(BaseModel):
    """How runs hold and get back their place.

    A lease ends by itself after `lease_seconds`. Interactive work that was told to wait for money and did not ask again
    for `wait_lapses` seconds has gone away: nobody gives way to it.
    """

    model_config = _STRICT

    lease_seconds: Annotated[float, Field(ge=60, le=10**9, allow_inf_nan=False)] = 21_600.0
    wait_lapses: Seconds = 60.0


def digest_of(said: object) -> str:
    """Return a short name that plain values have and, in practice, no others."""
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]


class Answers(BaseModel):
    """For how long an answer that was paid for is given again to the same question."""

    model_config = _STRICT

    keep_seconds: Annotated[float, Field(gt=0, le=366 * 86_400, allow_inf_nan=False)] = 86_400.0


class Breaking(BaseModel):
    """When a deployment that fails is left alone: see `core.health.Breaker`."""

    model_config = _STRICT

    failures: Annotated[int, Field(ge=1, le=1000)] = BREAKER.failures
    first_pause: Annotated[float, Field(ge=0.1, le=3600, allow_inf_nan=False)] = BREAKER.first_pause
    longest_pause: Annotated[float, Field(ge=0.1, le=3600, allow_inf_nan=False)] = BREAKER.longest_pause
    probe_seconds: Annotated[float, Field(ge=1, le=3600, allow_inf_nan=False)] = BREAKER.probe_seconds

    @model_validator(mode="after")
    def _in_their_order(self) -> Self:
        if self.first_pause > self.longest_pause:
            raise ValueError("the first pause is not longer than the longest")
        return self

    @cached_property
    def breaker(self) -> Breaker:
        """The same, as decisions read it."""
        return Breaker(self.failures, self.first_pause, self.longest_pause, self.probe_seconds)


class MoreBudget(BaseModel):
    """Who may grant more money to a run whose budget is used up, and for how many seconds it waits for that."""

    model_config = _STRICT

    approvers: Annotated[tuple[_Role, ...], Field(min_length=1)] = ("owner",)
    seconds: Annotated[int, Field(ge=60, le=366 * 86_400)] = 7 * 86_400

    def approval(self, *, four_eyes: bool) -> ApprovalPolicy:
        """Return the same as approvals are decided by; with `four_eyes` not by whoever submitted the task."""
        return ApprovalPolicy(levels=(Level(approvers=self.approvers, wait=self.seconds),), four_eyes=four_eyes)


class Policy(BaseModel):
    """Everything operators decide. `text` is what it was made of, and `version` a digest of that.

    `on_unknown` says what becomes of a call whose end nobody knows: made again, decided by a person, or failed.
    """

    model_config = _STRICT

    version: str = ""
    text: str = Field(default="", repr=False)
    tenants: Mapping[Tenant, TenantPolicy] = {}
    candidates: Mapping[str, Candidate] = Field(default_factory=lambda: {EMBEDDED: embedded()}, min_length=1)
    classes: Classes = Classes()
    runs: Runs = Runs()
    answers: Answers = Answers()
    breaker: Breaking = Breaking()
    more_budget: MoreBudget = MoreBudget()
    on_unknown: OnUnknown = "pay-again"

    @cached_property
    def price_version(self) -> str:
        """Name what models cost: another limit or comment leaves it as it is, another price does not."""
        return self._digest("prices", {"model", *_PRICED})

    @cached_property
    def models_version(self) -> str:
        """Name who may answer, whatever that costs: what one of them has said holds as long as they are the same."""
        return self._digest("models", _SHAPING)

    def _digest(self, of: str, fields: set[str]) -> str:
        said = {name: one.model_dump(mode="json", include=fields) for name, one in self.candidates.items()}
        return digest_of([of, said])

    @cached_property
    def routes(self) -> tuple[Route, ...]:
        """The candidates, as decisions read them."""
        return routes(self.candidates.values())

    @model_validator(mode="after")
    def _named_alike(self) -> Self:
        wrong = [name for name, candidate in self.candidates.items() if candidate.name != name]
        if wrong:
            raise ValueError(f"a candidate is called what its table is called: {', '.join(wrong)}")
        return self
