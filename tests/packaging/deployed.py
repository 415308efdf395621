"""An artefact as its cloud runs it: unpacked somewhere empty, beside its own dependencies, far from this checkout.

Knows the staged folders and uv; knows nothing of what the handlers answer.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tools import package

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HERE = Path(__file__).resolve().parent
PROBES = HERE / "probes"
UV = Path(sys.executable).with_name("uv")
# Isolated: no variable, no folder of ours, nobody's site-packages; no bytecode is left behind.
ISOLATED = ("-I", "-B")


@dataclass(frozen=True)
class Deployed:
    """An unpacked artefact: the interpreter that runs it and the folders that its cloud puts on the path."""

    python: tuple[str, ...]
    path: tuple[Path, ...]
    also: tuple[Path, ...] = field(default=())

    @property
    def folder(self) -> Path:
        """Where the code lies."""
        return self.path[0]

    def asked(self, probe: str, given: Any = None, settings: Mapping[str, str] | None = None) -> Any:
        """Run a probe's `main(given)` inside and return its answer; a module from elsewhere fails the test."""
        done = self.tried(probe, given, settings)
        assert not done.returncode, done.stderr[-2000:]
        told = json.loads(done.stdout.splitlines()[-1])
        assert told["strangers"] == []
        return told["answer"]

    def tried(
        self, probe: str, given: Any = None, settings: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a probe and return how that went."""
        job = {
            "path": [str(path) for path in (*self.path, PROBES)],
            "allowed": [str(path) for path in (*self.path, PROBES, HERE, *self.also)],
            "probe": probe,
            "given": given,
        }
        command = [*self.python, str(HERE / "boot.py")]
        environment = {"PATH": os.environ["PATH"], **(settings or {})}
        return subprocess.run(
            command,
            input=json.dumps(job),
            cwd=self.folder.parent,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )


def unpacked(cloud: str, folder: Path) -> Path:
    """Build what is out of date, and unpack the cloud's artefact into an empty folder."""
    try:
        with package.current(cloud):
            shutil.copytree(package.BUILD / cloud, folder)
    except package.Unavailable as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    return folder


def environment(folder: Path, lock: Path) -> Path:
    """Make a virtual environment with exactly what a lock names, and return its Python."""
    python = folder / "bin" / "python"
    uv("venv", "--python", sys.executable, str(folder))
    uv("pip", "sync", "--require-hashes", "--python", str(python), str(lock))
    return python


def uv(*words: str) -> None:
    """Run uv."""
    done = subprocess.run([str(UV), "--quiet", *words], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr


def without(lock: str, name: str) -> str:
    """Return a lock that one package is missing from."""
    shorter = re.sub(rf"(?m)^{re.escape(name)}==.*\n(?:[ \t]+.*\n)*", "", lock)
    assert shorter != lock
    return shorter


def names(lock: str) -> set[str]:
    """Return the packages of a lock."""
    return set(re.findall(r"(?m)^([a-z0-9][a-z0-9._-]*)(?:\[.*\])?==", lock))


def relative(folder: Path, paths: Iterable[Path]) -> set[str]:
    """Return paths as seen from a folder."""
    return {path.relative_to(folder).as_posix() for path in paths}
