from __future__ import annotations

import json
from typing import TYPE_CHECKING

from shared.events.catalog import CATALOG
from shared.render import rendered

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "shared/events/schemas/"


def test_schemas_are_what_the_models_say(root: Path) -> None:
    """The committed JSON Schemas are the rendered ones, no more and no fewer: `agentfabric render` writes them."""
    wanted = {path: text for path, text in rendered().items() if path.startswith(FOLDER)}
    found = {FOLDER + path.name: path.read_text(encoding="utf-8") for path in (root / FOLDER).iterdir()}
    assert found == wanted
    assert len(wanted) == len(CATALOG) + 1


def test_schemas_name_themselves(root: Path) -> None:
    """A schema's id is the `dataschema` of the events it describes, and lists no field as required twice."""
    for path in (root / FOLDER).iterdir():
        schema = json.loads(path.read_text(encoding="utf-8"))
        required = schema.get("required", [])
        assert schema["$id"].startswith(f"urn:agentfabric:{path.stem}:")
        assert len(required) == len(set(required))
