from __future__ import annotations

import pytest

from local.model_server.scenario import Deployment, Scenario, read
from shared.errors import Permanent

FILE = """
seed = 7
[deployments."gpt-4o"]
latency = { percentiles = [[50, 0.3], [99, 4.0]] }
quota = { requests_per_minute = 60, tokens_per_minute = 90000 }
[[deployments."gpt-4o".phases]]
kind = "429"
start = 0
end = 600
[[deployments."gpt-4o".phases]]
kind = "broken-stream"
rate = 0.1
after_bytes = 100
[deployments."*"]
"""


def test_a_file_is_read() -> None:
    """A TOML file becomes deployments with their phases, and JSON is read as well."""
    scenario = read(FILE, toml=True)
    assert [phase.kind for phase in scenario.deployments["gpt-4o"].phases] == ["429", "broken-stream"]
    assert read(scenario.model_dump_json(exclude_unset=True)) == scenario


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"deployment": {}}', "deployment"),
        ('{"deployments": {"a": {"phases": [{"kind": "504"}]}}}', "deployments.a.phases.0.kind"),
        ('{"deployments": {"a": {"phases": [{"kind": "ok", "retry_after": 1}]}}}', "deployments.a.phases.0"),
        ('{"deployments": {"a": {"phases": [{"kind": "500", "start": 2, "end": 2}]}}}', "deployments.a.phases.0"),
        ('{"deployments": {"a": {"latency": {"percentiles": [[90, 1], [50, 2]]}}}}', "deployments.a.latency"),
        ('{"deployments": {"a": {"latency": {"percentiles": [[50, 2], [90, 1]]}}}}', "deployments.a.latency"),
        ('{"deployments": {"a": {"quota": {"requests_per_minute": 0}}}}', "deployments.a.quota.requests_per_minute"),
        ("{", "not readable"),
        ("[]", "valid dictionary"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, where: str) -> None:
    """A scenario with a misspelling or a contradiction is refused by a sentence that says where."""
    with pytest.raises(Permanent, match=where):
        read(text)


def test_a_deployment_is_found_by_its_narrowest_name() -> None:
    """A name with its protocol comes before the name alone, and that before the one for all others."""
    one, two, rest = (Deployment(tells_limits=told, phases=()) for told in (True, False, True))
    scenario = Scenario(deployments={"azure/a": one, "a": two, "*": rest})
    assert scenario.find("azure", "a") is one
    assert scenario.find("gemini", "a") is two
    assert scenario.find("gemini", "b") is rest
    assert Scenario(deployments={"a": two}).find("gemini", "b") is None


def test_a_protocol_lists_its_own_and_what_belongs_to_all() -> None:
    """Names of other protocols are not listed; a slash inside of a name is nothing special."""
    named = dict.fromkeys(("azure/a", "openai/b", "org/c", "d", "*"), Deployment())
    assert Scenario(deployments=named).names("openai", ["azure", "openai"]) == ["b", "d", "org/c"]
