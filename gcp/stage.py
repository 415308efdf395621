"""Stages the folder that gcloud uploads: `python -m gcp.stage [FOLDER]`, build/gcp by default.

gcloud wants main.py and requirements.txt at the root of a source; `gcp` and `shared` stand beside them.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ("gcp", "shared")
_ROOT_FILES = ("gcp/main.py", "gcp/requirements.txt", ".gcloudignore")


def stage(folder: Path) -> None:
    """Make `folder` anew."""
    if folder.exists():
        shutil.rmtree(folder)
    for package in _PACKAGES:
        shutil.copytree(_ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "*.md"))
    for file in _ROOT_FILES:
        shutil.copy(_ROOT / file, folder)


if __name__ == "__main__":
    stage(Path(sys.argv[1]) if len(sys.argv) > 1 else _ROOT / "build" / "gcp")
