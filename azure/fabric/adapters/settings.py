"""The `Settings` port, in the Azure table of the control state.

They have a partition that no tenant's name can be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.data.tables import UpdateMode

from azure.fabric.adapters import rows
from azure.fabric.adapters.verdicts import verdicts
from shared.errors import Conflict
from shared.ports import Setting

if TYPE_CHECKING:
    from azure.fabric.adapters.tables import Table

_PARTITION = "_settings"
_LOST_RACE = frozenset({409, 412})  # it exists already; it is not as it was read


class TableSettings:
    """What operators change while the fabric runs."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def read(self, name: str) -> Setting:
        """Return the setting; an empty one at version 0 when nobody wrote it."""
        found = self._table.get(_PARTITION, name)
        return Setting(name, rows.body_of(found).decode(), int(found["Version"])) if found else Setting(name)

    def write(self, setting: Setting) -> None:
        """Write it; Conflict unless it is stored at one version less than it brings."""
        found = self._table.get(_PARTITION, setting.name)
        if (int(found["Version"]) if found else 0) != setting.version - 1:
            raise _moved(setting)
        fresh = rows.row(_PARTITION, setting.name, setting.text, Version=setting.version)
        client = self._table.client
        try:
            with verdicts("the table"):
                if found is None:
                    client.create_entity(fresh)
                else:
                    etag, unmoved = found.metadata["etag"], MatchConditions.IfNotModified
                    client.update_entity(fresh, UpdateMode.REPLACE, etag=etag, match_condition=unmoved)
        except HttpResponseError as error:
            if error.status_code not in _LOST_RACE:
                raise
            raise _moved(setting) from error


def _moved(setting: Setting) -> Conflict:
    return Conflict(f"the setting {setting.name} was changed by somebody else")
