from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.completion import ClassProfile, Prompt, Repair
from shared.core.phrasing import MOST_BILLED, most_tokens_in, phrase
from shared.core.policy import Policy
from shared.core.pricing import worst_case
from shared.core.routing import Candidate, routes
from shared.core.taxonomy import parse_taxonomy
from shared.core.workflow import Step, Tokens
from shared.taxonomies import builtin, names
from shared.tools.classify import _HEAD, _prompt

SCHEMA = {"type": "object", "properties": {"label": {"type": "string"}}}
WORDS = st.text(max_size=30)
PROFILES = st.builds(
    ClassProfile,
    name=st.text(min_size=1, max_size=80),
    keywords=st.lists(WORDS, max_size=8).map(tuple),
    reference=st.integers(0, 20_000).map(lambda size: "long " * (size // 5)),
    markers=st.lists(WORDS, max_size=8).map(tuple),
)
ALPHABETS = ("a", "\n", "日", "\x01", '"', "🙂", "é\\")
TEXTS = st.builds(lambda piece, size: (piece * size)[:_HEAD], st.sampled_from(ALPHABETS), st.integers(0, _HEAD))


def prompt(text: str, *classes: ClassProfile, **more: Any) -> Prompt:
    """Return a question about a text."""
    return Prompt("classify", "Say what it is.", text, SCHEMA, classes, **more)


def told(asked: Prompt) -> dict[str, Any]:
    """Return the user's message."""
    said: dict[str, Any] = json.loads(phrase(asked).user)
    return said


def wordy(count: int) -> tuple[ClassProfile, ...]:
    """Return classes that have far more to say than there is room for."""
    phrases = tuple(f"phrase number {number}" for number in range(1000))
    return tuple(ClassProfile(f"class {number}", phrases, "r" * 9_000, phrases) for number in range(count))


@settings(max_examples=60, deadline=None)
@given(
    text=TEXTS,
    classes=st.lists(PROFILES, max_size=20),
    repair=st.none() | st.builds(Repair, st.text(max_size=50).map(lambda said: said * 400), st.text(max_size=900)),
)
def test_no_call_is_billed_for_more_than_admission_reckons_with(
    text: str, classes: list[ClassProfile], repair: Repair | None
) -> None:
    """Whatever the text, its classes and the answer to be repaired: every byte of the messages fits the bound."""
    asked = prompt(text, *classes, repair=repair)
    system, user = phrase(asked)
    sent = len(system.encode()) + len(user.encode()) + len(json.dumps(SCHEMA, separators=(",", ":")))
    assert sent <= most_tokens_in(asked) <= MOST_BILLED
    assert text.startswith(told(asked)["text"])


@pytest.mark.parametrize("name", names())
def test_the_packaged_classes_leave_room_for_a_long_text(name: str) -> None:
    """A text of the greatest length that the tools send is told to two thirds at least, beside all class names."""
    taxonomy = parse_taxonomy(builtin(name))
    said = told(_prompt(taxonomy, "word " * (_HEAD // 5)))
    assert len(said["text"]) > _HEAD * 2 // 3
    assert [one["name"] for one in said["classes"]] == [known.name for known in taxonomy.classes]


def test_a_short_prompt_is_told_whole() -> None:
    """What has room is not cut."""
    classes = ClassProfile("pump", ("pump", "water"), "How pumps work.", ("is a pump",))
    assert told(prompt("The pump.", classes)) == {
        "purpose": "classify",
        "text": "The pump.",
        "classes": [
            {"name": "pump", "keywords": ["pump", "water"], "reference": "How pumps work.", "markers": ["is a pump"]}
        ],
    }


def test_classes_with_too_much_to_say_keep_their_names_and_first_signs() -> None:
    """Long references are left out, phrases are told in their order as far as there is room, for each class alike."""
    classes = wordy(9)
    found = told(prompt("The pump.", *classes))["classes"]
    assert [one["name"] for one in found] == [one.name for one in classes]
    assert not any("reference" in one for one in found)
    assert all(tuple(one["markers"]) == classes[0].markers[: len(one["markers"])] for one in found)
    assert len({len(one["markers"]) for one in found}) == 1
    assert len(found[0]["markers"]) > 10


@given(fee=st.integers(0, 10**9), answer=st.integers(0, 10**9), text=TEXTS)
@settings(max_examples=30, deadline=None)
def test_a_budget_of_the_worst_case_suffices_for_the_call(fee: int, answer: int, text: str) -> None:
    """What admission puts aside for a step is never less than what the router puts aside for its call."""
    candidate = Candidate(name="one", provider="openai", model="m", tokens_in=fee, tokens_out=answer)
    (route,) = routes([candidate])
    asked = prompt(text, *wordy(3))
    step = Step("read", tool="classify", takes={}, tokens=Tokens(16_000, asked.max_output_tokens))
    most = worst_case(Policy(candidates={"one": candidate}), [step])
    assert route.cost(most_tokens_in(asked), asked.max_output_tokens) <= most


def test_a_data_zone_is_reckoned_with_its_own_candidates() -> None:
    """Whom a tenant's zone rules out does not make its budget larger; where it rules out all, nothing is free."""
    candidates = {
        name: Candidate(name=name, provider="openai", model="m", data_zone=zone, tokens_in=fee, tokens_out=fee)
        for name, zone, fee in (("near", "eu", 100), ("far", "us", 900))
    }
    policy = Policy(candidates=candidates)
    step = Step("read", tool="classify", takes={}, tokens=Tokens(16_000, 512))
    near, far, anybody = (worst_case(policy, [step], zone) for zone in ("eu", "us", ""))
    assert 0 < near < far == anybody == worst_case(policy, [step], "moon")
