"""Calls of intrinsic functions, parsed once: `States.Format('{}!', $.name)` becomes a reader.

Knows the little grammar (calls, paths, numbers, quoted strings, true, false, null) and nothing of states.
"""

from __future__ import annotations

import inspect
import json
import re
from typing import TYPE_CHECKING

from local.asl.failures import INTRINSIC, Json, StateError, broken
from local.asl.intrinsics import FUNCTIONS, RANDOM, unescape
from local.asl.paths import compile_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.asl.paths import Reader

_NAME = re.compile(r"States\.\w+(?=\()")
_PATH = re.compile(r"\$\$?(?:\.[^\s.\[\]()*,'\"?@]+|\[(?:'[^']+'|\"[^\"]+\"|-?\d+|\*)\]|\.\*)*")
_STRING = re.compile(r"'((?:[^'\\]|\\['\\{}])*)'")
_CONSTANT = re.compile(r"true|false|null|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_DEEPEST = 10


def compile_call(text: str, where: str) -> Reader:
    """Compile one call; its arguments may be calls, ten deep."""
    parser = _Parser(text, where)
    read = parser.call(1)
    if parser.at != len(text):
        raise parser.refuse("ends there but goes on")
    return read


class _Parser:
    def __init__(self, text: str, where: str) -> None:
        self.text = text
        self.where = where
        self.at = 0

    def refuse(self, what: str) -> Exception:
        return broken(self.where, f"the call {self.text!r} {what} (column {self.at + 1})")

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self.text, self.at)
        if match:
            self.at = match.end()
        return match

    def skip(self, sign: str) -> bool:
        """Step over a sign and the blanks around it."""
        rest = self.text[self.at :].lstrip()
        if not rest.startswith(sign):
            return False
        self.at = len(self.text) - len(rest[len(sign) :].lstrip())
        return True

    def call(self, depth: int) -> Reader:
        name = self.take(_NAME)
        if name is None or depth > _DEEPEST:
            raise self.refuse("has no function name here" if name is None else "is nested too deep")
        if name[0] in RANDOM:
            raise self.refuse("is random, and an execution must be repeatable")
        readers = self.arguments(depth, keep_braces=name[0] == "States.Format")
        return _invocation(self, name[0], readers)

    def arguments(self, depth: int, *, keep_braces: bool) -> list[Reader]:
        self.skip("(")
        readers: list[Reader] = []
        while not self.skip(")"):
            if readers and not self.skip(","):
                raise self.refuse("lacks a comma or a closing bracket")
            readers.append(self.argument(depth, keep_escapes=keep_braces and not readers))
        return readers

    def argument(self, depth: int, *, keep_escapes: bool) -> Reader:
        if _NAME.match(self.text, self.at):
            return self.call(depth + 1)
        if path := self.take(_PATH):
            return compile_path(path[0], self.where)
        if string := self.take(_STRING):
            return _constant(string[1] if keep_escapes else unescape(string[1]))
        if constant := self.take(_CONSTANT):
            return _constant(json.loads(constant[0]))
        raise self.refuse("has an argument that is none")


def _constant(value: Json) -> Reader:
    return lambda _data, _context: value


def _invocation(parser: _Parser, name: str, readers: list[Reader]) -> Reader:
    function = FUNCTIONS.get(name, _unknown)
    try:
        inspect.signature(function).bind(*readers)
    except TypeError as error:
        raise parser.refuse(f"has the wrong number of arguments for {name}: {error}") from error
    return _guarded(f"The function '{parser.text}' had the following error", function, readers)


def _guarded(complaint: str, function: Callable[..., Json], readers: list[Reader]) -> Reader:
    def call(data: Json, context: Json) -> Json:
        values = [read(data, context) for read in readers]
        try:
            return function(*values)
        except (TypeError, ValueError) as error:
            raise StateError(INTRINSIC, f"{complaint}: {error}") from error

    return call


def _unknown(*_values: Json) -> Json:
    raise ValueError("there is no such function")
