"""The DynamoDB table: its reads, always consistent, and how an item is written.

Knows DynamoDB's words; must not know what lies in the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from botocore.exceptions import ClientError

from aws.adapters.verdicts import THROTTLED, code_of, verdicts
from shared.errors import Conflict, FabricError, Permanent, Transient

_MOST_BYTES = 390 * 1024  # of the 400 KB an item may have: https://docs.aws.amazon.com/dynamodb/ "Quotas"
_LOST_RACE = frozenset({"ConditionalCheckFailed", "TransactionConflict"})
NEW = "attribute_not_exists(pk)"

Item = dict[str, Any]


def values(**plain: str | int) -> Item:
    """Return attributes as DynamoDB writes them."""
    return {name: {"N": str(value)} if isinstance(value, int) else {"S": value} for name, value in plain.items()}


def put(item: Item, condition: str = "", **compared: str | int) -> Item:
    """Return the write of an item, made only if the condition holds; `compared` are the values that it names."""
    written: Item = {"Item": item}
    if condition:
        written["ConditionExpression"] = condition
    if compared:
        written["ExpressionAttributeValues"] = values(**{f":{name}": value for name, value in compared.items()})
    return {"Put": written}


def checked(body: str) -> str:
    """Return the body; Permanent when no item can hold it."""
    size = len(body.encode())
    if size > _MOST_BYTES:
        raise Permanent(f"{size} bytes are more than the {_MOST_BYTES} one item may have", code="oversize")
    return body


class Table:
    """Reads of the table, always consistent."""

    def __init__(self, dynamo: Any, table: str) -> None:  # noqa: ANN401  boto3 makes its clients' types at run time
        self._dynamo = dynamo
        self._table = table

    def _get(self, pk: str, sk: str) -> Item | None:
        with verdicts("read"):
            found = self._dynamo.get_item(TableName=self._table, Key=values(pk=pk, sk=sk), ConsistentRead=True)
        item: Item | None = found.get("Item")
        return item

    def _below(self, pk: str, *, limit: int, after: str = "", prefix: str = "") -> Iterator[Item]:
        """Yield up to `limit` items of a partition in the order of their sort keys."""
        condition, named = "pk = :pk", values(**{":pk": pk})
        if after:
            condition, named = f"{condition} AND sk > :after", named | values(**{":after": after})
        if prefix:
            condition, named = f"{condition} AND begins_with(sk, :prefix)", named | values(**{":prefix": prefix})
        asked = {"KeyConditionExpression": condition, "ExpressionAttributeValues": named, "ConsistentRead": True}
        return islice(self._pages(asked, limit), limit)

    def _transact(self, writes: Sequence[Item]) -> list[str | None]:
        """Write all or nothing; return why nothing was written, a reason for each write, or an empty list."""
        addressed = [{verb: {"TableName": self._table, **what} for verb, what in write.items()} for write in writes]
        with verdicts("write"):
            try:
                self._dynamo.transact_write_items(TransactItems=addressed)
            except ClientError as error:
                if code_of(error) != "TransactionCanceledException":
                    raise
                return [reason.get("Code") for reason in error.response["CancellationReasons"]]
        return []

    def _pages(self, asked: Item, size: int) -> Iterator[Item]:
        """Yield all items of a query, reading a page of that size when the one before is used up."""
        start: Item = {}
        while True:
            with verdicts("query"):
                page = self._dynamo.query(TableName=self._table, Limit=size, **asked, **start)
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def cancelled(reasons: Sequence[str | None], moved_on: str) -> FabricError:
    """Return what a transaction's cancellation means; `moved_on` says it of a lost race."""
    if any(reason in _LOST_RACE for reason in reasons):
        return Conflict(moved_on)
    if any(reason in THROTTLED for reason in reasons):
        return Transient("write: the table is throttled")
    names = sorted({reason for reason in reasons if reason and reason != "None"})
    return Permanent(f"write: refused by the table ({', '.join(names)})", code="refused-by-aws")
