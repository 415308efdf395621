"""What is in each artefact: everything that is under version control for it, and nothing else."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.architecture.source import tracked
from tests.packaging.deployed import Deployed, names, relative, unpacked
from tests.packaging.funcignore import uploaded
from tools import package

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# What lies beside the code and is read by people, by make and by whoever sets a database up.
STAYS = {
    *("aws/Makefile", "aws/README.md", "aws/requirements.in", "aws/requirements.txt"),
    *("gcp/README.md", "gcp/main.py", "gcp/requirements.in", "gcp/requirements.txt", "gcp/schema.sql"),
}
AT_ROOT = {
    "azure": {"function_app.py", "host.json", "requirements.txt"},
    "gcp": {"main.py", "requirements.txt", ".gcloudignore"},
    "aws": set[str](),
}
PLACES = {
    "aws": ("aws/", "providers/", "shared/"),
    "azure": ("azure/fabric/", "providers/", "shared/"),
    "gcp": ("gcp/", "shared/"),
}
CLOUDS = sorted(PLACES)
# What people, tools and runs leave in a checkout.
LEFTOVERS = {
    *(".venv/bin/python", ".venv-sam/bin/sam", ".env", ".agentfabric/state.db", ".aws-sam/build.toml", ".coverage"),
    *("__pycache__/function_app.cpython-311.pyc", "shared/core/__pycache__/task.cpython-311.pyc", "htmlcov/index.html"),
    *("build/gcp/main.py", "dist/agentfabric.whl", "local.settings.json", "node_modules/x/index.js", ".idea/x.xml"),
    *(
        ".git/config",
        ".vscode/settings.json",
        ".mypy_cache/x.json",
        ".ruff_cache/x",
        ".pytest_cache/x",
        ".hypothesis/x",
    ),
}


def expected(cloud: str) -> set[str]:
    """Return the files of a cloud's code, as its artefact names them."""
    return {path for path in tracked() if path.startswith(PLACES[cloud]) and path not in STAYS} | AT_ROOT[cloud]


def complaints(found: Iterable[str], wanted: set[str]) -> list[str]:
    """Return what is forgotten and what is too much."""
    there = set(found)
    return [f"missing: {path}" for path in sorted(wanted - there)] + [
        f"extra: {path}" for path in sorted(there - wanted)
    ]


def bytecode(path: str) -> str:
    """Return where Python 3.11 looks for a file's bytecode."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/__pycache__/{name.removesuffix('.py')}.cpython-311.pyc"


def everything(folder: Path) -> set[str]:
    """Return an artefact's files."""
    return relative(folder, package.every_file(folder))


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    """Unpack Azure's artefact, for a test that spoils it."""
    return unpacked("azure", tmp_path / "azure")


@pytest.mark.parametrize("cloud", ["azure", "gcp"])
def test_a_copied_artefact_is_complete(cloud: str, tmp_path: Path) -> None:
    """Azure's and GCP's folders hold their cloud's code, the shared core and its data, and nothing else."""
    assert complaints(everything(unpacked(cloud, tmp_path / cloud)), expected(cloud)) == []


def test_a_function_is_complete(aws: Deployed) -> None:
    """A Lambda function holds AWS's code and the shared core, each file with bytecode of its runtime's Python."""
    code = expected("aws")
    assert complaints(everything(aws.folder), code | {bytecode(path) for path in code if path.endswith(".py")}) == []


def test_the_layer_is_its_lock(aws_build: Path, root: Path) -> None:
    """The layer holds exactly the packages of its lock, and no program of the machine that built it."""
    layer = aws_build / "DependencyLayer" / "python"
    packages = {path.name.split("-")[0].replace("_", "-").lower() for path in layer.glob("*.dist-info")}
    assert packages == names((root / "aws/requirements.txt").read_text(encoding="utf-8"))
    assert not (layer / "bin").exists()


@pytest.mark.parametrize(
    "forgotten", ["shared/taxonomies/general.toml", "shared/events/schemas/envelope.json", "host.json"]
)
def test_a_forgotten_file_is_noticed(staged: Path, forgotten: str) -> None:
    """A file that did not come along is named."""
    (staged / forgotten).unlink()
    assert complaints(everything(staged), expected("azure")) == [f"missing: {forgotten}"]


@pytest.mark.parametrize(
    "extra",
    ["tests/test_x.py", "local/cli.py", "aws/wire.py", "tests/__pycache__/test_x.cpython-311.pyc", "azure/__init__.py"],
)
def test_an_extra_file_is_noticed(staged: Path, extra: str) -> None:
    """A test, another cloud's file, a test's bytecode: whatever has no business there is named."""
    (staged / extra).parent.mkdir(parents=True, exist_ok=True)
    (staged / extra).touch()
    assert complaints(everything(staged), expected("azure")) == [f"extra: {extra}"]


