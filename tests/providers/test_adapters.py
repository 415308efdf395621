"""The adapters at the model server: one prompt, four wordings, one answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from local.model_server.scenario import Deployment, Quota
from providers.credentials import OWN
from providers.deployments import Deployments
from shared.core.answers import complaint
from shared.core.routing import EMBEDDED
from shared.errors import NotFound, Permanent
from shared.models.extractive import Extractive
from tests.providers.reaching import KEY, PROMPT, PROVIDERS, SCHEMA, SECRETS, here

if TYPE_CHECKING:
    from tests.providers.conftest import Reach


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_provider_answers_the_same_prompt(reach: Reach, provider: str) -> None:
    """The embedded model behind each provider's protocol gives the answer it gives in this process."""
    candidate = reach.candidate(provider)
    found = reach.ask(candidate, PROMPT)
    assert (found.answer, found.fault) == (Extractive().complete(PROMPT).answer, "")
    assert complaint(found.answer, SCHEMA) == ""
    assert found.usage.model == candidate.model
    assert found.usage.tokens_in > 0
    assert found.usage.tokens_out > 0


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_is_asked_is_bounded_by_the_prompt(reach: Reach, provider: str) -> None:
    """An answer cut off at the bound on its tokens is paid for and is no answer."""
    found = reach.ask(reach.candidate(provider), replace(PROMPT, max_output_tokens=2))
    assert found.usage.tokens_out <= 2
    assert found.fault or complaint(found.answer, SCHEMA)


@pytest.mark.parametrize("provider", ["openai", "azure-openai"])
def test_quotas_are_learned_from_headers(reach: Reach, provider: str) -> None:
    """What is left of requests and tokens, and when all is back, comes with the answer."""
    limits = Quota(requests_per_minute=60, tokens_per_minute=60_000)
    quota = reach.ask(reach.candidate(provider, Deployment(quota=limits)), PROMPT).quota
    assert quota is not None
    assert (quota.requests_limit, quota.requests_left) == (60, 59)
    assert quota.requests_reset == pytest.approx(1.0)
    assert quota.tokens_left is not None
    assert 0 < quota.tokens_left < 60_000


@pytest.mark.parametrize("provider", ["openai", "azure-openai", "bedrock"])
def test_the_answer_names_the_request(reach: Reach, provider: str) -> None:
    """A provider's name for a request is kept, so that its bill can be asked about."""
    assert reach.ask(reach.candidate(provider), PROMPT).request_id == reach.service.log.entries()[-1].request_id


def test_bedrock_is_signed_without_a_key_of_its_own(reach: Reach) -> None:
    """A candidate that names no credential is signed for with the role's keys."""
    assert reach.ask(reach.candidate("bedrock", credential=""), PROMPT).fault == ""


def test_a_signature_needs_a_region(reach: Reach) -> None:
    """Nothing is signed for nowhere."""
    with pytest.raises(Permanent, match="region"):
        reach.ask(reach.candidate("bedrock", credential="", region=""), PROMPT)


def test_a_missing_credential_is_named_and_nothing_is_sent(reach: Reach) -> None:
    """The environment variable that is not there is named, and the provider hears nothing."""
    candidate = reach.candidate("openai")
    with pytest.raises(Permanent, match=KEY):
        Deployments(lambda: {"one": candidate}, {}).complete(PROMPT)
    assert len(reach.service.log.entries()) == 0


@pytest.mark.parametrize("own", sorted(OWN))
def test_what_is_the_processs_own_is_sent_to_nobody(reach: Reach, own: str) -> None:
    """Whoever writes a policy cannot have this process's identity, or its keys, sent to an address of their choice."""
    candidate = reach.candidate("openai", credential=own)
    with pytest.raises(Permanent, match="this process's own") as refused:
        Deployments(lambda: {"one": candidate}, {own: "a-secret"}, here()).complete(PROMPT)
    assert (refused.value.code, len(reach.service.log.entries())) == ("provider-credentials", 0)


def test_the_embedded_model_is_always_there() -> None:
    """A prompt that names nobody, or the embedded model, is answered in this process under any policy."""
    models = Deployments(dict, SECRETS)
    expected = Extractive().complete(PROMPT)
    assert models.complete(replace(PROMPT, deployment="")) == expected
    assert models.complete(replace(PROMPT, deployment=EMBEDDED)) == expected


def test_a_deployment_nobody_named_is_not_found() -> None:
    """A prompt for a deployment that the policy does not have is refused."""
    with pytest.raises(NotFound, match="one"):
        Deployments(dict, SECRETS).complete(PROMPT)


def test_a_reloaded_policy_is_heeded(reach: Reach) -> None:
    """A candidate that changed is asked as it is now."""
    before, after = reach.candidate("openai"), reach.candidate("gemini")
    policy = {"one": before}
    models = Deployments(lambda: policy, SECRETS, here())
    models.complete(PROMPT)
    policy["one"] = after
    models.complete(PROMPT)
    assert reach.service.log.entries()[-1].protocol == "gemini"


def test_secrets_are_not_shown() -> None:
    """What the deployments print of themselves holds no secret."""
    assert "not-a-secret" not in repr(Deployments(dict, SECRETS))
