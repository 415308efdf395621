"""Servers that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
import urllib3

from local.model_server.clock import Clock, VirtualClock
from local.model_server.scenario import Deployment, Phase, Scenario
from local.model_server.server import served
from local.model_server.service import ModelService

if TYPE_CHECKING:
    from local.model_server.exchange import Call

Serve = Callable[..., str]
Send = Callable[..., urllib3.BaseHTTPResponse]


def of(*phases: Phase, **said: object) -> Scenario:
    """Return a scenario in which every deployment has these phases."""
    return Scenario(deployments={"*": Deployment.model_validate({"phases": phases, **said})})


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a way to serve a scenario, in virtual time unless a clock is given; yields the address."""
    with ExitStack() as stack:

        def start(scenario: Scenario | None = None, clock: Clock | None = None) -> str:
            clock = clock or VirtualClock()
            return stack.enter_context(served(ModelService(scenario, now=clock.now()), clock))

        yield start


@pytest.fixture
def send() -> Iterator[Send]:
    """Return a way to send a call to an address, without retries."""
    with urllib3.PoolManager(retries=False, timeout=30) as pool:

        def request(address: str, call: Call, **more: object) -> urllib3.BaseHTTPResponse:
            url = f"{address}{call.path}"
            if call.query:
                url += "?" + "&".join(f"{name}={value}" for name, value in call.query.items())
            return pool.request(call.method, url, body=call.body or None, headers=call.headers, **more)  # type: ignore[arg-type]  # urllib3's own options

        yield request
