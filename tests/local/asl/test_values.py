from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.asl.choice import compile_rule, instant
from local.asl.paths import compile_template, growth
from local.asl.scope import duplicate, encode, size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("aé漢 ", min_size=1), inner, max_size=3),
    max_leaves=8,
)

DATA = {
    "a": {"b": [1, {"c": "x"}, {"c": "y"}, 4]},
    "odd name": {"x.y": 1},
    "text": "abc",
    "none": None,
    "map": {"p": {"v": 1}, "q": {"v": 2}},
}

FOUND: dict[str, Any] = {
    "$": DATA,
    "$.a.b[0]": 1,
    "$.a.b[-1]": 4,
    "$['a']['b'][1].c": "x",
    '$["odd name"]["x.y"]': 1,
    "$.a.b[*].c": ["x", "y"],
    "$.map.*.v": [1, 2],
    "$.none": None,
    "$$.Execution.Input.text": "abc",
    "States.Format('{}', $.a)": "{b=[1, {c=x}, {c=y}, 4]}",
    "States.Format($.text)": "abc",
    "States.Format('{}{}', 1.5, false)": "1.5false",
    "States.StringToJson('')": None,
    "States.StringToJson(' ')": None,
    "States.StringToJson('\\{\"a\": 1\\}')": {"a": 1},
    "States.MathAdd(1.49, 1.5)": 3,
    "States.MathAdd(-1.5, -1.51)": -3,
    "States.MathAdd(-0.5, 0.5)": 1,
    "States.ArrayContains(States.Array(true), 1)": False,
    "States.ArrayContains(States.Array($.a), $.a)": True,
    "States.ArrayUnique(States.Array(1, true, 1, 'a', 'a'))": [1, True, "a"],
    "States.ArrayRange(5, 1, -2)": [5, 3, 1],
    "States.ArrayPartition(States.Array(), 3)": [],
    "States.StringSplit('This.is+a,test=string', '.+,=')": ["This", "is", "a", "test", "string"],
    "States.StringSplit(',,,', ',')": [],
    "States.StringSplit('a]b^c', ']^')": ["a", "b", "c"],
    "States.Hash('input data', 'MD5')": "812f45842bc6d66ee14572ce20db8e86",
    "States.Array( 1 , 'a' )": [1, "a"],
}


@pytest.mark.parametrize("expression", FOUND)
def test_an_expression_yields_its_value(expression: str, evaluate: Callable[..., Any]) -> None:
    """Paths and calls yield what the service was recorded to yield."""
    found = evaluate(expression, DATA)
    assert (found.status, found.output, found.error) == ("SUCCEEDED", FOUND[expression], None)


@pytest.mark.parametrize(
    "expression",
    ["$.x", "$.text.x", "$.text[0]", "$.a[0]", "$.a.b[9]", "$.a.b.c", "$.none.x", "$.text[*]", "$$.Nobody"],
)
def test_a_path_that_finds_nothing_is_a_runtime_error(expression: str, evaluate: Callable[..., Any]) -> None:
    """A path without an end names itself and its field, but shows nothing of the data."""
    found = evaluate(expression, DATA)
    assert (found.status, found.error) == ("FAILED", "States.Runtime")
    assert found.cause == (
        f"An error occurred while executing the state 'Only'. The JSONPath '{expression}' specified for "
        "the field 'value.$' could not be found"
    )


@pytest.mark.parametrize(
    "expression",
    [
        "States.Nothing($)",
        "States.Format('{}')",
        "States.Format('', 1)",
        "States.Format($.a)",
        "States.StringToJson('{')",
        "States.StringToJson($.a)",
        "States.ArrayGetItem($.a.b, 4)",
        "States.ArrayGetItem($.a.b, -1)",
        "States.ArrayGetItem($.a.b, true)",
        "States.ArrayLength($.text)",
        "States.ArrayPartition($.a.b, 0)",
        "States.ArrayRange(0, 1000, 1)",
        "States.ArrayRange(0, 1, 0)",
        "States.JsonMerge($.a, $.a, true)",
        "States.JsonMerge($.a, $.text, false)",
        "States.Hash('x', 'SHA-3')",
        "States.Hash(1, 'MD5')",
        "States.MathAdd('1', 2)",
        "States.MathAdd(true, 2)",
        "States.Base64Decode('*')",
        "States.StringSplit('a', 1)",
    ],
)
def test_a_function_that_cannot_is_an_intrinsic_failure(expression: str, evaluate: Callable[..., Any]) -> None:
    """An unknown function and one that gets what it cannot take report States.IntrinsicFailure."""
    found = evaluate(expression.replace("'{'", "'\\{'"), DATA)
    assert (found.status, found.error) == ("FAILED", "States.IntrinsicFailure")


