"""How deployments behave, as data: latency, quota, and phases in which something goes wrong.

A scenario is a TOML or JSON file; a misspelt or contradictory one is refused. Knows no protocol and no clock.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.errors import Permanent

Kind = Literal[
    "ok",
    "400",
    "401",
    "429",
    "500",
    "503",
    "timeout",
    "slow-drip",
    "broken-stream",
    "truncated-json",
    "wrong-content-type",
    "malformed",
    "empty",
]
ANY = "*"  # the deployment that stands for every other one
_BELONGS_TO = {
    "retry_after": {"429", "503"},
    "after_bytes": {"broken-stream"},
    "bytes_per_second": {"slow-drip"},
}

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Percentile = tuple[Percent, Seconds]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Latency(_Data):
    """Seconds until the first byte: a fixed number, or percentiles with straight lines between them."""

    fixed: Seconds = 0.0
    percentiles: tuple[Percentile, ...] = ()

    @model_validator(mode="after")
    def _rises(self) -> Latency:
        seconds = [second for _, second in self.percentiles]
        if list(self.percentiles) != sorted(self.percentiles) or seconds != sorted(seconds):
            raise ValueError("percentiles must rise, in percent and in seconds")
        return self

    def at(self, luck: float) -> float:
        """Return the seconds for a draw between 0 and 1."""
        if not self.percentiles:
            return self.fixed
        below = self.percentiles[0]
        for point in self.percentiles:
            if luck * 100 <= point[0]:
                return _between(below, point, luck * 100)
            below = point
        return below[1]


def _between(low: Percentile, high: Percentile, percent: float) -> float:
    if percent <= low[0] or high[0] == low[0]:
        return low[1] if percent <= low[0] else high[1]
    return low[1] + (high[1] - low[1]) * (percent - low[0]) / (high[0] - low[0])


class Quota(_Data):
    """So many requests and tokens a minute; `burst` says how many seconds' worth may be used at once.

    Tokens are those of the question and those it allows for the answer (512 if it does not say), whatever the
    answer's length is then.
    """

    requests_per_minute: int | None = Field(default=None, gt=0)
    tokens_per_minute: int | None = Field(default=None, gt=0)
    burst: float = Field(default=60.0, gt=0, allow_inf_nan=False)


class Phase(_Data):
    """What happens from second `start` to second `end`: to a share `rate` of the requests, or to each n-th (`every`).

    `every` counts the deployment's requests since the scenario began. `latency` replaces the deployment's.
    """

    kind: Kind
    start: Seconds = 0.0
    end: Seconds | None = None
    rate: float = Field(default=1.0, ge=0, le=1)
    every: int = Field(default=1, ge=1)
    latency: Latency | None = None
    retry_after: Seconds | None = None
    after_bytes: int = Field(default=64, ge=0)
    bytes_per_second: float = Field(default=16.0, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _makes_sense(self) -> Phase:
        for name, kinds in _BELONGS_TO.items():
            if name in self.model_fields_set and self.kind not in kinds:
                raise ValueError(f"{name} means nothing to a phase of {self.kind}")
        if self.end is not None and self.end <= self.start:
            raise ValueError("a phase ends after it starts")
        return self

    def covers(self, now: float) -> bool:
        """Tell whether the phase is on."""
        return self.start <= now and (self.end is None or now < self.end)

    @property
    def status(self) -> int | None:
        """The status of a refusal, None for what goes wrong in other ways."""
        return int(self.kind) if self.kind.isdigit() else None


class Deployment(_Data):
    """One deployment. Of the phases that are on, the first that hits a request decides.

    `tells_limits` set to false leaves out when to come back and what is left of a quota.
    """

    latency: Latency = Latency()
    quota: Quota = Quota()
    phases: tuple[Phase, ...] = ()
    tells_limits: bool = True


class Scenario(_Data):
    """Deployments by name. `azure/gpt-4o` comes before `gpt-4o`, and `*` stands for all that are not named.

    What is random is drawn from the seed: the same requests meet the same fate.
    """

    seed: int = 0
    deployments: dict[str, Deployment] = Field(default_factory=lambda: {ANY: Deployment()})

    def find(self, protocol: str, name: str) -> Deployment | None:
        """Return how a deployment behaves, None when there is none of that name."""
        names = (f"{protocol}/{name}", name, ANY)
        return next((self.deployments[one] for one in names if one in self.deployments), None)

    def names(self, protocol: str, others: Collection[str]) -> list[str]:
        """Return the names under which a protocol's clients find deployments."""
        elsewhere = tuple(f"{other}/" for other in others if other != protocol)
        ours = (name.removeprefix(f"{protocol}/") for name in self.deployments if not name.startswith(elsewhere))
        return sorted({name for name in ours if name != ANY})


def read(text: str, *, toml: bool = False) -> Scenario:
    """Read a scenario; Permanent when it is none, naming the field at fault."""
    try:
        return Scenario.model_validate(tomllib.loads(text) if toml else json.loads(text))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise Permanent(first["msg"], code="bad-scenario", where=".".join(map(str, first["loc"]))) from error
    except ValueError as error:
        raise Permanent(f"not readable: {error}", code="bad-scenario") from error
