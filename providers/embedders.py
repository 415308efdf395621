"""Which embedder a name stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from shared.errors import Permanent

if TYPE_CHECKING:
    from shared.ports import Embedder


def embedder(name: str) -> Embedder:
    """Return the embedder of that name; nothing is loaded before it is used. Permanent names those there are."""
    if name not in _MADE:
        raise Permanent(f"no embedder is called {name!r}; there are: {', '.join(_MADE)}", code="no-embedder")
    return _MADE[name]()


def _lexical() -> Embedder:
    from shared.models.lexical import Lexical  # noqa: PLC0415  one of them is used

    return Lexical()


def _minilm() -> Embedder:
    from providers.minilm import MiniLM  # noqa: PLC0415

    return MiniLM()


_MADE: Mapping[str, Callable[[], Embedder]] = {"lexical": _lexical, "minilm": _minilm}
