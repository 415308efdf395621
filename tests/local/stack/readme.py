"""What README says one can type at a running stack, taken from it as it stands, and typed.

May know README's chapter, a shell and the folder of a stack; must not know what is answered.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ENVIRONMENT = ". .agentfabric/stack/env"
STOPS = ".venv/bin/agentfabric down"
_MARK = "--- typed ---"
_BLOCK = re.compile(r"^```\w*\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def blocks(root: Path) -> list[str]:
    """Return the blocks that README has after its sentence on clients."""
    chapter = (root / "README.md").read_text(encoding="utf-8").partition("\n## On emulators\n")[2].partition("\n## ")[0]
    return _BLOCK.findall(chapter.partition("Nothing about the stack is private to us.")[2])


def typed(place: Path, block: str) -> list[str]:
    """Type a block's lines into one shell that knows where the stack is; return what each of them printed.

    The line that stops the stack is left to whoever started it.
    """
    lines = [line for line in block.splitlines() if not line.startswith((ENVIRONMENT, STOPS))]
    script = "\n".join(f"{line}\necho; echo '{_MARK}'" for line in lines)
    return _ran(place, script).split(f"{_MARK}\n")[:-1]


def executed(place: Path, program: str) -> list[str]:
    """Run a Python program with the interpreter at hand, in a shell that knows where the stack is; return its lines."""
    (place / "program.py").write_text(program, encoding="utf-8")
    return _ran(place, f"'{sys.executable}' program.py").splitlines()


def _ran(place: Path, script: str) -> str:
    command = ["bash", "-c", f"set -eo pipefail\n{ENVIRONMENT}\n{script}"]
    done = subprocess.run(command, cwd=place, env=os.environ, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
