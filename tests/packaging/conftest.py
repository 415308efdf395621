"""Each cloud's artefact, deployed once for all tests of this folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.packaging.deployed import ISOLATED, Deployed, environment, unpacked, uv


@pytest.fixture(scope="session")
def aws_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack what `sam build` made."""
    return unpacked("aws", tmp_path_factory.mktemp("lambda") / "aws")


@pytest.fixture(scope="session")
def aws(aws_build: Path) -> Deployed:
    """Deploy the front door's function over its layer, on a Python that has nothing else, not even boto3."""
    return Deployed(
        (sys.executable, *ISOLATED, "-S"), (aws_build / "IngressFunction", aws_build / "DependencyLayer/python")
    )


@pytest.fixture(scope="session")
def aws_runtime(aws: Deployed, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """Deploy it as in Lambda's runtime, which brings boto3."""
    folder = tmp_path_factory.mktemp("runtime") / "venv"
    uv("venv", "--python", sys.executable, str(folder))
    pinned = ("--constraint", str(root / "requirements.txt"), "boto3")
    uv("pip", "install", "--python", str(folder / "bin/python"), *pinned)
    return Deployed((str(folder / "bin/python"), *ISOLATED), aws.path)


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """Deploy the function app over what its requirements.txt names."""
    return _deployed("azure", tmp_path_factory)


@pytest.fixture(scope="session")
def gcp(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """Deploy the two functions' source over what its requirements.txt names."""
    return _deployed("gcp", tmp_path_factory)


def _deployed(cloud: str, factory: pytest.TempPathFactory) -> Deployed:
    place = factory.mktemp(cloud)
    folder = unpacked(cloud, place / "source")
    python = environment(place / "venv", folder / "requirements.txt")
    return Deployed((str(python), *ISOLATED), (folder,))
