from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def pins(path: Path) -> set[str]:
    """Return a lock's pins, such as `pydantic==2.14.3`."""
    return set(re.findall(r"^[A-Za-z0-9_.\[\]-]+==\S+", path.read_text(encoding="utf-8"), re.MULTILINE))


def test_the_functions_run_what_was_tested(root: Path) -> None:
    """Every version that is deployed is the one that the whole project is locked to."""
    deployed = pins(root / "gcp" / "requirements.txt")
    locked = {pin.replace("[requests]", "") for pin in pins(root / "requirements.txt")}
    assert deployed
    assert {pin.replace("[requests]", "") for pin in deployed} <= locked


def test_only_what_the_functions_need(root: Path) -> None:
    """No other cloud's SDK is deployed along."""
    names = {pin.partition("==")[0] for pin in pins(root / "gcp" / "requirements.txt")}
    assert not [name for name in names if name.startswith(("boto", "azure", "aws", "pypdf"))]
