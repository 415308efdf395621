"""Choice rules, compiled once into tests of (data, context object).

Knows operators and types; a value of another type than the operator's is simply not matched, but a
variable that is not there at all is States.Runtime (IsPresent is there to ask first).
"""

from __future__ import annotations

import operator
import re
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from local.asl.failures import Json, StateError, broken
from local.asl.paths import compile_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.asl.paths import Reader

    Test: TypeAlias = Callable[[Json, Json], bool]

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def instant(value: Json) -> datetime | None:
    """Read an RFC 3339 timestamp with capital T and Z, or nothing."""
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None


def _string(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Json) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _boolean(value: Json) -> bool | None:
    return value if isinstance(value, bool) else None


_TYPES: dict[str, Callable[[Json], Json]] = {
    "String": _string, "Numeric": _number, "Boolean": _boolean, "Timestamp": instant,
}  # fmt: skip
_ORDERS: dict[str, Callable[[Json, Json], bool]] = {
    "Equals": operator.eq,
    "GreaterThan": operator.gt,
    "GreaterThanEquals": operator.ge,
    "LessThan": operator.lt,
    "LessThanEquals": operator.le,
}
_COMPARISONS = {
    f"{kind}{order}": (_TYPES[kind], _ORDERS[order])
    for kind in _TYPES
    for order in _ORDERS
    if kind != "Boolean" or order == "Equals"
}
_IS = {f"Is{kind}": read for kind, read in _TYPES.items()}


def compile_rule(rule: Json, where: str, *, nested: bool = False) -> Test:
    """Compile one rule; only the outermost one says where to go."""
    if not isinstance(rule, dict):
        raise broken(where, "must be an object")
    if nested and "Next" in rule:
        raise broken(f"{where}/Next", "only the outermost rule has a Next")
    names = sorted(rule.keys() - {"Next", "Comment", "Variable"})
    if len(names) != 1:
        raise broken(where, f"needs exactly one operator, not {names}")
    name = names[0]
    inside = f"{where}/{name}"
    if name in {"And", "Or", "Not"}:
        return _combined(name, rule[name], inside)
    if "Variable" not in rule:
        raise broken(where, "needs a Variable")
    read = compile_path(rule["Variable"], f"{where}/Variable")
    return _comparison(name, read, rule[name], inside)


def _combined(name: str, parts: Json, where: str) -> Test:
    if name == "Not":
        inner = compile_rule(parts, where, nested=True)
        return lambda data, context: not inner(data, context)
    if not isinstance(parts, list) or not parts:
        raise broken(where, "needs a list of rules")
    tests = [compile_rule(part, f"{where}[{at}]", nested=True) for at, part in enumerate(parts)]
    quantifier = all if name == "And" else any
    return lambda data, context: quantifier(test(data, context) for test in tests)


def _comparison(name: str, read: Reader, expected: Json, where: str) -> Test:
    if name in _COMPARISONS:
        return _against_constant(name, read, expected, where)
    if name.removesuffix("Path") in _COMPARISONS:
        return _against_path(name.removesuffix("Path"), read, compile_path(expected, where))
    if name == "StringMatches":
        return _matching(read, _glob(_constant(_string, expected, where)))
    return _question(name, read, _constant(_boolean, expected, where), where)


def _constant(kind: Callable[[Json], Json], value: Json, where: str) -> Json:
    typed = kind(value)
    if typed is None:
        raise broken(where, f"cannot compare with {value!r}")
    return typed


def _against_constant(name: str, read: Reader, expected: Json, where: str) -> Test:
    kind, holds = _COMPARISONS[name]
    right = _constant(kind, expected, where)

    def test(data: Json, context: Json) -> bool:
        left = kind(read(data, context))
        return left is not None and holds(left, right)

    return test


def _against_path(name: str, read: Reader, other: Reader) -> Test:
    kind, holds = _COMPARISONS[name]

    def test(data: Json, context: Json) -> bool:
        left, right = kind(read(data, context)), kind(other(data, context))
        return left is not None and right is not None and holds(left, right)

    return test


def _matching(read: Reader, pattern: re.Pattern[str]) -> Test:
    def test(data: Json, context: Json) -> bool:
        text = read(data, context)
        return isinstance(text, str) and pattern.fullmatch(text) is not None

    return test


def _question(name: str, read: Reader, expected: Json, where: str) -> Test:
    if name == "IsPresent":
        return lambda data, context: _present(read, data, context) is expected
    if name == "IsNull":
        return lambda data, context: (read(data, context) is None) is expected
    kind = _IS.get(name)
    if kind is None:
        raise broken(where, "is not an operator this runner knows")
    return lambda data, context: (kind(read(data, context)) is not None) is expected


def _present(read: Reader, data: Json, context: Json) -> bool:
    try:
        read(data, context)
    except StateError:
        return False
    return True


def _glob(pattern: str) -> re.Pattern[str]:
    r"""Translate the service's wildcard: `*` is any text, `\*` and `\\` are themselves."""
    pieces = re.findall(r"\\[*\\]|\*|[^*\\]+|\\", pattern)
    parts = (".*" if piece == "*" else re.escape(_bare(piece)) for piece in pieces)
    return re.compile("".join(parts), re.DOTALL)


def _bare(piece: str) -> str:
    return piece[1:] if piece in {r"\*", "\\\\"} else piece
