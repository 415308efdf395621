"""TOML from strangers: bounded before it is parsed, no NaN, no bottomless nesting. A key twice TOML itself refuses.

The standard library's parser takes a time that grows with the square of a dotted key's parts: a minute for 80 KB.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

from shared.errors import Permanent
from shared.events.strict import MAX_DEPTH, finite

_STRINGS = r'"""(?:\\.|[^\\])*?"{3,5}|' + r"'''.*?'{3,5}|" + r'"(?:\\.|[^"\\\n])*"|' + r"'[^'\n]*'"
_TOKENS = re.compile(rf"{_STRINGS}|#[^\n]*|[\[\]{{}}.=,\n]", re.DOTALL)


def load_toml(text: str, *, most: int, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """Return what the text says; Permanent when it has more than `most` characters or is no plain TOML."""
    if len(text) > most:
        raise Permanent(f"{len(text)} characters are too many, {most} may be", code="oversize")
    _check_depth(text, max_depth)
    try:
        return tomllib.loads(text, parse_float=finite)
    except (ValueError, RecursionError) as error:  # its own, or an integer of more digits than Python converts
        raise Permanent(f"not TOML: {error}", code="broken-toml") from error


def _check_depth(text: str, max_depth: int) -> None:
    """Count brackets, and the dots of keys, outside strings and comments before the parser works through them."""
    if text.count(".") <= max_depth and text.count("[") + text.count("{") <= max_depth:
        return
    depth = dots = 0
    for found in _TOKENS.finditer(text):
        sign = found[0]
        if sign == ".":
            dots += 1
        elif sign in "[]{}=,\n":
            dots = 0
            depth = max(0, depth + ((sign in "[{") - (sign in "]}")))
        if max(depth, dots) > max_depth:
            raise Permanent(f"nested deeper than {max_depth} levels", code="too-deep")
