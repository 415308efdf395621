"""Stages what each cloud is given, build/<cloud>: `make package`, or `python -m tools.package [CLOUD…]`.

Knows which files a cloud needs and where they lie there. Knows no SDK and deploys nothing. AWS's folder is what
`sam build` makes of template.yaml; Azure's and GCP's are copies. A build is skipped while neither its sources nor
its files have changed.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import io
import os
import shutil
import subprocess
import sys
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
# A kind of file that is not here is not shipped: tests/packaging compares with what is under version control.
SHIPPED = frozenset({".json", ".py", ".toml", ".typed"})
SAM = ROOT / ".venv-sam" / "bin" / "sam"
NO_SAM = "sam is not installed here: `make package` sets it up in .venv-sam"
RUNTIME = (3, 11)
MIB = 1024 * 1024


@dataclass(frozen=True)
class Recipe:
    """What a staged folder is made of: packages where they are, single files under the names they get."""

    packages: tuple[str, ...]
    files: dict[str, str]
    left_out: frozenset[str] = frozenset()


RECIPES = {
    "azure": Recipe(
        ("azure/fabric", "providers", "shared"),
        {"function_app.py": "function_app.py", "host.json": "host.json", "azure/requirements.txt": "requirements.txt"},
    ),
    "gcp": Recipe(
        ("gcp", "shared"),
        {"gcp/main.py": "main.py", "gcp/requirements.txt": "requirements.txt", ".gcloudignore": ".gcloudignore"},
        left_out=frozenset({"gcp/main.py"}),  # it stands at the root
    ),
}
AWS_SOURCES = ("template.yaml", "samconfig.toml", "aws", "providers", "shared", "statemachines")
CLOUDS = ("aws", *RECIPES)


@dataclass(frozen=True)
class Artefact:
    """Something that is uploaded in one piece, and how large its cloud lets it be when unpacked."""

    name: str
    folder: Path
    limit: str


class Unavailable(Exception):  # noqa: N818  a fact about this machine, with the command that changes it
    """A tool that a build needs is not here."""


def main() -> int:
    """Build what was asked for and print how large it is."""
    parser = argparse.ArgumentParser(description="Stage what each cloud is given.")
    parser.add_argument("clouds", nargs="*", metavar="CLOUD", help=f"of {', '.join(CLOUDS)}; all when none is named")
    clouds = parser.parse_args().clouds or list(CLOUDS)
    unknown = sorted(set(clouds) - set(CLOUDS))
    if unknown:
        parser.error(f"no such cloud: {', '.join(unknown)}; known: {', '.join(CLOUDS)}")
    missing = [cloud for cloud in clouds if not _told(cloud)]
    built = [cloud for cloud in clouds if cloud not in missing]
    if built:
        print(table([artefact for cloud in built for artefact in artefacts(cloud, BUILD / cloud)]))
    return 1 if missing and (os.environ.get("CI") == "true" or not built) else 0


def _told(cloud: str) -> bool:
    try:
        print(f"build/{cloud}: {'built' if package(cloud) else 'unchanged'}", flush=True)
    except Unavailable as missing:
        print(f"build/{cloud}: left out: {missing}", file=sys.stderr, flush=True)
        return False
    return True


def package(cloud: str, build: Path = BUILD) -> bool:
    """Bring build/<cloud> up to date and tell whether there was anything to do; safe to run twice at a time."""
    with current(cloud, build) as changed:
        return changed


@contextmanager
def current(cloud: str, build: Path = BUILD) -> Iterator[bool]:
    """Bring build/<cloud> up to date and let nobody else change it meanwhile; tells whether it had to be built."""
    build.mkdir(parents=True, exist_ok=True)
    stamp = build / f".{cloud}.stamp"
    with (build / f".{cloud}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sources = fingerprint(_sources(cloud))
        changed = not stamp.exists() or stamp.read_text() != f"{sources} {_built(build / cloud)}"
        if changed:
            stamp.unlink(missing_ok=True)
            stage(cloud, build / cloud)
            stamp.write_text(f"{sources} {_built(build / cloud)}")
        yield changed


def stage(cloud: str, folder: Path) -> None:
    """Make `folder` anew."""
    if cloud == "aws" and not SAM.exists():
        raise Unavailable(NO_SAM)
    shutil.rmtree(folder, ignore_errors=True)
    if cloud == "aws":
        _sam_build(folder)
        return
    for source, target in contents(cloud).items():
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / source, folder / target)


def contents(cloud: str) -> dict[str, str]:
    """Return which file of the project becomes which file of a copied artefact."""
    recipe = RECIPES[cloud]
    found = (path.relative_to(ROOT).as_posix() for package in recipe.packages for path in _shipped(ROOT / package))
    return {path: path for path in sorted(found) if path not in recipe.left_out} | recipe.files


def _shipped(folder: Path) -> list[Path]:
    return [path for path in files(folder) if path.suffix in SHIPPED]


def _sam_build(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    words = [str(SAM), "build", "--template", "template.yaml", "--build-dir", str(folder)]
    settings = {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1", "PYTHON": _python()}
    done = subprocess.run(
        words,
        cwd=ROOT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    (folder.parent / "build.toml").unlink(missing_ok=True)  # sam's notes for its next build: ids drawn at random
    if done.returncode:
        raise SystemExit(f"sam build failed:\n{done.stdout}{done.stderr}")


def _python() -> str:
    """Return the Python that compiles for Lambda; bytecode of another version is ignored there, and only slower."""
    return sys.executable if sys.version_info[:2] == RUNTIME else shutil.which("python3.11") or sys.executable


def _sources(cloud: str) -> list[Path]:
    if cloud in RECIPES:
        return [Path(__file__), *(ROOT / path for path in contents(cloud))]
    places = [ROOT / name for name in AWS_SOURCES]
    return [Path(__file__), *(path for place in places for path in (files(place) if place.is_dir() else [place]))]


def files(folder: Path) -> list[Path]:
    """Return a folder's files in a settled order, without what Python leaves behind in a source tree."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def every_file(folder: Path) -> list[Path]:
    """Return a folder's files in a settled order, bytecode too."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _built(folder: Path) -> str:
    return fingerprint(every_file(folder))


def fingerprint(paths: list[Path]) -> str:
    """Return one hash of all names and contents, and of the Python that compiles them."""
    whole = hashlib.sha256(sys.version.encode())
    for path in paths:
        whole.update(f"{path}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    return whole.hexdigest()


def artefacts(cloud: str, folder: Path) -> list[Artefact]:
    """Return what a staged folder uploads, piece by piece."""
    if cloud == "azure":
        return [Artefact("azure", folder, "none published for Flex Consumption")]
    if cloud == "gcp":
        return [Artefact("gcp", folder, "none (2nd generation)")]
    layer, *functions = sorted(
        (path for path in folder.iterdir() if path.is_dir()), key=lambda path: "Layer" not in path.name
    )
    whole = "250 MiB with its layer"
    return [Artefact(f"aws {layer.name}", layer, "shares its functions' 250 MiB")] + [
        Artefact(f"aws {function.name}", function, whole) for function in functions
    ]


def table(rows: list[Artefact]) -> str:
    """Return a line per artefact: how many files, how large unpacked and zipped, what its cloud allows."""
    lines = [f"{'artefact':<24}{'files':>6}{'unpacked':>12}{'zipped':>12}  limit"]
    for row in rows:
        found = every_file(row.folder)
        sizes = (sum(path.stat().st_size for path in found) / MIB, zipped(row.folder, found) / MIB)
        lines.append(f"{row.name:<24}{len(found):>6}{sizes[0]:>8.2f} MiB{sizes[1]:>8.2f} MiB  {row.limit}")
    return "\n".join(lines)


def zipped(folder: Path, found: list[Path]) -> int:
    """Return how many bytes the upload has."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in found:
            packed.write(path, path.relative_to(folder))
    return archive.tell()


if __name__ == "__main__":
    sys.exit(main())
