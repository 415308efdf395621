from __future__ import annotations

from dataclasses import replace

from local.model_server.log import Entry, Log
from local.model_server.scenario import Deployment, Phase, Quota, Scenario
from local.model_server.service import ModelService
from tests.local.model_server.asking import AZURE, BEDROCK, OPENAI, PROMPT, TEXT
from tests.local.model_server.conftest import of


def test_hours_of_outage_pass_without_waiting() -> None:
    """In process an outage runs its course in virtual time: throttled, down, recovered."""
    service = ModelService(of(Phase(kind="429", end=3600), Phase(kind="503", start=3600, end=7200)), now=50.0)
    statuses = [service.reply(OPENAI.ask(), 50.0 + hour * 3600).status for hour in (0, 0.99, 1, 1.99, 2, 2.75)]
    assert statuses == [429, 429, 503, 503, 200, 200]


def test_each_deployment_has_its_own_quota() -> None:
    """Deployments of one name at two protocols, or of two names, do not use up each other's quota."""
    service = ModelService(of(quota=Quota(requests_per_minute=60, burst=1)))
    asked = [OPENAI.ask(model="a"), AZURE.ask(model="a"), OPENAI.ask(model="b"), OPENAI.ask(model="a")]
    assert [service.reply(call, 0.0).status for call in asked] == [200, 200, 200, 429]


def test_a_quota_counts_what_a_question_allows() -> None:
    """The tokens an answer may have count, whether or not it has them."""
    service = ModelService(of(quota=Quota(tokens_per_minute=1000)))
    assert [service.reply(OPENAI.ask("hi", most=900), 0.0).status for _ in range(2)] == [200, 429]


def test_a_new_scenario_begins_anew() -> None:
    """With a new scenario its second 0 is now, and quotas are full."""
    scenario = of(Phase(kind="503", end=10), quota=Quota(requests_per_minute=60, burst=1))
    service = ModelService(scenario)
    assert [service.reply(OPENAI.ask(), now).status for now in (9, 10, 10)] == [503, 200, 429]
    service.use(scenario, 100.0)
    assert [service.reply(OPENAI.ask(), now).status for now in (109, 110, 110)] == [503, 200, 429]


def test_the_log_tells_what_became_of_each() -> None:
    """The log has each request's time, deployment, fate, ids and tokens, and what a provider would charge for."""
    phases = (Phase(kind="429", end=1, retry_after=4), Phase(kind="timeout", start=1, end=2))
    service = ModelService(of(*phases), now=1000.0)
    headers = {"amz-sdk-invocation-id": "i-1", "amz-sdk-request": "attempt=2", "authorization": "secret"}
    for now in (1000.5, 1001.5, 1002.5):
        service.reply(replace(BEDROCK.ask(stream=True), headers=headers), now)
    refused, silent, good = service.log.entries()
    assert (refused.time, refused.protocol, refused.deployment, refused.kind) == (0.5, "bedrock", "m", "429")
    assert (refused.status, refused.retry_after, refused.tokens_in, refused.tokens_out) == (429, 4, 0, 0)
    assert (silent.status, silent.kind, silent.first_byte) == (None, "timeout", None)
    assert (silent.tokens_in, silent.tokens_out) == (good.tokens_in, good.tokens_out)
    assert (good.status, good.stream, good.kind) == (200, True, "ok")
    assert good.told == {"amz-sdk-invocation-id": "i-1", "amz-sdk-request": "attempt=2"}
    assert refused.prompt == good.prompt
    assert len({one.request_id for one in service.log.entries()}) == 3


def test_the_log_holds_no_text() -> None:
    """Nothing that was asked or answered is in the log."""
    service = ModelService()
    service.reply(OPENAI.ask(), 0.0)
    shown = repr(service.log.entries())
    assert TEXT[:20] not in shown
    assert PROMPT[:20] not in shown
    assert "mit" not in shown.replace("limit", "")


def test_equal_questions_are_found_by_their_hash() -> None:
    """The same question has the same hash at any provider; another one has another."""
    service = ModelService()
    for call in (OPENAI.ask(), BEDROCK.ask(), OPENAI.ask("something else")):
        service.reply(call, 0.0)
    first, second, third = (one.prompt for one in service.log.entries())
    assert first == second != third


def test_the_log_forgets_the_oldest() -> None:
    """A log keeps so many entries; it can be read from a number on, by deployment, and a page at a time."""
    log = Log(kept=3)
    for number, name in enumerate("abab", 1):
        log.add(Entry(number, 0.0, "openai", name, "ok", 200, ""))
    assert [one.number for one in log.entries()] == [2, 3, 4]
    assert [one.number for one in log.entries(deployment="b")] == [2, 4]
    assert [one.number for one in log.entries(after=2, limit=1)] == [3]
    log.clear()
    assert log.entries() == []


def test_runs_repeat_themselves() -> None:
    """The same requests at the same times get the same replies, ids and chance included."""
    phases = (Phase(kind="500", rate=0.5), Phase(kind="empty", rate=0.5))
    scenario = Scenario(seed=3, deployments={"*": Deployment(phases=phases)})
    once, again = (
        [service.reply(OPENAI.ask(), now) for now in range(50)] for service in map(ModelService, (scenario, scenario))
    )
    assert once == again
