"""JSON Schema, as much of it as structured output uses: does a value satisfy it, make one that does, or does not.

Reads Gemini's dialect, too: types in capitals, `nullable`, numbers as text. An unknown keyword forbids nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import Permanent

Schema = Mapping[str, Any]

_DEPTH = 12  # what nests deeper is given as null
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


class _Shape(BaseModel):
    model_config = ConfigDict(extra="ignore")

    type: str | list[str] = ""
    enum: list[Any] = Field(default_factory=list)
    properties: dict[str, _Shape] = Field(default_factory=dict)
    required: list[str] = Field(default_factory=list)
    items: _Shape | None = None
    any_of: list[_Shape] = Field(default_factory=list, alias="anyOf")
    one_of: list[_Shape] = Field(default_factory=list, alias="oneOf")
    definitions: dict[str, _Shape] = Field(default_factory=dict, alias="$defs")
    most_items: int = Field(default=0, ge=0, alias="maxItems")
    least_items: int = Field(default=0, ge=0, alias="minItems")
    longest: int = Field(default=0, ge=0, alias="maxLength")
    shortest: int = Field(default=0, ge=0, alias="minLength")
    minimum: float = 0
    maximum: float = 0


def check(schema: Schema) -> None:
    """Permanent when this is no schema that we can read."""
    try:
        _Shape.model_validate(schema)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Permanent(f"no JSON schema: {first['msg']}", where=".".join(map(str, first["loc"]))) from error


def conforms(value: object, schema: Schema, root: Schema | None = None) -> bool:
    """Tell whether the value satisfies the schema."""
    root = schema if root is None else root
    schema = _followed(schema, root)
    if value is None and schema.get("nullable"):
        return True
    types = _types(schema)
    if types and not any(_is(value, name) for name in types):
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    choices = _choices(schema)
    if choices and not any(conforms(value, choice, root) for choice in choices):
        return False
    return _parts_conform(value, schema, root)


def sample(schema: Schema, root: Schema | None = None, depth: int = 0) -> Any:  # noqa: ANN401  any JSON value
    """Return a plain value that satisfies the schema."""
    root = schema if root is None else root
    schema = _followed(schema, root)
    if "const" in schema or schema.get("enum"):
        return schema.get("const", next(iter(schema.get("enum", ())), None))
    if depth > _DEPTH:
        return None
    choices = _choices(schema)
    if choices:
        return sample(choices[0], root, depth + 1)
    return _sample_of_type(schema, root, depth + 1)


def _sample_of_type(schema: Schema, root: Schema, depth: int) -> object:
    name = next(iter(_types(schema)), "object" if "properties" in schema else "string")
    if name == "object":
        wanted = _properties(schema)
        return {part: sample(wanted.get(part, {}), root, depth) for part in schema.get("required", wanted)}
    if name == "array":
        return [sample(schema.get("items", {}), root, depth) for _ in range(_number(schema, "minItems"))]
    if name == "string":
        return "text".ljust(_number(schema, "minLength"), ".")[: _number(schema, "maxLength", 80)]
    return {"boolean": False, "null": None}.get(name, _number(schema, "minimum"))


def fitted(value: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Return the value without what the schema does not name; where that is not enough, a sample."""
    wanted = _properties(_followed(schema, schema))
    kept = {name: part for name, part in value.items() if not wanted or name in wanted}
    made = kept if conforms(kept, schema) else sample(schema)
    return made if isinstance(made, dict) else {"value": made}


def spoiled(schema: Schema | None) -> dict[str, Any]:
    """Return valid JSON that does not satisfy the schema: every part is of another type."""
    stranger = {"unexpected": True}
    if schema is None:
        return stranger
    wanted = _properties(_followed(schema, schema))
    return {name: _other(_followed(part, schema)) for name, part in wanted.items()} or stranger


def _other(schema: Schema) -> object:
    return "unexpected" if "object" in _types(schema) else {"unexpected": True}


def _followed(schema: Schema, root: Schema) -> Schema:
    for _ in range(_DEPTH):
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            break
        found: Any = root
        for step in reference[2:].split("/"):
            found = found.get(step, {}) if isinstance(found, Mapping) else {}
        schema = found if isinstance(found, Mapping) else {}
    return schema


def _types(schema: Schema) -> list[str]:
    told = schema.get("type", [])
    return [str(name).lower() for name in ([told] if isinstance(told, str) else told)]


def _is(value: object, name: str) -> bool:
    if isinstance(value, bool) and name in {"integer", "number"}:
        return False
    return isinstance(value, _TYPES.get(name, (object,)))


def _choices(schema: Schema) -> list[Schema]:
    return [*schema.get("anyOf", []), *schema.get("oneOf", [])]


def _properties(schema: Schema) -> dict[str, Schema]:
    return dict(schema.get("properties", {}))


def _number(schema: Schema, name: str, default: int = 0) -> int:
    return math.ceil(float(schema.get(name, default)))


def _parts_conform(value: object, schema: Schema, root: Schema) -> bool:
    match value:
        case dict():
            return _object_conforms(value, schema, root)
        case list():
            items = schema.get("items", {})
            return _fits(len(value), schema, "Items") and all(conforms(one, items, root) for one in value)
        case str():
            return _fits(len(value), schema, "Length")
        case int() | float() if not isinstance(value, bool):
            return float(schema.get("minimum", value)) <= value <= float(schema.get("maximum", value))
    return True


def _object_conforms(value: dict[str, Any], schema: Schema, root: Schema) -> bool:
    wanted = _properties(schema)
    if not set(schema.get("required", ())) <= value.keys():
        return False
    if schema.get("additionalProperties") is False and not value.keys() <= wanted.keys():
        return False
    return all(conforms(part, wanted[name], root) for name, part in value.items() if name in wanted)


def _fits(size: int, schema: Schema, what: str) -> bool:
    return _number(schema, f"min{what}") <= size <= _number(schema, f"max{what}", size)
