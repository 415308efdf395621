"""The `Settings` port in the DynamoDB table of the control state.

| item    | pk       | sk   | besides       |
|---------|----------|------|---------------|
| setting | settings | name | version, text |

Every other key begins with a tenant and a `#`, so none can be this one.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from aws.adapters.verdicts import code_of, verdicts
from shared.errors import Conflict, Permanent
from shared.ports import Setting

_MOST_BYTES = 390 * 1024  # of the 400 KB an item may have


class DynamoSettings:
    """What operators change while the fabric runs; read consistently, so that a stop is seen by the next look."""

    def __init__(self, dynamo: Any, table: str) -> None:  # noqa: ANN401  boto3 makes its clients' types at run time
        self._dynamo = dynamo
        self._table = table

    def read(self, name: str) -> Setting:
        """Return the setting; an empty one at version 0 when nobody wrote it."""
        with verdicts("read a setting"):
            found = self._dynamo.get_item(TableName=self._table, Key=_key(name), ConsistentRead=True).get("Item")
        return Setting(name, found["text"]["S"], int(found["version"]["N"])) if found else Setting(name)

    def write(self, setting: Setting) -> None:
        """Write it; Conflict unless it is stored at one version less than it brings."""
        size = len(setting.text.encode())
        if size > _MOST_BYTES:
            raise Permanent(f"{size} bytes are more than the {_MOST_BYTES} one item may have", code="oversize")
        item = _key(setting.name) | {"version": {"N": str(setting.version)}, "text": {"S": setting.text}}
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if setting.version > 1:
            values = {":before": {"N": str(setting.version - 1)}}
            condition = {"ConditionExpression": "version = :before", "ExpressionAttributeValues": values}
        with verdicts("write a setting"):
            try:
                self._dynamo.put_item(TableName=self._table, Item=item, **condition)
            except ClientError as error:
                if code_of(error) != "ConditionalCheckFailedException":
                    raise
                raise Conflict(f"the setting {setting.name} was changed by somebody else") from error


def _key(name: str) -> dict[str, Any]:
    return {"pk": {"S": "settings"}, "sk": {"S": name}}
