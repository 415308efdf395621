from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Permanent
from shared.events.strict import MAX_DEPTH, load_object

WORDS = st.text(st.characters(codec="utf-8"), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(WORDS, VALUES, max_size=4))
def test_plain_objects_are_read(value: dict[str, object]) -> None:
    """Every plain JSON object is read as it is, from text and from bytes."""
    text = json.dumps(value)
    assert load_object(text) == load_object(text.encode()) == value


@given(st.binary(max_size=40))
def test_bytes_are_read_or_refused(body: bytes) -> None:
    """Any bytes are either an object or refused, and nothing else happens."""
    assert outcome(body) in {"dict", "broken-json", "too-deep", "duplicate-key"}


def outcome(body: bytes) -> str:
    """Return the kind of what was read, or the code of what is wrong."""
    try:
        return type(load_object(body)).__name__
    except Permanent as refused:
        return refused.code


def nested(depth: int) -> str:
    """Return an object nested so deep."""
    return '{"a":' * depth + "1" + "}" * depth


def test_depth() -> None:
    """Nesting is allowed up to the limit and not one level further."""
    assert load_object(nested(MAX_DEPTH))
    with pytest.raises(Permanent, match=f"deeper than {MAX_DEPTH}"):
        load_object(nested(MAX_DEPTH + 1))


def test_brackets_in_text_do_not_nest() -> None:
    """Brackets and escaped quotes inside a string are text."""
    value = {"a": '[[[{"\\"' * 40}
    assert load_object(json.dumps(value)) == value


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "-Infinity"])
def test_numbers_are_finite(number: str) -> None:
    """What no finite number is, is refused, however it is written."""
    assert outcome(f'{{"a": [{number}]}}'.encode()) == "broken-json"


def test_the_first_key_that_stands_twice_is_found_at_once() -> None:
    """Of a great many keys the one that stands twice is named, cut, in about the time it takes to read them."""
    long = "k" * 5000
    pairs = [f'"{long}": 0', *(f'"{number}": 0' for number in range(100_000)), f'"{long}": 1']
    with pytest.raises(Permanent) as refused:
        load_object("{" + ",".join(pairs) + "}")
    assert refused.value.code == "duplicate-key"
    assert len(str(refused.value)) < 120


def test_where_it_breaks() -> None:
    """Broken JSON is refused with the line and the column."""
    with pytest.raises(Permanent, match="line 2 column 7"):
        load_object('{"a": 1,\n "b": x}')
