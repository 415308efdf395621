"""The taxonomies that come with the product: package data, read as text and parsed elsewhere."""

from __future__ import annotations

from importlib.resources import files

from shared.errors import NotFound


def builtin(name: str) -> str:
    """Return the TOML text of a taxonomy that comes with the product; NotFound names those there are."""
    if name not in names():
        raise NotFound(f"no taxonomy {name!r} comes with the product; known: {', '.join(names())}")
    return files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8")


def names() -> tuple[str, ...]:
    """Return the names of the taxonomies that come with the product."""
    found = (entry.name for entry in files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml")))
