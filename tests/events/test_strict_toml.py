from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Permanent
from shared.events.strict import MAX_DEPTH
from shared.events.strict_toml import load_toml

MOST = 300_000
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)
PARTS = "a." * 40_000


def written(value: object) -> str:
    """Return a text, or a list of texts, as TOML writes it."""
    return json.dumps(value, ensure_ascii=False)


def outcome(text: str, most: int = MOST) -> str:
    """Return what was read as JSON, or the code of what is wrong."""
    try:
        return json.dumps(load_toml(text, most=most))
    except Permanent as refused:
        return refused.code


@pytest.mark.parametrize(
    "text",
    [
        f"{PARTS}a = 1",
        f"[{PARTS}a]\nb = 1",
        f"b = {{{PARTS}a = 1}}",
        " . ".join(['"a"'] * 40_000) + " = 1",
        ".".join(["'a'"] * 40_000) + " = 1",
        'x = ["""a"""", {' + PARTS + 'a = 1}, "b"]',
        "x = ['''a'''', {" + PARTS + "a = 1}, 'b']",
        f'# \' """\n{PARTS}a = 1',
        f'x = "\\""\n{PARTS}a = 1',
        "a = " + "[" * 40_000,
        "a = " + "{b = " * 40_000,
    ],
    ids=lambda text: text[:12],
)
def test_what_would_take_minutes_is_refused_unread(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A key of a great many parts, and bottomless nesting, never reach the parser, however they are hidden."""
    monkeypatch.setattr(tomllib, "loads", lambda *_, **__: pytest.fail("it was parsed"))
    assert outcome(text) == "too-deep"


@pytest.mark.parametrize(
    "text",
    [
        "a = [" + ", ".join(["1.5"] * 500) + "]",
        'a = "' + "." * 500 + "[" * 500 + '"',
        "a = '''" + ".[\n" * 500 + "'''",
        'a = """' + '.\\"""[' * 500 + '"""""',
        "# " + "." * 500 + "[" * 500 + "\na = 1",
        "\n".join(f"[[a]]\nb.c = [{number}.5]" for number in range(500)),
    ],
    ids=lambda text: text[:12],
)
def test_long_is_not_deep(text: str) -> None:
    """Dots and brackets that nest nothing are counted by nobody: numbers, texts, comments, tables one after another."""
    assert load_toml(text, most=MOST) == tomllib.loads(text)


@given(st.dictionaries(WORDS, WORDS | st.lists(WORDS, max_size=40), max_size=4))
def test_plain_texts_are_read(value: dict[str, object]) -> None:
    """Whatever texts a file holds, it is read as it is."""
    text = "\n".join(f"{written(key)} = {written(one)}" for key, one in value.items())
    assert load_toml(text, most=MOST) == tomllib.loads(text)


def test_depth() -> None:
    """Nesting is allowed up to the limit and not one level further."""
    assert load_toml("a = " + "[" * MAX_DEPTH + "]" * MAX_DEPTH, most=MOST)
    assert outcome("a = " + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)) == "too-deep"
    assert load_toml("a." * MAX_DEPTH + "a = 1", most=MOST)
    assert outcome("a." * (MAX_DEPTH + 1) + "a = 1") == "too-deep"


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "+nan", "1e999"])
def test_numbers_are_finite(number: str) -> None:
    """What is no number anybody can count with is refused."""
    assert outcome(f"a = {number}") == "broken-json"


@pytest.mark.parametrize(
    "text", ["a = 1\na = 2", "[a]\n[a]", "a = {b = 1, b = 2}", 'a = 1\n"a" = 2', "a", "a = 9" + "9" * 5000]
)
def test_what_is_no_toml_is_refused(text: str) -> None:
    """A key that stands twice, half a line and a number without end are refused."""
    assert outcome(text) == "broken-toml"


def test_the_size_is_looked_at_first() -> None:
    """A text of too many characters is refused as oversize, whatever is in it."""
    assert outcome("a." * 50, most=99) == "oversize"
