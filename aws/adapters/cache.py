"""The `Cache` port in the DynamoDB table of the control state.

| item   | pk             | sk  | besides       |
|--------|----------------|-----|---------------|
| answer | tenant#answers | key | expires, text |

`expires` is the table's time to live: what nobody asks for again is dropped by the table itself, sooner or later.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from aws.adapters.verdicts import verdicts

_MOST_BYTES = 390 * 1024  # of the 400 KB an item may have


class DynamoCache:
    """Answers that may be given again; one that is read a moment too late is only asked for again."""

    def __init__(self, dynamo: Any, table: str) -> None:  # noqa: ANN401  boto3 makes its clients' types at run time
        self._dynamo = dynamo
        self._table = table

    def get(self, tenant: str, key: str, at: datetime) -> str | None:
        """Return what was kept under the key and has not expired, or None."""
        with verdicts("read an answer"):
            found = self._dynamo.get_item(TableName=self._table, Key=_key(tenant, key)).get("Item")
        return str(found["text"]["S"]) if found and int(found["expires"]["N"]) > at.timestamp() else None

    def put(self, tenant: str, key: str, text: str, expires: datetime) -> None:
        """Keep a text until it expires; the latest one stands. One too large for an item is not kept."""
        if len(text.encode()) > _MOST_BYTES:
            return
        item = _key(tenant, key) | {"expires": {"N": str(math.floor(expires.timestamp()))}, "text": {"S": text}}
        with verdicts("keep an answer"):
            self._dynamo.put_item(TableName=self._table, Item=item)


def _key(tenant: str, key: str) -> dict[str, Any]:
    return {"pk": {"S": f"{tenant}#answers"}, "sk": {"S": key}}
