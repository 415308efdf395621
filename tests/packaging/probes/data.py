"""What data came along with the code: taxonomies and schemas, read the way the code reads them."""

from __future__ import annotations

import json
from importlib import import_module
from importlib.resources import files


def main(_: object) -> dict[str, list[str]]:
    """Return the names of what can be read."""
    taxonomies = import_module("shared.taxonomies")
    found = [name for name in taxonomies.names() if taxonomies.builtin(name)]
    schemas = sorted(entry.name for entry in files("shared.events").joinpath("schemas").iterdir())
    read = [name for name in schemas if json.loads(files("shared.events").joinpath("schemas", name).read_text())]
    return {"taxonomies": found, "schemas": read}