@pytest.mark.parametrize("cloud", CLOUDS)
def test_data_is_read_where_it_lies(cloud: str, request: pytest.FixtureRequest, root: Path, tmp_path: Path) -> None:
    """Taxonomies and schemas are read inside the artefact; one that is missing there is missed."""
    deployed: Deployed = request.getfixturevalue(cloud)
    data = deployed.asked("data")
    assert data["taxonomies"] == sorted(path.stem for path in (root / "shared/taxonomies").glob("*.toml"))
    assert data["schemas"] == sorted(path.name for path in (root / "shared/events/schemas").glob("*.json"))
    shutil.copytree(deployed.folder, tmp_path / "spoilt")
    (tmp_path / "spoilt/shared/taxonomies/general.toml").unlink()
    spoilt = Deployed(deployed.python, (tmp_path / "spoilt", *deployed.path[1:]))
    assert spoilt.asked("data")["taxonomies"] == ["licences"]


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_lock_holds_what_the_project_was_tested_with(cloud: str, root: Path) -> None:
    """Every version that is deployed is the project's own, has its hashes, and names no registry."""
    lock = (root / cloud / "requirements.txt").read_text(encoding="utf-8")
    whole = (root / "requirements.txt").read_text(encoding="utf-8")
    pins = set(re.findall(r"(?m)^([a-z0-9._-]+)(?:\[.*\])?(==\S+)", lock))
    assert pins
    assert pins <= set(re.findall(r"(?m)^([a-z0-9._-]+)(?:\[.*\])?(==\S+)", whole))
    assert len(re.findall(r"(?m)^[a-z0-9].*\\\n +--hash=sha256:[0-9a-f]{64}", lock)) == len(
        re.findall(r"(?m)^[a-z0-9]", lock)
    )
    assert "://" not in lock


def test_a_root_with_its_funcignore_is_the_staged_folder(root: Path) -> None:
    """`func … publish` from a checkout that was worked in uploads the same files as from build/azure."""
    rules = (root / ".funcignore").read_text(encoding="utf-8")
    assert complaints(uploaded({*tracked(), *LEFTOVERS}, rules), expected("azure")) == []


@pytest.mark.parametrize(
    ("line", "dropped", "kept"),
    [
        ("aws", {"aws/wire.py", "aws-notes.py", "aws"}, {"awsome.py", "azure/aws/x.py"}),
        ("**/tests", {"shared/tests/x.py", "a/b/tests"}, {"tests/x.py", "shared/contests/x.py"}),
        ("*.md", {"README.md", "x.md.bak"}, {"docs/x.md", ".md"}),
        ("/docs/", {"docs/x.md"}, {"x/docs/x.md"}),
        (".env", {".env", ".env.local"}, {"xenv", ".environment"}),
        ("# aws\n\n", set(), {"aws/wire.py", "# aws"}),
        ("docs\n!docs/api", {"docs/x.md"}, {"docs/api/x.md"}),
        ("", {"local.settings.json", "x/.gitignore", ".git/config", "x/.vscode/y"}, {"settings.json"}),
    ],
)
def test_funcignores_rules(line: str, dropped: set[str], kept: set[str]) -> None:
    """Lines mean prefixes from the root up to a word's end, with stars, take-backs, and names that never go."""
    assert uploaded(dropped | kept, line) == kept


@pytest.fixture
def gcloud() -> str:
    """Return gcloud, which lists uploads without a network."""
    found = shutil.which("gcloud")
    if found is None:
        pytest.skip("gcloud is not installed here: see Google's instructions for the Google Cloud SDK")
    return found


def listed(gcloud: str, folder: Path) -> set[str]:
    """Return what gcloud would upload from a folder."""
    command = [gcloud, "meta", "list-files-for-upload", str(folder)]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_gcloud_uploads_the_staged_folder(gcloud: str, tmp_path: Path) -> None:
    """What gcloud uploads is the staged source, and none of the caches and notes that may come to lie in it."""
    folder = unpacked("gcp", tmp_path / "gcp")
    for leftover in ("shared/__pycache__/ports.cpython-311.pyc", "NOTES.md", "gcp/schema.sql", ".ruff_cache/x"):
        (folder / leftover).parent.mkdir(parents=True, exist_ok=True)
        (folder / leftover).touch()
    assert complaints(listed(gcloud, folder), expected("gcp") - {".gcloudignore"}) == []


def test_gclouds_rules_drop_nothing_that_is_needed(gcloud: str, root: Path, tmp_path: Path) -> None:
    """From the project's root, the same rules let every file through that the staged folder is made of."""
    for path in tracked():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / path, tmp_path / path)
    assert set(package.contents("gcp")) - {".gcloudignore"} <= listed(gcloud, tmp_path)


def hashes(folder: Path, place: Path) -> dict[str, str]:
    """Return the hash of each file of a build made at `place`, whose template leads back to the project from there."""
    back = os.path.relpath(package.ROOT, place).encode()
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in package.every_file(folder)}
    found |= {"template.yaml": found["template.yaml"].replace(back, b"ROOT")} if "template.yaml" in found else {}
    return {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}


@pytest.mark.parametrize("cloud", CLOUDS)
def test_two_builds_are_equal(cloud: str, tmp_path: Path) -> None:
    """A build somewhere else has the same files with the same hashes, bytecode included."""
    once = unpacked(cloud, tmp_path / "once")
    twice = tmp_path / "elsewhere" / "twice"
    package.stage(cloud, twice)
    assert hashes(once, package.BUILD / cloud) == hashes(twice, twice)


def test_a_build_is_made_when_something_changed(tmp_path: Path) -> None:
    """A second run does nothing; a build that somebody touched is made anew."""
    assert package.package("gcp", tmp_path)
    assert not package.package("gcp", tmp_path)
    (tmp_path / "gcp" / "main.py").write_text("")
    assert package.package("gcp", tmp_path)
    assert (tmp_path / "gcp" / "main.py").read_text()


def test_every_function_fits(aws_build: Path) -> None:
    """A function and its layer are below Lambda's 250 MiB, and the table has a line for each artefact."""
    sizes = {path.name: sum(file.stat().st_size for file in package.every_file(path)) for path in aws_build.glob("*/")}
    assert max(sizes.values()) + sizes["DependencyLayer"] < 250 * package.MIB
    lines = package.table(package.artefacts("aws", aws_build)).splitlines()
    assert {line.split()[1] for line in lines[1:]} == set(sizes)
