"""What a policy in order is mistaken about, and what it changes."""

from __future__ import annotations

import pytest

from shared.core.policy_check import changes, doubts
from shared.core.policy_text import parse
from shared.errors import Permanent

FAR = """
[candidates.far]
provider = "openai"
model = "m"
url = "http://127.0.0.1:1/v1"
tokens_in = 100
tokens_out = 100
data_zone = "eu"
"""


def about(tenant: str, rest: str = FAR) -> list[str]:
    """Return what is doubtful about a policy with such a tenant."""
    return doubts(parse(f"[tenants.acme]\n{tenant}\n{rest}"))


def test_a_policy_that_works_has_no_doubts() -> None:
    """What can work as it says is left alone."""
    assert about('data_zone = "eu"') == []
    assert about("") == []


@pytest.mark.parametrize(
    ("tenant", "rest", "doubt"),
    [
        ('data_zone = "us"', FAR, "acme: no model may classify for interactive, standard, background work, each"),
        ('data_zone = "us"', FAR, "documents would get their excerpt instead: far in data zone eu, not us"),
        ("", FAR + 'abilities = ["json", "summarise"]', "each document would fail: far cannot classify"),
        ("", FAR + "quality = {classify = 0.5}\n[classes.interactive]\nweight = 16\nageing = 5\nmost_wait = 10\n"
         "quality = 0.9", "no model may classify for interactive work, each document would fail: far quality 0.5"),
        ("", FAR + "[classes.interactive]\nweight = 16\nageing = 5\nmost_wait = 10\nhard = true\nsla_ms = 10",
         "for interactive work, each document would fail: far slower than 10 ms"),
        ('workflows = ["nosuch"]', FAR, "acme: there is no workflow nosuch; there are document-review"),
        ("max_budget = 2_000_000\ndaily_budget = 1_000_000", FAR, "a task may cost $2.000000, and a day has only"),
        ("daily_budget = 2_000_000_000", FAR, "a day may cost $2,000.000000, and a month has only $1,000.000000"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_named(tenant: str, rest: str, doubt: str) -> None:
    """A data zone, a quality or a speed that no model has, an unknown workflow, budgets in the wrong order."""
    assert any(doubt in found for found in about(tenant, rest)), about(tenant, rest)


def test_only_the_tenants_that_are_asked_about() -> None:
    """Whoever changes one tenant hears nothing of another one's doubts."""
    policy = parse('[tenants.a]\nworkflows = ["x"]\n[tenants.b]\nworkflows = ["y"]\n')
    assert [found.partition(":")[0] for found in doubts(policy)] == ["a", "b"]
    assert [found.partition(":")[0] for found in doubts(policy, "b")] == ["b"]


def test_what_changes_is_told() -> None:
    """Dropped, new and changed tenants and models are each a sentence, and so is any other setting."""
    before = parse(f"[tenants.a]\n[tenants.b]\nmax_runs = 3\n{FAR}")
    other = FAR.replace("tokens_in = 100", "tokens_in = 2_000").replace("far", "near")
    after = parse(f'on_unknown = "ask"\n[tenants.b]\nmax_runs = 4000\ndata_zone = "eu"\n[tenants.c]\n{other}')
    assert changes(before, after) == [
        "tenant a is dropped: its work is refused from then on",
        "tenant c is new",
        "tenant b: max_runs 3 → 4,000",
        "tenant b: data_zone none → eu",
        "model far is dropped: it is asked no more",
        "model near is new",
        "on_unknown pay-again → ask",
    ]
    slower = parse(f"[tenants.a]\n[tenants.b]\nmax_runs = 3\n{FAR}p95_ms = 9_000\n[runs]\nlease_seconds = 60")
    assert changes(before, slower) == ["model far: p95_ms 4,000 → 9,000", "runs.lease_seconds 21600.0 → 60.0"]
    assert changes(before, before) == []


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("[tenants.acme]\nmax_run = 3", "tenants.acme.max_run: no such key; there are max_budget, workflows,"),
        (f"[tenants.acme]\n{FAR}price = 3", "candidates.far.price: no such key; there are provider, model,"),
        ("nosuch = 1\n[tenants.acme]", "nosuch: no such key; there are tenants, default, candidates, classes,"),
        ("[tenants.acme]\n[runs]\nlease = 60", "runs.lease: no such key; there are lease_seconds, wait_lapses"),
        (
            "[tenants.acme]\n[classes.standard]\nwait = 3",
            "classes.standard.wait: no such key; there are weight, ageing",
        ),
    ],
)
def test_of_an_unknown_key_the_known_ones_are_told(text: str, known: str) -> None:
    """Whoever mistypes a key reads which ones there are."""
    with pytest.raises(Permanent) as told:
        parse(text)
    assert known in str(told.value)
