from __future__ import annotations

from typing import Any

import pytest

from shared.core.answers import complaint
from shared.errors import Permanent

PERSON = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string", "minLength": 1}, "boss": {"$ref": "#"}},
}
GOOD: tuple[tuple[object, dict[str, Any]], ...] = (
    ({"name": "a", "more": 1}, PERSON),
    ({"name": "a", "boss": {"name": "b"}}, PERSON),
    (1.0, {"type": "integer"}),
    (None, {"type": ["string", "null"]}),
    (None, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
    (3, {"minimum": 3, "maximum": 3}),
    ("ab", {"minLength": 2, "maxLength": 2, "pattern": "^a"}),
    ([1, 2], {"items": {"type": "integer"}, "minItems": 2, "maxItems": 2}),
    ({"x": 1}, {"additionalProperties": {"type": "integer"}}),
    ("b", {"enum": ["a", "b"], "title": "letters", "description": "of the alphabet"}),
    (7, {"allOf": [{"exclusiveMinimum": 6}, {"exclusiveMaximum": 8}]}),
)
BAD: tuple[tuple[object, dict[str, Any], str], ...] = (
    ({}, PERSON, "answer lacks 'name'"),
    ({"name": ""}, PERSON, "answer.name must have at least 1 characters"),
    ({"name": "a", "boss": {"name": 1}}, PERSON, "answer.boss.name must be of type 'string'"),
    (True, {"type": "integer"}, "answer must be of type 'integer'"),
    (True, {"enum": [1]}, "answer must be one of [1]"),
    (1.5, {"type": "integer"}, "answer must be of type 'integer'"),
    ("c", {"enum": ["a", "b"]}, "answer must be one of ['a', 'b']"),
    ("c", {"const": "a"}, "answer must be 'a'"),
    (2, {"minimum": 3}, "answer must be at least 3"),
    (4, {"maximum": 3}, "answer must be at most 3"),
    (3, {"exclusiveMinimum": 3}, "answer must be more than 3"),
    (3, {"exclusiveMaximum": 3}, "answer must be less than 3"),
    ("abc", {"maxLength": 2}, "answer must have at most 2 characters"),
    ("b", {"pattern": "^a"}, "answer must match '^a'"),
    ([], {"minItems": 1}, "answer must have at least 1 items"),
    ([1, 2], {"maxItems": 1}, "answer must have at most 1 items"),
    ([1, "x"], {"items": {"type": "integer"}}, "answer[1] must be of type 'integer'"),
    ({"x": 1, "y": 2}, {"properties": {"x": {}}, "additionalProperties": False}, "answer may not have 'y'"),
    ({"x": "1"}, {"additionalProperties": {"type": "integer"}}, "answer.'x' must be of type 'integer'"),
    (1, {"anyOf": [{"type": "string"}, {"type": "null"}]}, "answer must be of type 'string' or"),
    (9, {"allOf": [{"minimum": 1}, {"maximum": 8}]}, "answer must be at most 8"),
)


@pytest.mark.parametrize(("value", "schema"), GOOD)
def test_an_answer_that_satisfies_the_schema_is_not_complained_about(value: object, schema: dict[str, Any]) -> None:
    """What a schema allows, passes."""
    assert complaint(value, schema) == ""


@pytest.mark.parametrize(("value", "schema", "said"), BAD)
def test_what_is_wrong_is_said_with_its_place(value: object, schema: dict[str, Any], said: str) -> None:
    """The first thing wrong is named so that a model can mend it."""
    assert complaint(value, schema).startswith(said)


def test_a_rule_that_cannot_be_checked_is_an_error() -> None:
    """A schema with an unknown keyword is refused instead of half checked."""
    with pytest.raises(Permanent, match="uniqueItems"):
        complaint([1, 1], {"uniqueItems": True})
    with pytest.raises(Permanent, match="nowhere"):
        complaint(1, {"$ref": "#/$defs/missing"})


def test_an_endless_answer_is_refused() -> None:
    """A schema that refers to itself ends with the depth an answer may have."""
    deep: dict[str, Any] = {"name": "a"}
    for _ in range(100):
        deep = {"name": "a", "boss": deep}
    assert "too deeply" in complaint(deep, PERSON)
