"""Where the tools are that parts are made of, which version, and what installs them. Starts nothing but `--version`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

from local.stack.part import ROOT, Found, Requirement

_MAKE = "make stack"
_GCLOUD = "https://cloud.google.com/sdk/docs/install"
_VERSION = re.compile(r"\d+(?:\.\d+)+")


def in_environment(folder: str, package: str, command: str) -> Requirement:
    """A command of a package in an environment of its own."""

    def find() -> Found | None:
        path = ROOT / folder / "bin" / command
        infos = (ROOT / folder).glob(f"lib/python*/site-packages/{package.replace('-', '_')}-*.dist-info")
        version = next((info.name.removesuffix(".dist-info").rpartition("-")[2] for info in infos), "")
        return Found(path, version) if path.exists() else None

    return Requirement(package, find, _MAKE)


def of_node(folder: str, package: str) -> Requirement:
    """A command of an npm package in a folder of its own, or on the PATH."""

    def find() -> Found | None:
        own = ROOT / folder / "node_modules"
        if (own / ".bin" / package).exists():
            described = json.loads((own / package / "package.json").read_text(encoding="utf-8"))
            return Found(own / ".bin" / package, described["version"])
        elsewhere = shutil.which(package)
        return Found(Path(elsewhere)) if elsewhere else None

    install = _MAKE if shutil.which("npm") else f"install Node.js with npm, then {_MAKE}"
    return Requirement(package, find, install)


def of_gcloud(component: str, program: str) -> Requirement:
    """A program of a Google Cloud SDK component."""

    def find() -> Found | None:
        root = sdk_root()
        path = root / program if root else None
        return Found(path, _component_version(component, root)) if root and path and path.exists() else None

    install = f"gcloud components install {component}"
    return Requirement(component, find, install if shutil.which("gcloud") else f"{_GCLOUD}, then {install}")


def command(name: str, install: str, *arguments: str) -> Requirement:
    """A command on the PATH; `arguments` make it say its version."""

    def find() -> Found | None:
        path = shutil.which(name)
        return Found(Path(path), _said(path, *arguments)) if path else None

    return Requirement(name, find, install)


def of_ours(package: str) -> Requirement:
    """A package of the environment that we run in."""

    def find() -> Found | None:
        try:
            return Found(Path(sys.prefix), metadata.version(package))
        except metadata.PackageNotFoundError:
            return None

    return Requirement(package, find, "make test, or any other target: it sets the environment up")


@cache
def sdk_root() -> Path | None:
    """Return the Google Cloud SDK's folder."""
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        return None
    beside = Path(gcloud).resolve().parents[1]
    if (beside / "platform").is_dir():
        return beside
    told = _output(gcloud, "info", "--format=value(installation.sdk_root)").strip()  # a package's wrapper
    return Path(told) if told else None


def _component_version(component: str, root: Path) -> str:
    try:
        described = json.loads((root / ".install" / f"{component}.snapshot.json").read_text(encoding="utf-8"))
        return next(str(one["version"]["version_string"]) for one in described["components"] if one["id"] == component)
    except (OSError, ValueError, KeyError, StopIteration):
        return ""


def _said(path: str, *arguments: str) -> str:
    found = _VERSION.search(_output(path, *arguments)) if arguments else None
    return found.group() if found else ""


def _output(*words: str) -> str:
    finished = subprocess.run(  # noqa: S603  fixed words behind a path that `which` found
        words, capture_output=True, text=True, check=False, timeout=30, stdin=subprocess.DEVNULL
    )
    return finished.stdout + finished.stderr


def required(requirement: Requirement) -> Path:
    """Return where a requirement is, for a part that is only started when it is there."""
    found = requirement.find()
    if found is None:
        raise FileNotFoundError(f"{requirement.name} is not installed: {requirement.install}")
    return found.path
