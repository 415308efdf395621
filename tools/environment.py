"""Makes a virtual environment equal to a lock file; run by make, never needed by hand.

May know the standard library only: it runs before anything is installed, on the caller's own Python.
A stamp inside the environment says which lock it equals; make compares its name and skips this script.
"""

from __future__ import annotations

import argparse
import fcntl
import subprocess
import sys
import time
from pathlib import Path

BOOTSTRAP = Path("tools/bootstrap.txt")
NO_VENV = "error: python -m venv failed; on Debian and Ubuntu, install the package python3-venv"


def main() -> int:
    """Bring the environment up to its lock and leave the stamp, unless somebody just did."""
    if sys.version_info < (3, 11):  # noqa: UP036  what runs this is not what make checked
        return fail("error: agentfabric needs Python 3.11 or newer, this is " + sys.version.split()[0])
    options = arguments()
    with options.lock.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # `make demo` and `make test` may start at the same moment
        if options.stamp.exists():
            return 0
        return build(options)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Make a virtual environment equal to a lock file.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("lock", type=Path)
    parser.add_argument("--stamp", type=Path, required=True)
    parser.add_argument("--editable", action="store_true", help="install the project itself, too")
    return parser.parse_args()


def build(options: argparse.Namespace) -> int:
    """Create, fill, stamp; every step that fails ends it with the tool's own message above ours."""
    started = time.monotonic()
    say(f"{options.folder}: setting up from {options.lock} with Python {sys.version.split()[0]} (once)")
    python = options.folder / "bin" / "python"
    if not belongs_here(options.folder) and run(sys.executable, "-m", "venv", "--clear", str(options.folder)):
        return fail(NO_VENV)
    for stale in options.folder.glob(".ready-*"):
        stale.unlink()
    if install(python, options.lock):
        return fail(f"error: {options.folder} could not be filled from {options.lock}; the reason is above")
    if options.editable and run(*editable(python)):
        return fail("error: the project could not be installed into its environment; the reason is above")
    options.stamp.touch()
    say(f"{options.folder}: ready after {time.monotonic() - started:.0f} s")
    return 0


def belongs_here(folder: Path) -> bool:
    """Tell whether the environment runs, with this Python, and was not moved: scripts carry its path."""
    config = folder / "pyvenv.cfg"
    if not config.exists() or not (folder / "bin" / "python").exists():
        return False
    version = ".".join(map(str, sys.version_info[:3]))
    return all(fact in config.read_text() for fact in (str(folder.resolve()), f"version = {version}\n"))


def install(python: Path, lock: Path) -> int:
    """Fill the environment with exactly what the lock names, by uv, or by pip where uv cannot be had."""
    uv = python.with_name("uv")
    if not uv.exists() and run(*pip(python), "-r", str(BOOTSTRAP), quiet=True):
        say("uv cannot be had here: pip does the same, more slowly")
        return run(*pip(python), "-r", str(lock))
    return run(str(uv), "pip", "sync", "-q", "--require-hashes", "-p", str(python), str(lock))


def editable(python: Path) -> list[str]:
    """Return the command that puts the project on the environment's path, with no download."""
    uv = python.with_name("uv")
    flags = ["-q", "--no-deps", "--no-build-isolation", "-e", "."]
    if uv.exists():
        return [str(uv), "pip", "install", "-p", str(python), *flags]
    return [str(python), "-m", "pip", "install", "--disable-pip-version-check", *flags]


def pip(python: Path) -> list[str]:
    """Return the start of every pip command here."""
    flags = ["-q", "--disable-pip-version-check", "--no-input", "--require-hashes"]
    return [str(python), "-m", "pip", "install", *flags]


def run(*command: str, quiet: bool = False) -> int:
    """Run a command without input and return its exit code."""
    errors = subprocess.DEVNULL if quiet else None
    return subprocess.run(command, stdin=subprocess.DEVNULL, stderr=errors, check=False).returncode


def say(line: str) -> None:
    """Tell what is going on, at once."""
    print(line, flush=True)


def fail(line: str) -> int:
    """Tell what went wrong and return the exit code for it."""
    print(line, file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
