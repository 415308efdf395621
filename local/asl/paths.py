"""Paths and payload templates, compiled once into plain functions of (data, context object).

Knows the part of JSONPath that our definitions use: `$`, `$$`, `.name`, `['name']`, `[n]` and `[*]`. Knows no
state, no clock, no handler. A path that finds nothing is States.Runtime, as recorded from the service
(its documentation says States.ParameterPathFailure; no execution was ever seen to report it).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, TypeAlias

from local.asl.failures import RESULT_PATH, RUNTIME, Json, StateError, broken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Reader: TypeAlias = Callable[[Json, Json], Json]
    Writer: TypeAlias = Callable[[Json, Json], Json]
    Token: TypeAlias = str | int | None  # a name, an index, or None for every element

_TOKEN = re.compile(
    r"""\.(?P<name>[^\s.\[\]()*,'"?@]+)|\[(?:'(?P<single>[^']+)'|"(?P<double>[^"]+)"|(?P<index>-?\d+))\]"""
    r"|(?P<every>\.\*|\[\*\])"
)
# What the context object holds that is no user's data, and more bytes than any of it takes.
_SMALL = re.compile(r"\$\$\.(Execution\.(Id|Name|RoleArn|StartTime)|State(Machine)?\.\w+|Map\.Item\.Index)")
_SMALL_BYTES = 1_024


def tokens(path: Json, where: str) -> tuple[Token, ...]:
    """Split a path behind its `$` or `$$`."""
    if not isinstance(path, str) or not path.startswith("$"):
        raise broken(where, f"must be a path that starts with $, not {path!r}")
    found: list[Token] = []
    at = 2 if path.startswith("$$") else 1
    while at < len(path):
        match = _TOKEN.match(path, at)
        if match is None:
            raise broken(where, f"{path!r} is not a path this runner knows (from column {at + 1})")
        found.append(_token(match))
        at = match.end()
    return tuple(found)


def _token(match: re.Match[str]) -> Token:
    if match["every"]:
        return None
    if match["index"]:
        return int(match["index"])
    return match["name"] or match["single"] or match["double"]


def compile_path(path: Json, where: str) -> Reader:
    """Compile a path to a reader that raises States.Runtime when there is nothing at its end."""
    steps = tokens(path, where)
    missing = f"The JSONPath '{path}' specified for the field '{where.rpartition('/')[2]}' could not be found"
    walk = _walker(steps)

    def read(data: Json, _context: Json) -> Json:
        try:
            return walk(data)
        except (LookupError, TypeError):
            raise StateError(RUNTIME, missing) from None

    def read_context(_data: Json, context: Json) -> Json:
        return read(context, None)

    return read_context if path.startswith("$$") else read


def _walker(steps: tuple[Token, ...]) -> Callable[[Json], Json]:
    """Choose the cheapest walk: nearly every path is made of names alone."""
    if not all(isinstance(step, str) for step in steps):
        return lambda data: _walk(data, steps)

    def walk(data: Json) -> Json:
        for name in steps:
            data = data[name]
        return data

    return walk


def _walk(data: Json, steps: tuple[Token, ...]) -> Json:
    step: Json
    for at, step in enumerate(steps):
        if step is None:
            return _every(data, steps[at + 1 :])
        if not isinstance(data, dict if isinstance(step, str) else list):
            raise TypeError(step)
        data = data[step]
    return data


def _every(data: Json, rest: tuple[Token, ...]) -> list[Json]:
    """Project `rest` over all elements; those without it are left out."""
    if not isinstance(data, dict | list):
        raise TypeError(rest)
    found = []
    for item in data.values() if isinstance(data, dict) else data:
        try:
            found.append(_walk(item, rest))
        except (LookupError, TypeError):
            continue
    return found


def compile_result_path(path: Json, where: str) -> Writer:
    """Compile ResultPath to a function of (raw input, result); the input is copied where it changes."""
    if path is None:
        return lambda raw, _result: raw
    steps = tokens(path, where)
    if None in steps or path.startswith("$$"):
        raise broken(where, f"{path!r} must be a reference path into the state's input")
    if not steps:
        return lambda _raw, result: result

    def put(raw: Json, result: Json) -> Json:
        try:
            return _put(raw, steps, result)
        except LookupError:
            raise StateError(RESULT_PATH, f"Unable to apply ReferencePath {path} to the input") from None

    return put


def _put(data: Json, steps: tuple[Token, ...], value: Json) -> Json:
    step, rest = steps[0], steps[1:]
    if isinstance(step, str) and isinstance(data, dict):
        changed = data.copy()
        changed[step] = _put(data.get(step, {}), rest, value) if rest else value
        return changed
    if isinstance(step, int) and isinstance(data, list):
        items = data.copy()
        items[step] = _put(data[step], rest, value) if rest else value
        return items
    raise LookupError(step)


def compile_template(template: Json, where: str) -> Reader:
    """Compile a payload template: fields that end in `.$` are paths or calls, all else stands as it is."""
    if not _is_dynamic(template):
        return lambda _data, _context: template
    if isinstance(template, list):
        return _array([compile_template(item, f"{where}[{at}]") for at, item in enumerate(template)])
    filled = [(key, item) for key, item in template.items() if _is_dynamic({key: item})]
    fixed = {key.removesuffix(".$"): item for key, item in template.items()}
    if len(fixed) < len(template):
        raise broken(where, "a field stands there both with and without .$")
    return _object(fixed, [(key.removesuffix(".$"), _field(key, item, where)) for key, item in filled])


def _field(key: str, value: Json, where: str) -> Reader:
    inside = f"{where}/{key}"
    return compile_value(value, inside) if key.endswith(".$") else compile_template(value, inside)


def compile_value(text: Json, where: str) -> Reader:
    """Compile what may be a path or an intrinsic function."""
    if isinstance(text, str) and text.startswith("States."):
        from local.asl.calls import compile_call  # noqa: PLC0415  its arguments are paths again

        return compile_call(text, where)
    return compile_path(text, where)


def _is_dynamic(value: Json) -> bool:
    if isinstance(value, dict):
        return any(key.endswith(".$") or _is_dynamic(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_is_dynamic, value))


def growth(template: Json) -> tuple[int, int] | None:
    """Bound what a template can grow to: fixed bytes, and how often the data; None when nobody can tell."""
    texts = [*_dynamic_texts(template)]
    small = [text for text in texts if _SMALL.fullmatch(text)]
    times = len(texts) - len(small)
    if any(text.startswith(("$$", "States.")) for text in texts if text not in small):
        return None
    return len(json.dumps(template)) + _SMALL_BYTES * len(small), times


def _dynamic_texts(template: Json) -> Iterator[str]:
    if isinstance(template, dict):
        for key, item in template.items():
            yield from [item] if key.endswith(".$") else _dynamic_texts(item)
    elif isinstance(template, list):
        for item in template:
            yield from _dynamic_texts(item)


def _array(readers: list[Reader]) -> Reader:
    return lambda data, context: [read(data, context) for read in readers]


def _object(fixed: dict[str, Json], readers: list[tuple[str, Reader]]) -> Reader:
    """Fill a copy of the fields as they stand, which keeps their order."""

    def fill(data: Json, context: Json) -> Json:
        filled = fixed.copy()
        for key, read in readers:
            filled[key] = read(data, context)
        return filled

    return fill
