"""How files and tests are made: their size, their sentences, their reasons, the text they may not hold.

Pure functions from a Source to sentences about what is wrong; an empty list means the rule is kept.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.architecture.source import Function, Source

MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 60
SENTENCE_END = re.compile(r"[.!?](?=\s|$)")
ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|vs|etc|cf|no)\.(?=\s)")
# How many arguments come before the reason; a keyword `reason` will do as well.
REASONS = {
    "pytest.skip": 0,
    "pytest.fail": 0,
    "pytest.xfail": 0,
    "pytest.mark.skip": 0,
    "pytest.importorskip": 99,
    "pytest.mark.skipif": 99,
    "pytest.mark.xfail": 99,
}

# The brackets in each pattern keep this file from matching itself.
REGISTRY = r"pypi[.]org|pythonhosted[.]org|npmjs[.](?:org|com)|yarnpkg[.]com|proxy[.]golang[.]org"
# Where people keep their files; the Functions host's own home is the same on every machine.
MACHINE = r"/[r]oot/|/[w]ork/|/[U]sers/|/[h]ome/(?!site/)|[A-Z]:\\[U]sers"
FORBIDDEN_TEXT = (
    (re.compile(REGISTRY), "names a package registry"),
    (re.compile(r"^--(?:index-url|extra-index-url|find-links)\s", re.MULTILINE), "names a package index"),
    (re.compile(r'"resolved[":]+ *"http'), "names the registry a lock was made with"),
    (re.compile(rf"(?<![\w.~}}-])(?:{MACHINE})"), "names a path of one machine"),
)


def is_short(source: Source) -> list[str]:
    """No file above 400 lines and no function above 60."""
    lines = len(source.text.splitlines())
    too_long = [f"{source.path}: {lines} lines, at most {MOST_LINES}"] if lines > MOST_LINES else []
    return too_long + [
        source.at(node, f"{node.name} has {length(node)} lines, at most {MOST_LINES_OF_A_FUNCTION}")
        for node in source.functions()
        if length(node) > MOST_LINES_OF_A_FUNCTION
    ]


def length(node: Function) -> int:
    """Count a function's lines."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def says_what_it_tests(source: Source) -> list[str]:
    """Every test carries one sentence that states the behaviour."""
    if source.parts[0] != "tests":
        return []
    return [
        source.at(node, f"{node.name} needs a docstring of exactly one sentence")
        for node in source.functions()
        if node.name.startswith("test") and sentences(ast.get_docstring(node) or "") != 1
    ]


def sentences(text: str) -> int:
    """Count sentences by their ends; text behind the last end counts as one that nobody finished, as two."""
    plain = ABBREVIATION.sub("", text.strip())
    ends = len(SENTENCE_END.findall(plain))
    return ends if plain.endswith((".", "!", "?")) else 2 * ends


def gives_reasons(source: Source) -> list[str]:
    """A test that is skipped or expected to fail says why."""
    if source.parts[0] not in {"tests", "benchmarks"}:
        return []
    called = {id(node.func): node for node in ast.walk(source.tree) if isinstance(node, ast.Call)}
    return [
        source.at(node, f"{name} needs a reason")
        for node, name in source.uses()
        if name in REASONS and not has_reason(called.get(id(node)), REASONS[name])
    ]


def has_reason(call: ast.Call | None, position: int) -> bool:
    """Tell whether a call brings a reason that is not empty, by keyword or at its position."""
    if call is None:
        return False
    given = [word.value for word in call.keywords if word.arg in {"reason", "msg"}] + call.args[position:]
    return any(not (isinstance(value, ast.Constant) and not value.value) for value in given)


def belongs_everywhere(source: Source) -> list[str]:
    """No committed file names a package registry or a path of one machine."""
    return [
        f"{source.path}:{source.text.count(chr(10), 0, found.start()) + 1}: {complaint}: {found.group()!r}"
        for pattern, complaint in FORBIDDEN_TEXT
        for found in pattern.finditer(source.text)
    ]


def has_the_four_words(cloud: str, paths: Collection[str]) -> list[str]:
    """Who has read one cloud's folder has read three: handlers, wire, wiring, adapters."""
    inside = {
        path.removeprefix(f"{cloud}/").split("/")[0].removesuffix(".py")
        for path in paths
        if path.startswith(f"{cloud}/")
    }
    missing = {"handlers", "wire", "wiring", "adapters"} - inside
    return [f"{cloud}/ has no {word}" for word in sorted(missing)] if inside else []
