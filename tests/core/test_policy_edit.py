from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.policy_edit import Value, edit, values
from shared.core.policy_text import parse
from shared.errors import Permanent

TEXT = """# ours
on_unknown = "ask"

[tenants.acme]
daily_budget = 5   # until spring
cache = true

# the other one
[tenants."zeta"]  # z
monthly_budget = 7
"""


def test_only_what_is_meant_changes() -> None:
    """Comments, order and the other tenants stay as somebody wrote them."""
    made = edit(TEXT, "acme", {"daily_budget": 6, "max_runs": 3})
    assert made == TEXT.replace("5   #", "6   #").replace("cache = true\n", "cache = true\nmax_runs = 3\n")
    assert edit(made, "zeta", {"monthly_budget": 8}) == made.replace("= 7", "= 8")


def test_a_newcomer_gets_an_entry() -> None:
    """A tenant that was not there is added at the end."""
    made = edit(TEXT, "nova", {"priorities": ["background"], "data_zone": "eu"})
    assert made == TEXT + '\n[tenants.nova]\npriorities = ["background"]\ndata_zone = "eu"\n'
    assert parse(made).tenants["nova"].priorities == ("background",)


@pytest.mark.parametrize(
    ("text", "tenant", "changes"),
    [
        ("[tenants]\nacme = {daily_budget = 5}", "acme", {"daily_budget": 6}),
        ("tenants.acme.daily_budget = 5", "acme", {"daily_budget": 6}),
        ('{"tenants": {"acme": {}}}', "acme", {"daily_budget": 6}),
        ("[tenants.acme]\nworkflows = [\n'a',\n]", "acme", {"workflows": ["b"]}),
        ("[tenants]\nacme = 5", "acme", {"daily_budget": 6}),
        (TEXT, "UPPER", {"daily_budget": 6}),
        (TEXT, "acme", {"daily_budget": 0}),
        (TEXT, "acme", {"typo": 0}),
        (TEXT, "acme", {"priorities": ["urgent"]}),
        ("", "acme", {"daily_budget": 6}),
    ],
)
def test_what_cannot_be_changed_safely_is_refused(text: str, tenant: str, changes: dict[str, Value]) -> None:
    """Nothing is returned that is out of order, or says something else than was asked for."""
    with pytest.raises(Permanent) as refused:
        edit(text, tenant, changes)
    assert refused.value.code == "bad-policy"


@given(tenant=st.sampled_from(["acme", "zeta", "nova"]), budget=st.integers(1, 10**15), cache=st.booleans())
def test_a_change_is_what_was_asked_for(*, tenant: str, budget: int, cache: bool) -> None:
    """After any change the tenant has those values, and nobody else has other ones."""
    made = parse(edit(TEXT, tenant, {"daily_budget": budget, "cache": cache}))
    before = parse(TEXT)
    assert (made.tenants[tenant].daily_budget, made.tenants[tenant].cache) == (budget, cache)
    assert {name: one for name, one in made.tenants.items() if name != tenant} == {
        name: one for name, one in before.tenants.items() if name != tenant
    }
    assert made.on_unknown == "ask"


def test_what_is_typed_becomes_values() -> None:
    """Numbers, lists, booleans and words, each as its field needs it."""
    typed = {"daily_budget": "5_000", "priorities": "standard, background", "cache": "false", "data_zone": "eu"}
    assert values(typed) == {
        "daily_budget": 5000,
        "priorities": ["standard", "background"],
        "cache": False,
        "data_zone": "eu",
    }


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("daily_budget", "", "daily_budget is a whole number, not ''"),
        ("daily_budget", "5 USD", "a whole number"),
        ("daily_budget", "1.5", "a whole number"),
        ("cache", "yes", "true or false"),
        ("budget", "5", "a tenant has no budget; it has max_budget"),
    ],
)
def test_what_is_mistyped_is_refused(name: str, text: str, said: str) -> None:
    """A blank or odd value never becomes a limit, and the message says what would do."""
    with pytest.raises(Permanent) as refused:
        values({name: text})
    assert said in str(refused.value)
