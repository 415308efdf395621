from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, Field

from local.model_server import schemas
from shared.errors import Permanent
from shared.tools.classify import _Answer


class Leaf(BaseModel):
    name: str = Field(min_length=6)
    kind: str | None
    score: float = Field(ge=2)
    tags: list[str] = Field(min_length=1)


class Tree(BaseModel):
    leaf: Leaf
    branches: list[Leaf] = Field(min_length=2)
    sure: bool


GEMINI: dict[str, Any] = {
    "type": "OBJECT",
    "properties": {
        "count": {"type": "INTEGER", "minimum": 3},
        "names": {"type": "ARRAY", "items": {"type": "STRING"}, "minItems": "2"},
        "note": {"type": "STRING", "nullable": True},
    },
    "required": ["count", "names"],
}
SCHEMAS = [
    Tree.model_json_schema(),
    _Answer.model_json_schema(),
    GEMINI,
    {"type": "object", "properties": {"a": {"enum": ["x", "y"]}, "b": {"const": 4}}, "additionalProperties": False},
    {"type": ["object", "null"], "properties": {"a": {"oneOf": [{"type": "integer"}, {"type": "string"}]}}},
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_sample_satisfies_and_a_spoiled_one_does_not(schema: dict[str, Any]) -> None:
    """A sample satisfies its schema, and the value made to be wrong does not."""
    schemas.check(schema)
    assert schemas.conforms(schemas.sample(schema), schema)
    assert not schemas.conforms(schemas.spoiled(schema), schema)


def test_pydantic_agrees_on_samples() -> None:
    """A sample of a model's schema is a valid model, and the spoiled one is not."""
    Tree.model_validate(schemas.sample(Tree.model_json_schema()))
    with pytest.raises(ValueError, match="validation errors"):
        Tree.model_validate(schemas.spoiled(Tree.model_json_schema()))


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (True, {"type": "integer"}),
        ("a", {"enum": ["b"]}),
        ({"a": 1}, {"additionalProperties": False}),
        ({}, {"required": ["a"]}),
        ([1, "a"], {"items": {"type": "integer"}}),
        ([1], {"minItems": 2}),
        ("abc", {"maxLength": 2}),
        (5, {"maximum": 4}),
        ({"a": 1}, {"properties": {"a": {"$ref": "#/$defs/T"}}, "$defs": {"T": {"type": "string"}}}),
        (1, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (2, {"const": 1}),
    ],
)
def test_what_does_not_satisfy_is_seen(value: object, schema: dict[str, Any]) -> None:
    """Each keyword of a schema can tell a wrong value."""
    assert not schemas.conforms(value, schema)


def test_an_answer_loses_what_the_schema_does_not_name() -> None:
    """An answer is cut down to the schema's properties; one that lacks a required one becomes a sample."""
    schema = {"properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
    assert schemas.fitted({"a": 4, "b": 5}, schema) == {"a": 4}
    assert schemas.conforms(schemas.fitted({"b": 5}, schema), schema)


def test_a_schema_that_refers_to_itself_ends() -> None:
    """A sample of a recursive schema is finite."""
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    assert schemas.conforms({"next": {"next": {}}}, schema)
    assert isinstance(schemas.sample(schema), dict)


@pytest.mark.parametrize("schema", [{"type": 5}, {"properties": []}, {"properties": {"a": {"minItems": "x"}}}])
def test_what_is_no_schema_is_refused(schema: dict[str, Any]) -> None:
    """What cannot be read as a schema is Permanent."""
    with pytest.raises(Permanent, match="no JSON schema"):
        schemas.check(schema)
