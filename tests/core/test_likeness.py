"""When an answer to one text may be given for another: what decides, and what may differ."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shared.core.completion import ClassProfile, Prompt
from shared.core.likeness import deciding, holds_for, question, similarity
from shared.core.policy import TenantPolicy
from shared.core.policy_edit import values
from shared.core.policy_text import parse
from shared.core.story import tell
from shared.errors import Permanent
from shared.events.catalog import Cause, follow
from shared.events.usage import UsageSaved
from tests.core.given import NOON

TEXT = """The Title

Copyright (c) 2019 Jane Doe <jane@example.org>

You may use it for 30 days, and must not sell it.
"""
PROMPT = Prompt("summarise", "Quote.", "It leaks.", {"type": "object"}, (ClassProfile("a"),))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(c) 2019 Jane", "© 1998-2024, 2026 Jane"),
        ("Copyright (c) 2019", "(C) 2020"),
        ("You may use it for 30 days, ", "You may\n   use it\r\nfor 30 days; "),
        ("must not", "MUST NOT"),
        ("The Title", "THE TITLE"),
    ],
)
def test_years_of_a_copyright_and_layout_do_not_decide(old: str, new: str) -> None:
    """Since when somebody holds the copyright, line ends, capitals and punctuation may differ."""
    assert old in TEXT
    assert deciding(TEXT.replace(old, new)) == deciding(TEXT)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("must not sell", "must sell"),
        ("30", "31"),
        ("30", "-30"),
        ("may use", "use may"),
        ("You", "We"),
        (", and must not sell it", ""),
        ("Jane Doe", "Rosa Rossi"),
        ("Jane Doe", "Jane Doe 2020"),
        ("Jane Doe", "Jane Doe. Trial Edition"),
        ("jane@example.org", "licence@example.org"),
        ("Jane Doe", "Jane Doe, GPL"),
        ("Jane Doe", "Jane Doe, licensed"),
    ],
)
def test_every_other_word_decides(old: str, new: str) -> None:
    """A word, a number, a sign or an order more, less or other makes it another text, in the copyright's line too."""
    assert deciding(TEXT.replace(old, new, 1)) != deciding(TEXT)


@pytest.mark.parametrize(
    ("answer", "holds"),
    [
        ({"quotes": ["You may use it", "you MAY\nuse it"]}, True),
        ({"quotes": ["You may use it", "You may sell it"]}, False),
        ({"label": "MIT", "evidence": [{"what": "x", "quote": "The Title"}]}, True),
        ({"label": "MIT", "evidence": [{"what": "x", "quote": "Another Title"}]}, False),
        ({"quotes": [""]}, True),
        ({"quotes": ["--"]}, False),
        ({"label": "MIT"}, True),
    ],
)
def test_what_is_quoted_must_stand_in_the_text(*, answer: dict[str, Any], holds: bool) -> None:
    """An answer that quotes another text is no answer about this one."""
    assert holds_for(answer, TEXT) is holds


def test_only_the_text_may_differ() -> None:
    """Purpose, instruction, classes, schema, bounds and policy are the question; the text is not."""
    asked = question(PROMPT, "p1")
    assert question(replace(PROMPT, text="Another."), "p1") == asked
    others = [
        replace(PROMPT, purpose="classify"),
        replace(PROMPT, instruction="Quote it."),
        replace(PROMPT, classes=()),
        replace(PROMPT, answer_schema={}),
        replace(PROMPT, max_output_tokens=7),
    ]
    assert asked not in {question(PROMPT, "p2"), *(question(other, "p1") for other in others)}


def test_similarity_is_a_share() -> None:
    """Opposite points are as unlike as points can be, and rounding never makes more than 1."""
    assert similarity([1.0, 0.0], [-1.0, 0.0]) == 0.0
    assert similarity([0.6, 0.8], [0.6, 0.8]) <= 1.0
    assert similarity([0.6, 0.8], [1.0, 0.0]) == pytest.approx(0.6)


def test_it_is_off_unless_a_tenants_entry_says_so() -> None:
    """Nobody gets it by default, and one tenant's entry switches it on for that tenant."""
    policy = parse("[tenants.acme]\nsemantic_cache = true\nsemantic_threshold = 0.9\n[tenants.zeta]\ncache = true\n")
    assert TenantPolicy().semantic_cache is False
    assert [(one.semantic_cache, one.semantic_threshold) for one in policy.tenants.values()] == [
        (True, 0.9),
        (False, TenantPolicy().semantic_threshold),
    ]


@pytest.mark.parametrize("text", ["0", "1.1", "true", '"0.9"', "-1"])
def test_a_threshold_is_a_share(text: str) -> None:
    """A threshold that everything or nothing would meet is refused."""
    with pytest.raises(Permanent, match="semantic_threshold"):
        parse(f"[tenants.acme]\nsemantic_threshold = {text}\n")


def test_a_threshold_can_be_typed() -> None:
    """A number with a point becomes one, and anything else is refused."""
    assert values({"semantic_threshold": "0.98", "semantic_cache": "true"}) == {
        "semantic_threshold": 0.98,
        "semantic_cache": True,
    }
    with pytest.raises(Permanent, match=r"a number such as 0\.95"):
        values({"semantic_threshold": "high"})


def test_the_story_tells_how_similar_the_text_was() -> None:
    """Whoever reads why money was saved sees that the text was another one."""
    fact = UsageSaved(
        document=0, step="classify", model="m", saved_micro_usd=9, by="cache", similarity=0.98765, cloud="aws"
    )
    (event,) = follow(Cause("c", "acme", "t", "e", "/test"), [fact], after=0, at=NOON)
    assert tell([event])[0].why == "the answer was in the cache, given about another text with a similarity of 0.988"
