"""The functions behind `States.…` in a payload template: plain functions of JSON values.

Knows neither paths nor states (`calls` parses and compiles the calls). Rounding, rendering and the
treatment of empty strings follow what the service was recorded to answer, not Python's habits. What is
random there (States.UUID, States.MathRandom) is missing here: a repeated execution must come out the same.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.asl.failures import Json

_HASHES = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}
_LONGEST_RANGE = 1_000
_PLACEHOLDER = re.compile(r"(?<!\\)\{\}")
_ESCAPED = re.compile(r"\\([\\'{}])")


def unescape(literal: str) -> str:
    """Take the backslashes off a string literal."""
    return _ESCAPED.sub(r"\1", literal)


def format_text(template: Json, *values: Json) -> str:
    """Fill each {} of the template, which still carries its escapes."""
    pieces = [unescape(piece) for piece in _PLACEHOLDER.split(_text(template))]
    if len(pieces) != len(values) + 1:
        raise ValueError(f"{len(pieces) - 1} placeholders for {len(values)} values")
    return pieces[0] + "".join(render(value) + piece for value, piece in zip(values, pieces[1:], strict=True))


def render(value: Json) -> str:
    """Write a value as the service does inside a text: objects come out in Java's notation."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{', '.join(map(render, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={render(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def string_to_json(text: Json) -> Json:
    """Parse JSON; a blank text is null."""
    return json.loads(text) if _text(text).strip() else None


def json_to_string(value: Json) -> str:
    """Write JSON without spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def array(*values: Json) -> list[Json]:
    """Collect the arguments."""
    return [*values]


def array_get_item(items: Json, index: Json) -> Json:
    """Return the item at the index, counted from 0."""
    at = _whole(index)
    if not 0 <= at < len(_items(items)):
        raise ValueError(f"index {at} is out of bounds")
    return items[at]


def array_length(items: Json) -> int:
    """Count the items."""
    return len(_items(items))


def array_contains(items: Json, wanted: Json) -> bool:
    """Whether an equal item is there; true is not 1."""
    return _key(wanted) in map(_key, _items(items))


def array_unique(items: Json) -> list[Json]:
    """Return the items without repetitions (the service promises no order; we keep theirs)."""
    return [*{_key(item): item for item in _items(items)}.values()]


def array_partition(items: Json, size: Json) -> list[Json]:
    """Cut the items into chunks."""
    step = _whole(size)
    if step < 1:
        raise ValueError("the chunk size must be positive")
    return [items[at : at + step] for at in range(0, len(_items(items)), step)]


def array_range(first: Json, last: Json, step: Json) -> list[int]:
    """Count from first to last, both included."""
    stride = _whole(step)
    if stride == 0:
        raise ValueError("the step must not be 0")
    numbers = range(_whole(first), _whole(last) + (1 if stride > 0 else -1), stride)
    if len(numbers) > _LONGEST_RANGE:
        raise ValueError(f"a range holds at most {_LONGEST_RANGE} items")
    return [*numbers]


def json_merge(left: Json, right: Json, deep: Json) -> dict[str, Json]:
    """Merge two objects, top level only: the service knows no deep merge."""
    if deep is not False:
        raise ValueError("the third argument must be false")
    if not isinstance(left, dict) or not isinstance(right, dict):
        raise TypeError("both arguments must be objects")
    return {**left, **right}


def hash_text(text: Json, algorithm: Json) -> str:
    """Hash a text, in hexadecimal."""
    if algorithm not in _HASHES:
        raise ValueError(f"the algorithm must be one of {', '.join(_HASHES)}")
    return hashlib.new(_HASHES[algorithm], _text(text).encode(), usedforsecurity=False).hexdigest()


def math_add(left: Json, right: Json) -> int:
    """Add two numbers, each rounded half up first."""
    return math.floor(_number(left) + 0.5) + math.floor(_number(right) + 0.5)


def base64_encode(text: Json) -> str:
    """Encode a text."""
    return base64.b64encode(_text(text).encode()).decode()


def base64_decode(text: Json) -> str:
    """Decode to a text."""
    return base64.b64decode(_text(text), validate=True).decode()


def string_split(text: Json, delimiters: Json) -> list[str]:
    """Split at every one of the delimiter characters; empty pieces are dropped."""
    if not _text(delimiters):
        return [_text(text)]
    return [piece for piece in re.split(f"[{re.escape(delimiters)}]", _text(text)) if piece]


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise TypeError("a string is needed")
    return value


def _items(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise TypeError("an array is needed")
    return value


def _number(value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a number is needed")
    return value


def _whole(value: Json) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("an integer is needed")
    return value


def _key(value: Json) -> str:
    return json.dumps(value, sort_keys=True)


FUNCTIONS: dict[str, Callable[..., Json]] = {
    "States.Array": array,
    "States.ArrayContains": array_contains,
    "States.ArrayGetItem": array_get_item,
    "States.ArrayLength": array_length,
    "States.ArrayPartition": array_partition,
    "States.ArrayRange": array_range,
    "States.ArrayUnique": array_unique,
    "States.Base64Decode": base64_decode,
    "States.Base64Encode": base64_encode,
    "States.Format": format_text,
    "States.Hash": hash_text,
    "States.JsonMerge": json_merge,
    "States.JsonToString": json_to_string,
    "States.MathAdd": math_add,
    "States.StringSplit": string_split,
    "States.StringToJson": string_to_json,
}
RANDOM = frozenset({"States.UUID", "States.MathRandom"})
