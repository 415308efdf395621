"""The ledger's rows as JSON text, for stores that keep a row's body as one value.

Fields go by name: a reader leaves out what it does not know yet, and gives what it misses its default.
"""

from __future__ import annotations

import json
from typing import Any

from shared.core.buckets import Bucket
from shared.core.ledger import Account, Book, Draw, Lease, Wait


def encode(row: Account | Lease | Draw) -> str:
    """Return the row as text."""
    return json.dumps(row._asdict(), separators=(",", ":"), ensure_ascii=False)


def account_from(text: str | bytes) -> Account:
    """Return an account as it was written."""
    told = _known(text, Account._fields)
    nested: dict[str, Any] = {
        "books": {window: Book(*book) for window, book in told.get("books", {}).items()},
        "waits": {lease: Wait(*wait) for lease, wait in told.get("waits", {}).items()},
        **{name: Bucket(*told[name]) for name in ("requests", "tokens") if name in told},
    }
    return Account(**{**told, **nested})


def lease_from(text: str | bytes) -> Lease:
    """Return a lease as it was written."""
    told = _known(text, Lease._fields)
    return Lease(**{**told, "windows": tuple(told["windows"])})


def draw_from(text: str | bytes) -> Draw:
    """Return a draw as it was written."""
    told = _known(text, Draw._fields)
    return Draw(**{**told, "windows": tuple(told["windows"])})


def _known(text: str | bytes, fields: tuple[str, ...]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(text)
    return {name: value for name, value in told.items() if name in fields}
