"""What every test may use. Knows nothing but pytest and where the project lies."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the project's root folder."""
    return Path(__file__).resolve().parents[1]
