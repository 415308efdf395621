from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from local.policies import packaged
from shared.core.approval import ApprovalPolicy, Level
from shared.core.health import BREAKER
from shared.core.policy import Classes, Policy, PriorityClass, TenantPolicy
from shared.core.policy_text import MOST_CHARACTERS, parse, read, seeded
from shared.errors import Permanent

GOOD = """
[default]
daily_budget = 7
[tenants.acme]
monthly_budget = 100
[tenants.zeta]
daily_budget = 9
requests_per_minute = 3
"""
MODELS = """
[tenants.acme]
daily_budget = 7
[candidates.far]
provider = "openai"
model = "big"
tokens_in = 10
tokens_out = 20
"""
LAST = parse(GOOD)


def kept() -> Policy:
    """Return the policy in force before."""
    return LAST


def test_a_policy_is_read_from_toml() -> None:
    """Tenants take what they do not say from the default table, and that from the built-in figures."""
    assert LAST.tenants["acme"] == TenantPolicy(daily_budget=7, monthly_budget=100)
    assert LAST.tenants["zeta"] == TenantPolicy(daily_budget=9, requests_per_minute=3)
    assert list(LAST.candidates) == ["extractive-1"]
    assert LAST.on_unknown == "pay-again"


def test_json_is_as_good() -> None:
    """What the clouds keep as JSON is the same policy, under another version."""
    text = json.dumps({"default": {"daily_budget": 7}, "tenants": {"acme": {"monthly_budget": 100}}})
    assert parse(text).tenants["acme"] == LAST.tenants["acme"]
    assert parse(text).version != LAST.version


def test_the_version_is_the_texts() -> None:
    """The same text is the same version on every machine, any other is another."""
    assert parse(GOOD).version == LAST.version
    assert parse(GOOD + "\n").version != LAST.version
    assert len(LAST.version) == 12


def test_prices_and_models_have_versions_of_their_own() -> None:
    """A comment or a limit is no new price; a price is no new model; another model is both."""
    first = parse(MODELS)
    limits, price, model = (parse(MODELS.replace(*one)) for one in (("= 7", "= 8"), ("= 10", "= 11"), ("big", "b")))
    assert len({one.version for one in (first, limits, price, model)}) == 4
    assert limits.price_version == first.price_version
    assert len({one.price_version for one in (first, price, model)}) == 3
    assert limits.models_version == price.models_version == first.models_version
    assert model.models_version != first.models_version
    assert parse(GOOD).price_version == seeded('{"acme": {}}').price_version == Policy().price_version


def test_the_packaged_policy_is_in_order() -> None:
    """What comes with the fabric needs no edits to be used."""
    assert parse(packaged()).tenants["local"].max_budget == 1_000_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "blank"),
        (" \n\t", "blank"),
        ("# only a comment", "names no tenant"),
        ("[tenants]", "names no tenant"),
        ("tenants = 5", "names no tenant"),
        ("[tenants.acme", "Expected ']'"),
        ("[tenants.acme]\n[tenants.acme]", "Cannot declare"),
        ('{"tenants": {"acme": {}}, "tenants": {}}', "twice"),
        (GOOD + "[default.more]", "default.more"),
        ("on_unknown = 'shrug'\n" + GOOD, "on_unknown"),
        ("typo = 1\n" + GOOD, "typo"),
        ("version = 'mine'\n" + GOOD, "derived"),
        ("text = 'mine'\n" + GOOD, "derived"),
        (GOOD + "[candidates.x]\nprovider = 'openai'", "candidates.x.model"),
        (GOOD + "[candidates]", "candidates"),
        (GOOD + "[classes.interactive]\nweight = 0", "classes.interactive.weight"),
        (GOOD + "[runs]\nlease_seconds = inf", "no number"),
        (GOOD + "[answers]\nkeep_seconds = 0", "answers.keep_seconds"),
        (GOOD + "[breaker]\nfailures = 0", "breaker.failures"),
        (GOOD + "[breaker]\nfirst_pause = 61", "not longer than the longest"),
        (GOOD + "[more_budget]\napprovers = []", "more_budget.approvers"),
        (GOOD + "[more_budget]\nseconds = 5", "more_budget.seconds"),
        (GOOD + "[runs]\nlease_seconds = 1979-05-27", "date"),
        ("x = " + "[" * 5000, "not a policy"),
        ("a." * 1500 + "a = 1", "not a policy"),
        (GOOD + "#" * MOST_CHARACTERS, "too many"),
        (GOOD + "\udcff", "not a policy"),
    ],
)
def test_a_broken_text_changes_nothing(text: str, said: str) -> None:
    """A text out of order leaves the last good policy in force and says why; without one it is refused."""
    policy, problems = read(text, kept)
    assert policy is LAST
    assert said in problems[0]
    with pytest.raises(Permanent) as refused:
        read(text)
    assert refused.value.code == "bad-policy"


