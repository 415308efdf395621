"""The `Cache` port in the Azure table of the control state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure.data.tables import UpdateMode

from azure.fabric.adapters import rows
from azure.fabric.adapters.verdicts import verdicts

if TYPE_CHECKING:
    from datetime import datetime

    from azure.fabric.adapters.tables import Table


class TableCache:
    """Answers that may be given again. The table drops none by itself: an expired one is replaced when it is asked."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def get(self, tenant: str, key: str, at: datetime) -> str | None:
        """Return what was kept under the key and has not expired, or None."""
        found = self._table.get(tenant, _key(key))
        return rows.body_of(found).decode() if found and float(found["Expires"]) > at.timestamp() else None

    def put(self, tenant: str, key: str, text: str, expires: datetime) -> None:
        """Keep a text until it expires; the latest one stands. One too large for a row is not kept."""
        if len(text.encode()) > rows.MOST_BYTES_OF_A_ROW:
            return
        with verdicts("the table"):
            fresh = rows.row(tenant, _key(key), text, Expires=expires.timestamp())
            self._table.client.upsert_entity(fresh, UpdateMode.REPLACE)


def _key(key: str) -> str:
    return f"answer|{rows.hashed(key)}"
