"""What a function knows that asks providers: their secrets, and the role it signs with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aws import wiring
from aws.adapters.secrets import Secrets
from providers.bedrock import Bedrock
from providers.credentials import OWN, secret
from shared.core.completion import Prompt
from shared.core.routing import Candidate
from shared.errors import Permanent, Transient

if TYPE_CHECKING:
    from tests.aws.cloud import Cloud

ROLE = {"AWS_ACCESS_KEY_ID": "ASIAROLE", "AWS_SECRET_ACCESS_KEY": "hidden", "AWS_SESSION_TOKEN": "session"}


def candidate(**changes: Any) -> Candidate:
    """Return a candidate."""
    given: dict[str, Any] = {"name": "c", "provider": "openai", "model": "m", "tokens_in": 1, "tokens_out": 1}
    return Candidate(**given | changes)


class Clock:
    """Seconds that pass when told to."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def kept(cloud: Cloud, clock: Clock, environment: dict[str, str] | None = None) -> Secrets:
    """Return the secrets of the deployment."""
    arn = cloud.settings["PROVIDER_SECRETS"]
    return Secrets(environment or {}, arn, lambda: wiring.client("secretsmanager"), clock)


def reads(cloud: Cloud) -> int:
    """Count how often the secret was read."""
    return sum(operation == "GetSecretValue" for _, operation, _ in cloud.asked)


def change(cloud: Cloud, text: str) -> None:
    """Write another secret."""
    wiring.client("secretsmanager").put_secret_value(SecretId=cloud.settings["PROVIDER_SECRETS"], SecretString=text)


def test_a_credential_comes_from_the_secret_when_it_is_needed(cloud: Cloud) -> None:
    """Nothing is read for a candidate without a credential; for one that names it, once."""
    found = kept(cloud, Clock())
    assert secret(candidate(), found) == ""
    assert reads(cloud) == 0
    for _ in range(3):
        assert secret(candidate(credential="OPENAI_KEY"), found) == "sk-first"
    assert reads(cloud) == 1


def test_the_environment_goes_before(cloud: Cloud) -> None:
    """What is set for the function itself is not looked for elsewhere."""
    found = kept(cloud, Clock(), {"OPENAI_KEY": "set here"})
    assert (found["OPENAI_KEY"], reads(cloud)) == ("set here", 0)
    assert set(found) == {"OPENAI_KEY"}
    assert len(found) == 1


def test_a_changed_secret_is_used(cloud: Cloud) -> None:
    """A rotated key is in use within minutes, without a new deployment."""
    clock = Clock()
    found = kept(cloud, clock)
    assert found["OPENAI_KEY"] == "sk-first"
    change(cloud, '{"OPENAI_KEY": "sk-second"}')
    clock.now = 299.0
    assert found["OPENAI_KEY"] == "sk-first"
    clock.now = 301.0
    assert found["OPENAI_KEY"] == "sk-second"


def test_what_was_read_outlasts_an_outage(cloud: Cloud) -> None:
    """Keys that are known stay in use while Secrets Manager is down; unknown ones are asked for again later."""
    clock = Clock()
    found = kept(cloud, clock)
    assert found["OPENAI_KEY"] == "sk-first"
    cloud.refuse("secrets-manager.GetSecretValue")
    clock.now = 301.0
    assert found["OPENAI_KEY"] == "sk-first"
    with pytest.raises(Transient, match="secrets"):
        _ = kept(cloud, clock)["OPENAI_KEY"]


@pytest.mark.parametrize("text", ["sk-not-json", "[]", '{"OPENAI_KEY": 1}'])
def test_a_secret_in_another_shape_is_refused_and_not_quoted(cloud: Cloud, text: str) -> None:
    """A secret that is no object of texts fails the call, and its content is in no message."""
    change(cloud, text)
    with pytest.raises(Permanent, match="no JSON object") as told:
        _ = kept(cloud, Clock())["OPENAI_KEY"]
    assert (told.value.code, text in str(told.value), told.value.__cause__) == ("provider-credentials", False, None)


def test_a_name_that_the_secret_lacks_is_said(cloud: Cloud) -> None:
    """A candidate whose key nobody keeps cannot be asked, and the operator is told which one."""
    with pytest.raises(Permanent, match="needs GEMINI_KEY"):
        secret(candidate(credential="GEMINI_KEY"), kept(cloud, Clock()))


def test_without_a_secret_nothing_is_read() -> None:
    """A deployment without providers asks for nothing."""

    def nobody() -> Any:
        raise AssertionError("asked")

    found = Secrets({"A": "b"}, "", nobody, Clock())
    assert (found.get("A"), found.get("B"), dict(found)) == ("b", None, {"A": "b"})


def test_secrets_are_not_printed(cloud: Cloud) -> None:
    """What is printed of it says where the secret is, not what it is."""
    found = kept(cloud, Clock(), {"OPENAI_KEY": "set here"})
    _ = found.get("OTHER")
    assert "sk-first" not in repr(found)
    assert "set here" not in f"{found}"


@pytest.mark.parametrize("name", sorted(OWN))
def test_the_processes_own_keys_are_no_credential(name: str) -> None:
    """Who writes the policy cannot have the role's keys sent to a provider."""
    with pytest.raises(Permanent, match="own"):
        secret(candidate(credential=name), {name: "hidden"})


def test_bedrock_is_signed_with_the_functions_role(cloud: Cloud) -> None:
    """The role's keys that Lambda puts into the environment sign the call, session and all, with no secret read."""
    prompt = Prompt(purpose="summarise", instruction="i", text="t", answer_schema={})
    bedrock = candidate(provider="bedrock", region="eu-central-1", model="eu.anthropic.claude")
    request = Bedrock().request(bedrock, prompt, kept(cloud, Clock(), ROLE))
    said = {name.lower(): value for name, value in request.headers.items()}
    assert "Credential=ASIAROLE/" in said["authorization"]
    assert "/eu-central-1/bedrock/aws4_request" in said["authorization"]
    assert said["x-amz-security-token"] == "session"
    assert reads(cloud) == 0


def test_wiring_hands_the_secret_to_the_models(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deployment's own models know the secret that PROVIDER_SECRETS names."""
    models: Any = cloud.ports.models
    assert models.secrets.get("OPENAI_KEY") == "sk-first"
    monkeypatch.setenv("OPENAI_KEY", "set here")
    assert models.secrets.get("OPENAI_KEY") == "set here"
    assert "sk-first" not in repr(models)


def test_what_is_granted_is_what_is_named(template: dict[str, Any]) -> None:
    """The role may read the one secret and ask the listed models, and without any of them has neither policy."""
    resources = template["Resources"]
    for name, condition, resource in (
        ("SecretsPolicy", "HasSecrets", "ProviderSecrets"),
        ("BedrockPolicy", "AsksBedrock", "BedrockModels"),
    ):
        assert resources[name]["Condition"] == condition
        (statement,) = resources[name]["Properties"]["PolicyDocument"]["Statement"]
        assert statement["Resource"] == resource
        assert template["Parameters"][resource]["Default"] == ""
        granted = [one for one in resources["StepFunction"]["Properties"]["Policies"] if isinstance(one, list)]
        assert [condition, name, "AWS::NoValue"] in granted