@pytest.mark.parametrize(
    "entry",
    [
        'daily_budget = ""',
        "daily_budget = 0",
        "daily_budget = -1",
        "daily_budget = true",
        "daily_budget = 1.5",
        'daily_budget = "100"',
        "daily_budget = [1]",
        "daily_budget = 9999999999999999",
        "budget = 5",
        'priorities = ["urgent"]',
        "priorities = []",
        'workflows = "document-review"',
        'cache = "yes"',
    ],
)
def test_a_broken_entry_is_one_tenants_trouble(entry: str) -> None:
    """A blank or wrong quota leaves its tenant with the last good one; the others get what they were given."""
    text = f"[tenants.acme]\n{entry}\n[tenants.zeta]\ndaily_budget = 11\n[tenants.newcomer]"
    policy, problems = read(text, kept)
    assert policy.tenants["acme"] == LAST.tenants["acme"]
    assert policy.tenants["zeta"].daily_budget == 11
    assert "newcomer" in policy.tenants
    assert len(problems) == 1
    assert problems[0].startswith("tenants.acme")
    assert policy.version not in {LAST.version, read(text)[0].version}


def test_a_newcomer_without_a_good_entry_is_left_out() -> None:
    """Nobody is let in by an entry that cannot be read."""
    policy, problems = read(GOOD + '[tenants.newcomer]\ndaily_budget = ""\n[tenants."UPPER"]', kept)
    assert set(policy.tenants) == {"acme", "zeta"}
    assert len(problems) == 2


def test_a_tenant_that_was_taken_out_is_out() -> None:
    """Leaving a tenant out is no mistake: it may do nothing from then on."""
    assert set(read("[tenants.zeta]", kept).policy.tenants) == {"zeta"}


def test_a_policy_with_a_broken_entry_is_not_put_in_force() -> None:
    """Whoever changes the policy on purpose is told of every entry that is wrong, and nothing is changed."""
    with pytest.raises(Permanent, match=r"tenants\.acme\.daily_budget.*tenants\.zeta\.cache"):
        parse('[tenants.ok]\n[tenants.acme]\ndaily_budget = ""\n[tenants.zeta]\ncache = 1')


def test_a_candidate_is_called_what_its_table_is() -> None:
    """A candidate's name is written once."""
    candidate = "[candidates.gpt]\nprovider = 'openai'\nmodel = 'm'\ntokens_in = 1\ntokens_out = 2\n"
    assert parse(GOOD + candidate).candidates["gpt"].name == "gpt"
    with pytest.raises(Permanent, match="called what its table is called"):
        parse(GOOD + candidate + "name = 'other'")


def test_classes_keep_their_order() -> None:
    """No class may be served less, or wait less, than one that is less urgent."""
    with pytest.raises(ValidationError, match="more urgent"):
        Classes(background=PriorityClass(weight=5, ageing=60, most_wait=300))
    with pytest.raises(ValidationError, match="more urgent"):
        Classes(interactive=PriorityClass(weight=16, ageing=5, most_wait=61))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner))
FIELDS = st.sampled_from([*TenantPolicy.model_fields, "typo"])
ENTRIES = st.dictionaries(FIELDS, VALUES, max_size=4) | VALUES
PARTS = st.sampled_from(["tenants", "default", "candidates", "classes", "runs", "on_unknown", "typo"])


@given(ENTRIES)
def test_no_entry_touches_another_tenant(entry: Any) -> None:
    """Whatever is written for one tenant, the others have what they were given, and that one a checked policy."""
    policy, problems = read(json.dumps({"tenants": {"acme": entry, "zeta": {"daily_budget": 11}}}), kept)
    if policy is LAST:
        assert problems
    else:
        assert policy.tenants["zeta"] == TenantPolicy(daily_budget=11)
        assert policy.tenants["acme"] == LAST.tenants["acme"] or not problems


@given(st.dictionaries(PARTS, VALUES).map(json.dumps) | st.text())
def test_no_text_is_worse_than_refused(text: str) -> None:
    """Whatever the text is, there is a policy in force afterwards, and it is in order."""
    policy = read(text, kept).policy
    assert policy.tenants
    assert all(one.daily_budget > 0 for one in policy.tenants.values())


def test_the_figures_of_the_example_are_those_that_hold() -> None:
    """What the example says of answers, breakers and grants is what holds where nothing is said."""
    example = parse(Path("examples/policy.toml").read_text(encoding="utf-8"))
    plain = Policy()
    assert (example.answers, example.breaker, example.more_budget) == (plain.answers, plain.breaker, plain.more_budget)
    assert plain.breaker.breaker == BREAKER
    granted = example.more_budget.approval(four_eyes=False)
    assert granted == ApprovalPolicy(levels=(Level(approvers=("owner",), wait=7 * 86_400),))
