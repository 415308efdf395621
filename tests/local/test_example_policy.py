"""The policy in examples/, with the model server in the providers' place: each of its models does the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.model_server.scenario import ANY, Deployment, Phase, Scenario
from local.model_server.server import served
from local.model_server.service import ModelService
from shared.core.policy import Policy
from shared.core.policy_text import parse
from shared.core.pricing import worst_case
from shared.core.workflow import DOCUMENT_REVIEW
from tests.local.stage import INVOICE, SameClock, fabric, write_corpus

ADDRESS = "http://127.0.0.1:8700"
DOWN = Deployment(phases=(Phase(kind="503"),))
PROTOCOLS = {"azure-openai": "azure", "bedrock": "bedrock", "gemini": "gemini", "openai": "openai"}
NAMES = ("azure-reserved", "azure-on-demand", "bedrock-haiku", "gemini-flash", "openai-mini")


@pytest.fixture
def text(root: Path) -> str:
    """Return the example."""
    return (root / "examples/policy.toml").read_text(encoding="utf-8")


@pytest.fixture
def policy(text: str) -> Policy:
    """Return the policy it says."""
    return parse(text)


def test_it_names_models_of_every_provider(text: str, policy: Policy) -> None:
    """All of them are at the model server's address, which is written once for each and can be put in its place."""
    assert tuple(policy.candidates) == NAMES
    assert {one.provider for one in policy.candidates.values()} == set(PROTOCOLS)
    assert all(one.url.startswith(ADDRESS) for one in policy.candidates.values())
    assert text.count(ADDRESS) == len(NAMES)


def test_a_task_of_as_many_documents_as_may_be_fits_its_budget(policy: Policy) -> None:
    """Nobody who tries it with a folder is refused for want of a larger budget."""
    most = worst_case(policy, DOCUMENT_REVIEW.steps) * DOCUMENT_REVIEW.max_documents
    assert most <= policy.tenants["local"].max_budget


@pytest.mark.parametrize("name", NAMES)
def test_each_of_its_models_does_the_work(
    text: str, policy: Policy, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all others down the document is reviewed by this one, through its provider's protocol, for its price."""
    one = policy.candidates[name]
    service = ModelService(
        Scenario(deployments={ANY: DOWN, f"{PROTOCOLS[one.provider]}/{one.model}": Deployment()}), now=0.0
    )
    folder = write_corpus(tmp_path / "docs", {"bill.txt": INVOICE})
    monkeypatch.setenv("MODELS_KEY", "any")
    with fabric(tmp_path / "home") as at, served(service, SameClock(at.clock)) as url:
        write_corpus(tmp_path / "home", {"policy.toml": text.replace(ADDRESS, url)})
        item = at.review(folder)["bill.txt"]
        spent = at.task(item.task).spent
    assert item.label == "invoice"
    answered = [entry for entry in service.log.entries() if entry.kind == "ok"]
    assert {(entry.protocol, entry.deployment) for entry in answered} == {(PROTOCOLS[one.provider], one.model)}
    bill = [-(-(entry.tokens_in * one.tokens_in + entry.tokens_out * one.tokens_out) // 10**6) for entry in answered]
    assert len(bill) == 2
    assert sum(bill) == spent > 0
