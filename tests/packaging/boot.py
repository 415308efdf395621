"""Runs inside a deployed artefact: puts its folders on the path, asks a probe, tells where modules came from.

May know the standard library only: whatever else it imported would hide what the artefact forgot.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path


def main() -> None:
    """Read the job, run the probe, print the answer as the last line."""
    job = json.load(sys.stdin)
    sys.path[:0] = job["path"]
    answer = importlib.import_module(job["probe"]).main(job["given"])
    allowed = [Path(place).resolve() for place in (*job["allowed"], sys.prefix, sys.base_prefix)]
    print(json.dumps({"answer": answer, "strangers": strangers(allowed)}))  # noqa: T201  the answer


def strangers(allowed: list[Path]) -> list[str]:
    """Return the loaded modules that came from anywhere else."""
    files = ((name, getattr(module, "__file__", None)) for name, module in sorted(sys.modules.items()))
    return [
        f"{name}: {file}"
        for name, file in files
        if file and not any(Path(file).resolve().is_relative_to(place) for place in allowed)
    ]


if __name__ == "__main__":
    main()
