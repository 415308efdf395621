"""Model servers on 127.0.0.1, each with a scenario of its own, and the deployments that reach them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from local.model_server.clock import Clock, VirtualClock
from local.model_server.scenario import ANY, Deployment, Phase, Scenario
from local.model_server.server import served
from local.model_server.service import ModelService
from providers.deployments import Deployments
from shared.core.completion import Completion, Prompt
from shared.core.routing import Candidate
from tests.providers.reaching import KEY, PATHS, SECRETS, here


class Reach:
    """Starts servers; `log` is what the last one was asked."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.service = ModelService()

    def candidate(self, provider: str, deployment: Deployment | None = None, **more: object) -> Candidate:
        """Return a candidate of the provider at a new server whose every deployment behaves like this."""
        clock: Clock = VirtualClock()
        return self.at(clock, provider, deployment, **more)

    def at(self, clock: Clock, provider: str, deployment: Deployment | None = None, **more: object) -> Candidate:
        """Return a candidate at a server with this clock."""
        scenario = Scenario(deployments={ANY: deployment or Deployment()})
        self.service = ModelService(scenario, now=clock.now())
        address = self._stack.enter_context(served(self.service, clock))
        given = {"credential": KEY, "region": "eu-west-1", "tokens_in": 1_000_000, "tokens_out": 2_000_000, **more}
        url = f"{address}{PATHS[provider]}"
        return Candidate.model_validate({"name": "one", "provider": provider, "model": "m-1", "url": url, **given})

    def ask(self, candidate: Candidate, prompt: Prompt) -> Completion:
        """Ask the candidate."""
        return Deployments(lambda: {candidate.name: candidate}, SECRETS, here()).complete(prompt)

    def failing(self, provider: str, **phase: object) -> Candidate:
        """Return a candidate whose server misbehaves like this."""
        return self.candidate(provider, Deployment(phases=(Phase.model_validate(phase),)))


@pytest.fixture
def reach() -> Iterator[Reach]:
    """Servers until the test ends."""
    with ExitStack() as stack:
        yield Reach(stack)
