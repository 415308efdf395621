"""`python -m benchmarks [NAME…]`: measures, and prints one table."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from typing import Literal

from rich.console import Console

from benchmarks.runner import Effort, Row, show

SUBJECTS = (
    *("events", "dispatch", "submit", "record", "spanner", "express", "durable", "imports", "review"),
    *("admission", "router", "spans", "loads", "outage", "semantic"),
)
_MANY, _FEW = 7, 5


def main() -> None:
    """Measure the subjects named, or all."""
    options = _options()
    size: Literal["full", "quick"] = "quick" if options.quick else "full"
    effort = Effort(size, options.repeats or (_FEW if options.quick else _MANY), peers=options.peers)
    rows: list[Row] = []
    for name in options.names or SUBJECTS:
        print(f"measuring {name} …", file=sys.stderr)
        rows += import_module(f"benchmarks.{name}").rows(effort)
    if options.json:
        print(json.dumps([row.as_json() for row in rows], ensure_ascii=False, indent=2))
    else:
        show(rows, Console(width=None if sys.stdout.isatty() else 150))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which subjects: {', '.join(SUBJECTS)}")
    parser.add_argument("--quick", action="store_true", help="fewer repeats, smaller sizes")
    parser.add_argument("--repeats", type=int, help=f"how often each contender runs: {_MANY}, or {_FEW} when quick")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--peers", action="store_true", help="also peers that need an environment of their own")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(SUBJECTS))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(SUBJECTS)}")
    return options


if __name__ == "__main__":
    main()
