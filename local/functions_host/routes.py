"""HTTP route templates as the Functions host reads them: `approvals/{id}/{vote:alpha}`, `{id?}`, `{*rest}`.

Pure: text in, match out. Must not know azure.functions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

_PARAMETER = re.compile(r"\{(?P<rest>\*?)(?P<name>\w+)(?::(?P<constraint>\w+))?(?P<optional>\??)\}")
_LITERAL, _TYPED, _ANY, _REST = range(4)  # the order in which templates are tried
_CONSTRAINTS = {
    "alpha": "[a-z]+",
    "bool": "true|false",
    "guid": r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}",
    "int": r"-?\d+",
    "long": r"-?\d+",
}


@dataclass(frozen=True, slots=True)
class Route:
    """A template, ready to be matched; the lower `rank` is tried first."""

    pattern: re.Pattern[str]
    rank: tuple[int, ...]

    def match(self, path: str) -> Mapping[str, str] | None:
        """Return the route's parameters, decoded, or None when the path is another one."""
        found = self.pattern.fullmatch(f"/{path.strip('/')}")
        if found is None:
            return None
        return {name: unquote(value) for name, value in found.groupdict().items() if value is not None}


def compile_route(template: str) -> Route:
    """Read a template; ValueError when it uses something the local host does not know."""
    parts = [_segment(segment, template) for segment in template.strip("/").split("/") if segment]
    pattern = "".join(text for text, _ in parts) or "/"
    return Route(re.compile(pattern, re.IGNORECASE), tuple(rank for _, rank in parts))


def _segment(segment: str, template: str) -> tuple[str, int]:
    """Return the segment with its leading slash as a regular expression, and its rank."""
    if "{" not in segment:
        return f"/{re.escape(segment)}", _LITERAL
    found = _PARAMETER.fullmatch(segment)
    if found is None or found["constraint"] not in {None, *_CONSTRAINTS}:
        raise ValueError(f"the local host does not know the segment {segment!r} of route {template!r}")
    if found["rest"]:
        return f"(?:/(?P<{found['name']}>.*))?", _REST
    value = _CONSTRAINTS.get(found["constraint"] or "", "[^/]+")
    text = f"/(?P<{found['name']}>{value})"
    return (f"(?:{text})?" if found["optional"] else text), (_TYPED if found["constraint"] else _ANY)