OPERATORS: list[tuple[str, Any, Any, bool]] = [
    ("StringLessThan", "a", "b", True),
    ("StringLessThanEquals", "a", "a", True),
    ("StringGreaterThanEquals", "B", "a", False),
    ("NumericLessThan", 1, 1.5, True),
    ("NumericEquals", 1.0, 1, True),
    ("NumericEquals", True, 1, False),
    ("NumericGreaterThan", "2", 1, False),
    ("BooleanEquals", False, False, True),
    ("BooleanEquals", 0, False, False),
    ("TimestampLessThanEquals", "2025-01-01T00:00:00.5Z", "2025-01-01T00:00:00.500Z", True),
    ("TimestampEquals", "2025-01-01", "2025-01-01T00:00:00Z", False),
    ("StringMatches", "a.b", "a?b", False),
    ("StringMatches", "line\nbreak", "line*", True),
    ("StringMatches", None, "*", False),
    ("StringMatches", "a*b", "a\\*b", True),
    ("StringMatches", "axb", "a\\*b", False),
    ("IsTimestamp", "2025-01-01T00:00:00Z", True, True),
    ("IsTimestamp", "2025-01-01T00:00:00", True, False),
    ("IsBoolean", False, True, True),
    ("IsNumeric", False, False, True),
    ("IsNull", 0, False, True),
    ("IsString", "", True, True),
]


@pytest.mark.parametrize(("operator", "value", "expected", "holds"), OPERATORS)
def test_an_operator_compares_only_its_own_type(
    operator: str,
    value: Any,
    expected: Any,
    holds: bool,  # noqa: FBT001  a table's column
) -> None:
    """Each operator compares values of its type and matches no other."""
    test = compile_rule({"Variable": "$.v", operator: expected}, "")
    assert test({"v": value}, {}) is holds


@pytest.mark.parametrize("text", ["2025-02-30T00:00:00Z", "2025-01-01t00:00:00z", "2025-01-01T00:00:00", 5, None])
def test_only_strict_timestamps_count(text: Any) -> None:
    """A timestamp has a capital T, an offset, and a day that exists."""
    assert instant(text) is None


def test_a_duplicate_shares_nothing() -> None:
    """A copy of JSON data is equal and can be changed without the original."""
    data = {"a": [{"b": 1}], "c": {"d": []}}
    copy = duplicate(data)
    copy["a"][0]["b"] = 2
    copy["c"]["d"].append(1)
    assert data == {"a": [{"b": 1}], "c": {"d": []}}


def _places(data: Any, path: str = "$") -> Iterator[str]:
    yield path
    if isinstance(data, dict | list):
        for key, item in data.items() if isinstance(data, dict) else enumerate(data):
            yield from _places(item, f"{path}[{key}]" if isinstance(data, list) else f"{path}['{key}']")


@settings(deadline=None)
@given(data=JSON, picks=st.lists(st.integers(0, 1_000), min_size=1, max_size=4), fixed=JSON)
def test_a_template_never_outgrows_its_bound(data: Any, picks: list[int], fixed: Any) -> None:
    """Whatever paths a template takes from the data, what it yields is no larger than foretold."""
    places = [*_places(data)]
    template = {f"v{at}.$": places[pick % len(places)] for at, pick in enumerate(picks)} | {"fixed": fixed}
    filled = compile_template(template, "")(data, {})
    bytes_fixed, times = growth(template) or (0, 0)
    assert size_of(encode(filled)) <= bytes_fixed + times * size_of(encode(data))


def test_sizes_are_bytes() -> None:
    """A letter outside ASCII counts its bytes."""
    assert (size_of('"a"'), size_of('"é"'), size_of('"\ud800"')) == (3, 4, 5)
