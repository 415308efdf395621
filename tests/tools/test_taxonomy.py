from __future__ import annotations

import re

import pytest

from shared.core.taxonomy import Taxonomy, parse_taxonomy
from shared.errors import NotFound, Permanent
from shared.taxonomies import builtin, names

CAT = '[[classes]]\nname = "cat"\nkeywords = ["purr"]\n'
DOG = '[[classes]]\nname = "dog"\nfamily = "canine"\nmarkers = ["good boy"]\napproval = true\n'
HEAD = 'name = "pets"\nthreshold = 0.5\n'


def pets(extra: str = "") -> Taxonomy:
    """Return a taxonomy of cats and dogs."""
    return parse_taxonomy(f"{HEAD}{extra}{CAT}{DOG}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = 1\nb = ]\n", r"not TOML: .*line 2"),
        (f"{HEAD}threshold = 0.5\n", r"not TOML: .*line 3"),
        ("x = " + "[" * 5000, "nested deeper"),
        ("", "name: Field required; threshold: Field required; classes: Field required"),
        (HEAD, "classes: Field required"),
        (f"{HEAD}classes = []", "no class; give it at least one"),
        (f"{HEAD}colour = 1\n{CAT}", "colour: unknown field"),
        (f"{HEAD}{CAT}colour = 1\n", r"classes\[0\] \(cat\).colour: unknown field"),
        (f"{HEAD}{CAT}{CAT}", "class 'cat' is there twice"),
        (f"{HEAD}{CAT}approval = 'perhaps'\n", r"classes\[0\] \(cat\).approval: .*boolean"),
        ('name = "x"\nthreshold = 1.5\n' + CAT, "threshold: .*less than or equal to 1"),
        ('name = "x"\nthreshold = nan\n' + CAT, "'nan' is no number"),
        ('name = "x"\nthreshold = "high"\n' + CAT, "threshold: .*valid number"),
        (f'{HEAD}[[classes]]\nname = "cat"\n', r"classes\[0\] \(cat\): nothing to recognise it by"),
        (f'{HEAD}[[classes]]\nname = "unknown"\nkeywords = ["x"]\n', "cannot be a class"),
        (f'{HEAD}[[classes]]\nname = "cat"\nkeywords = [" "]\n', "fits every document"),
        (f'{HEAD}[[classes]]\nkeywords = ["x"]\n', r"classes\[0\].name: Field required"),
        (f'{HEAD}classes = ["cat"]', r"classes\[0\]: .*dictionary"),
        (f'{HEAD}classes = "cat"', "classes: .*tuple"),
    ],
)
def test_what_is_wrong_with_a_taxonomy_is_said(text: str, says: str) -> None:
    """A taxonomy that cannot be used is a Permanent error that says what is wrong and where."""
    with pytest.raises(Permanent, match=says) as caught:
        parse_taxonomy(text)
    assert (caught.value.code, caught.value.where) == ("bad-taxonomy", "taxonomy")


def test_many_mistakes_are_told_at_once() -> None:
    """The first five mistakes are told, and how many more there are."""
    text = HEAD + "".join(f"[[classes]]\nname = 'c{number}'\nkeywords = 7\n" for number in range(8))
    with pytest.raises(Permanent, match=r"; and 3 more$"):
        parse_taxonomy(text)


@pytest.mark.parametrize(
    ("label", "score", "also", "required", "rule", "says"),
    [
        ("cat", 0.9, (), False, "class:cat", "cat needs no approval."),
        ("dog", 0.9, (), True, "class:dog", r"dog \(canine\) needs an approval."),
        ("cat", 0.5, (), False, "class:cat", "no approval"),
        ("cat", 0.49, (), True, "unknown", "cat scores 0.49, below the threshold of 0.50"),
        ("unknown", 0.0, (), True, "unknown", "a human must look at it"),
        ("cat", 0.9, ("dog",), True, "also:dog", "also holds dog"),
        ("cat", 0.9, ("bird",), False, "class:cat", "no approval"),
    ],
)
def test_a_label_has_a_ruling(
    label: str, score: float, also: tuple[str, ...], *, required: bool, rule: str, says: str
) -> None:
    """Each case has its answer, its rule and a sentence."""
    ruling = pets().ruling(label, score, also)
    assert (ruling.required, ruling.rule) == (required, rule)
    assert re.search(says, ruling.reason)


def test_the_unknown_may_pass_where_the_taxonomy_says_so() -> None:
    """Whether the unknown needs a human is the taxonomy's decision."""
    ruling = pets("unknown_needs_approval = false\n").ruling("unknown")
    assert (ruling.required, ruling.rule) == (False, "unknown")


def test_a_label_of_another_taxonomy_is_refused() -> None:
    """A label that is no class has no ruling."""
    with pytest.raises(Permanent, match="'bird' is no class of taxonomy pets"):
        pets().ruling("bird")


@pytest.mark.parametrize(
    ("extra", "classes", "may_ask"),
    [
        ("", CAT, True),
        ("unknown_needs_approval = false\n", CAT, False),
        ("unknown_needs_approval = false\n", CAT + DOG, True),
    ],
)
def test_a_taxonomy_knows_whether_it_may_ask(extra: str, classes: str, *, may_ask: bool) -> None:
    """It may ask when a class or the unknown needs an approval."""
    assert parse_taxonomy(f"{HEAD}{extra}{classes}").may_ask is may_ask


def test_equal_taxonomies_are_one_key() -> None:
    """Taxonomies can be keys of a cache: equal ones are the same key, different ones are not."""
    assert len({pets(), pets(), pets('version = "2"\n'), pets("unknown_needs_approval = false\n")}) == 3


@pytest.mark.parametrize("name", names())
def test_what_comes_with_the_product_is_valid(name: str) -> None:
    """Every taxonomy of the product parses and bears its file's name."""
    assert parse_taxonomy(builtin(name)).name == name


@pytest.mark.parametrize("name", ["", "nothing", "../core/taxonomy", "licences.toml"])
def test_no_other_file_is_a_taxonomy(name: str) -> None:
    """A name that is none of the product's taxonomies is refused with those there are."""
    with pytest.raises(NotFound, match="known: general, licences"):
        builtin(name)


def test_copyleft_needs_an_approval_and_permissive_does_not() -> None:
    """The licences' families and their approvals agree."""
    approval = {known.family: known.approval for known in parse_taxonomy(builtin("licences")).classes}
    assert approval == {
        "permissive": False,
        "public domain": False,
        "weak copyleft": True,
        "strong copyleft": True,
        "network copyleft": True,
        "source available": True,
    }
    assert all(known.approval is approval[known.family] for known in parse_taxonomy(builtin("licences")).classes)
