"""What a cold start pays for imports: each entry point in a fresh interpreter, next to what its cloud forces on it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.runner import Bench, Effort, Row, Target, at_most, in_turns

_ROOT = Path(__file__).parents[1]
_MODEL = "import pydantic\nclass Model(pydantic.BaseModel):\n    name: str\n"
_POWERTOOLS = "from aws_lambda_powertools import Logger, Metrics\n"
_TIMED = "import time\nbegan = time.process_time()\n{}\nprint(time.process_time() - began)"
_MILLI = 1e3

# entry points by what is forced on them: its name and the code that imports it
_AZURE = "import azure.functions\nimport azure.durable_functions\n" + _MODEL
_FORCED = {
    "aws": ("Powertools Logger, Metrics + pydantic", _POWERTOOLS + _MODEL),
    "gcp": ("functions_framework + pydantic", "import functions_framework\n" + _MODEL),
    "azure": ("azure.functions, durable + pydantic", _AZURE),
    "shared": ("pydantic with a model", _MODEL),
}


def rows(effort: Effort) -> Iterator[Row]:
    """Measure each cloud's entry points, and the shared use cases alone."""
    for cloud, modules in _entry_points(effort).items():
        peer, forced = _FORCED[cloud]
        target = at_most(1.3 if cloud == "shared" else 1.15)
        imports = [f"import {module}" for module in modules]
        theirs, *all_ours = in_turns(effort.repeats, *(_importing(code) for code in (forced, *imports)))
        for module, ours in zip(modules, all_ours, strict=True):
            yield _row(module, ours, peer, theirs, target)


def _row(module: str, ours: list[float], peer: str, theirs: list[float], target: Target) -> Row:
    note = "A fresh interpreter each time; processor time of the import alone, .pyc present."
    return Row(f"import {module}", "ms", ours, peer, theirs, target, note)


def _entry_points(effort: Effort) -> dict[str, list[str]]:
    handlers = sorted(path.stem for path in (_ROOT / "aws" / "handlers").glob("[!_]*.py"))
    found = {
        "aws": [f"aws.handlers.{name}" for name in handlers],
        "gcp": ["gcp.main"],
        "azure": ["function_app"],
        "shared": ["shared.app.tasks"],
    }
    return effort.pick(full=found, quick=found, tiny={"shared": found["shared"]})


def _importing(code: str) -> Bench:
    """Return a contender: milliseconds of an import in a fresh interpreter. The first, unmeasured, writes .pyc."""

    def run() -> float:
        command = [sys.executable, "-c", _TIMED.format(code)]
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True)  # noqa: S603  our own code
        return float(done.stdout) * _MILLI

    run()
    return run
