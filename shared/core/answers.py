"""Whether a model's answer satisfies the schema it was given, and if not, the first thing that is wrong with it.

As much of JSON Schema 2020-12 as answers use. No library: jsonschema costs a cold start 150 ms, fastjsonschema runs
code that it makes out of the schema, and the names of a tenant's classes stand in ours. A keyword that is not known
here is an error in the schema, not a rule silently left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from shared.errors import Permanent
from shared.events.limits import shown

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_SILENT = frozenset({"$defs", "default", "description", "examples", "format", "title", "$schema"})
_DEPTH = 32


def complaint(value: object, schema: Mapping[str, Any]) -> str:
    """Return what is wrong with the value, as a sentence a model can mend it by; nothing: it satisfies the schema."""
    return _check(value, schema, schema, "answer", 0)


def _check(value: object, schema: Mapping[str, Any], root: Mapping[str, Any], at: str, depth: int) -> str:
    if depth > _DEPTH:
        return f"{at} is nested too deeply"
    for keyword, given in schema.items():
        if keyword in _SILENT:
            continue
        if keyword in _NESTED:
            found = _NESTED[keyword](value, schema, root, at, depth)
        elif keyword in _PLAIN:
            found = f"{at} {_PLAIN[keyword][1].format(shown(given))}" if not _PLAIN[keyword][0](value, given) else ""
        else:
            raise Permanent(f"answers are not checked for {shown(keyword)}", code="bad-schema", where=at)
        if found:
            return found
    return ""


def _is(value: object, names: str | list[str]) -> bool:
    wanted = [names] if isinstance(names, str) else names
    if isinstance(value, bool):
        return "boolean" in wanted
    if isinstance(value, float) and value.is_integer() and "integer" in wanted:
        return True
    return any(isinstance(value, _TYPES[name]) for name in wanted)


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _same(value: object, other: object) -> bool:
    return value == other and isinstance(value, bool) == isinstance(other, bool)


_PLAIN: dict[str, Any] = {
    "type": (_is, "must be of type {}"),
    "enum": (lambda value, given: any(_same(value, one) for one in given), "must be one of {}"),
    "const": (_same, "must be {}"),
    "minLength": (lambda value, n: not isinstance(value, str) or len(value) >= n, "must have at least {} characters"),
    "maxLength": (lambda value, n: not isinstance(value, str) or len(value) <= n, "must have at most {} characters"),
    "pattern": (lambda value, p: not isinstance(value, str) or re.search(p, value), "must match {}"),
    "minItems": (lambda value, n: not isinstance(value, list) or len(value) >= n, "must have at least {} items"),
    "maxItems": (lambda value, n: not isinstance(value, list) or len(value) <= n, "must have at most {} items"),
    "minimum": (lambda value, n: _number(value) is None or value >= n, "must be at least {}"),
    "maximum": (lambda value, n: _number(value) is None or value <= n, "must be at most {}"),
    "exclusiveMinimum": (lambda value, n: _number(value) is None or value > n, "must be more than {}"),
    "exclusiveMaximum": (lambda value, n: _number(value) is None or value < n, "must be less than {}"),
}


def _reference(value: object, schema: Mapping[str, Any], root: Mapping[str, Any], at: str, depth: int) -> str:
    target: Any = root
    for step in schema["$ref"].removeprefix("#").split("/")[1:]:
        target = target.get(step) if isinstance(target, Mapping) else None
    if not isinstance(target, Mapping):
        raise Permanent(f"{shown(schema['$ref'])} is nowhere", code="bad-schema", where=at)
    return _check(value, target, root, at, depth + 1)


def _any(value: object, schema: Mapping[str, Any], root: Mapping[str, Any], at: str, depth: int) -> str:
    complaints = [_check(value, one, root, at, depth + 1) for one in schema["anyOf"]]
    return "" if "" in complaints else " or ".join(complaints)


def _all(value: object, schema: Mapping[str, Any], root: Mapping[str, Any], at: str, depth: int) -> str:
    return next((found for one in schema["allOf"] if (found := _check(value, one, root, at, depth + 1))), "")


def _required(value: object, schema: Mapping[str, Any], _root: Mapping[str, Any], at: str, _depth: int) -> str:
    if not isinstance(value, dict):
        return ""
    return next((f"{at} lacks {shown(name)}" for name in schema["required"] if name not in value), "")


def _properties(value: object, schema: Mapping[str, Any], root: Mapping[str, Any], at: str, depth: int) -> str:
    if not isinstance(value, dict):
        return ""
    parts = ((name, part) for name, part in schema["properties"].items() if name in value)
    found = (_check(value[name], part, root, f"{at}.{name}", depth + 1) for name, part in parts)
    return next(filter(None, found), "")


def _additional(value: object, schema: Mapping[str, Any], root: Mapping[str, Any], at: str, depth: int) -> str:
    rule = schema["additionalProperties"]
    if rule is True or not isinstance(value, dict):
        return ""
    others = [name for name in value if name not in schema.get("properties", {})]
    if rule is False:
        return f"{at} may not have {shown(others[0])}" if others else ""
    found = (_check(value[name], rule, root, f"{at}.{shown(name)}", depth + 1) for name in others)
    return next(filter(None, found), "")


def _items(value: object, schema: Mapping[str, Any], root: Mapping[str, Any], at: str, depth: int) -> str:
    if not isinstance(value, list):
        return ""
    rule = schema["items"]
    found = (_check(one, rule, root, f"{at}[{place}]", depth + 1) for place, one in enumerate(value))
    return next(filter(None, found), "")


_NESTED = {
    "$ref": _reference,
    "anyOf": _any,
    "allOf": _all,
    "required": _required,
    "properties": _properties,
    "additionalProperties": _additional,
    "items": _items,
}
