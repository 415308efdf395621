"""JSON from strangers: no duplicate keys, no NaN, no bottomless nesting, no surprises in the text's encoding."""

from __future__ import annotations

import json
from collections import Counter
from math import isfinite
from typing import Any, NoReturn

from shared.errors import Permanent
from shared.events.limits import shown

MAX_DEPTH = 32


def load_object(body: bytes | str, *, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """Return the JSON object in `body`; Permanent with line and column when it is not a plain one."""
    text = _text(body)
    _check_depth(text, max_depth)
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_float=finite, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise Permanent(
            f"not JSON: {error.msg} at line {error.lineno} column {error.colno}", code="broken-json"
        ) from error
    except ValueError as error:  # e.g. an integer of more digits than Python converts
        raise Permanent(f"not JSON we accept: {error}", code="broken-json") from error
    if not isinstance(value, dict):
        raise Permanent(f"expected a JSON object, got {type(value).__name__}", code="broken-json")
    return value


def _text(body: bytes | str) -> str:
    if isinstance(body, str):
        return body
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Permanent(f"not UTF-8 at byte {error.start}", code="broken-json") from error


def _check_depth(text: str, max_depth: int) -> None:
    """Count brackets outside strings before the parser recurses into them."""
    if text.count("[") + text.count("{") <= max_depth:
        return
    depth = 0
    in_string = escaped = False
    for char in text:
        if in_string:
            in_string = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char == '"':
            in_string = True
        elif char in "[{":
            depth += 1
            if depth > max_depth:
                raise Permanent(f"nested deeper than {max_depth} levels", code="too-deep")
        elif char in "]}":
            depth -= 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        (twice, _), *_rest = Counter(key for key, _ in pairs).most_common(1)
        raise Permanent(f"key {shown(twice)} appears twice", code="duplicate-key")
    return made


def finite(text: str) -> float:
    """Return the number; Permanent when it is none that can be counted with."""
    number = float(text)
    if not isfinite(number):
        raise Permanent(f"{shown(text)} is no number that can be counted with", code="broken-json")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise Permanent(f"{name} is not JSON", code="broken-json")
