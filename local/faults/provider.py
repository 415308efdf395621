"""A provider of models that keeps its own books: what it was asked under which name, and what it charged for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local.faults.kinds import Kind
from shared.core.completion import Completion, NoAnswer, Prompt, Usage
from shared.core.policy import Policy, TenantPolicy
from shared.core.routing import Candidate
from shared.errors import Throttled

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.faults.weather import Weather

_TOKENS_OUT = 20
CANDIDATES = {
    name: Candidate(name=name, provider="openai", model=f"{name}-1", tokens_in=price, tokens_out=4 * price)
    for name, price in (("near", 2_000_000), ("far", 3_000_000))
}
TENANTS = ("acme", "beta", "gamma")
LEASE_SECONDS = 900.0


def policy(**tenant: Any) -> Policy:  # noqa: ANN401  fields of a tenant's policy
    """Return a policy under which two models share the work of a few tenants."""
    most = TenantPolicy(
        **{"max_runs": 10**6, "request_burst": 10**6, "token_burst": 10**12, "daily_budget": 10**12} | tenant
    )
    return Policy.model_validate(
        {
            "version": "storm",
            "tenants": dict.fromkeys(TENANTS, most),
            "candidates": CANDIDATES,
            "runs": {"lease_seconds": LEASE_SECONDS},
        }
    )


@dataclass
class Provider:
    """The `Models` port. `reserved` tells whether money is set aside under a name now."""

    weather: Weather
    rates: Policy
    reserved: Callable[[str], bool] = lambda _: True
    charged: dict[str, list[int]] = field(default_factory=dict)
    unpaid: list[str] = field(default_factory=list)  # asked while no money was set aside for it
    calls: int = 0

    def __post_init__(self) -> None:
        self._routes = {route.name: route for route in self.rates.routes}

    def complete(self, prompt: Prompt) -> Completion:
        """Answer, or do what providers do at times."""
        self.calls += 1
        if not self.reserved(prompt.reference):
            self.unpaid.append(prompt.reference)
        trouble = self.weather.happens(Kind.PROVIDER, self.weather.plan.rates.accesses)
        how = self.weather.chance.randrange(4) if trouble else -1
        if how == 0:
            raise Throttled("429", retry_after=1.0)
        if how == 1:
            raise NoAnswer("503", code="provider-down", served=False)
        usage = Usage(CANDIDATES[prompt.deployment].model, prompt.tokens_in, _TOKENS_OUT)
        price = self._routes[prompt.deployment].cost(usage.tokens_in, usage.tokens_out)
        self.charged.setdefault(prompt.reference, []).append(price)
        if how == 2:  # noqa: PLR2004  the third of the four
            raise NoAnswer("no answer in time", code="provider-timeout", served=True)
        answer = answer_to(prompt)
        if how > 2:  # noqa: PLR2004  the fourth
            return Completion({}, usage, text=str(answer)[:10], fault="the answer breaks off")
        return Completion(answer, usage)


def answer_to(prompt: Prompt) -> dict[str, Any]:
    """Return what a model would say: a document's first word is its class."""
    if prompt.purpose == "classify":
        label = prompt.text.split(maxsplit=1)[0]
        return {"label": label, "score": 0.9, "evidence": [{"what": "its first word", "quote": label}]}
    return {"quotes": [prompt.text.split(".", 1)[0] + "."]}
