"""The fabric that the tests of the embedded engine start from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.local.stage import Fabric, fabric


@pytest.fixture
def memory() -> Iterator[Fabric]:
    """A fabric in memory."""
    with fabric() as opened:
        yield opened
