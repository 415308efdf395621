"""What the local AWS may not forget: items, messages, records, executions; loaded by path, like its journal.

Each kind says what changed since it was last asked, in JSON, and makes such a change once more. May know ministack's
modules, which it is given; must not know where changes are written down.
"""

from __future__ import annotations

import contextvars
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Change = list[Any]  # its kind, then what `apply` of that kind takes

_DEDUPLICATED_SECONDS = 300
_FIRST_ERROR = 400


class Items:
    """The items of DynamoDB's tables."""

    kinds = ("item",)

    def __init__(self, dynamodb: Any) -> None:  # noqa: ANN401  a module
        self._dynamodb = dynamodb
        self._touched: dict[tuple[str, str, str], Any] = {}
        self._guard = threading.Lock()  # items expire in a thread of their own
        self.store, self.remove = dynamodb._set_item, dynamodb._remove_item  # noqa: SLF001  all writes pass here
        dynamodb._set_item = self._noting(self.store)  # noqa: SLF001
        dynamodb._remove_item = self._noting(self.remove)  # noqa: SLF001

    def _noting(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def noted(table: Any, pk: str, sk: str, *item: Any) -> Any:  # noqa: ANN401  ministack's own
            with self._guard:
                self._touched[table["TableArn"], pk, sk] = table
                return write(table, pk, sk, *item)

        return noted

    def changes(self) -> Iterable[Change]:
        """Return the items that were written, as they are now; None is one that was removed."""
        with self._guard:
            touched, self._touched = self._touched, {}
        return [["item", arn, pk, sk, table["items"].get(pk, {}).get(sk)] for (arn, pk, sk), table in touched.items()]

    def apply(self, kind: str, *what: Any) -> None:  # noqa: ANN401, ARG002  JSON
        """Write the item, or remove it, if its table is still there."""
        arn, pk, sk, item = what
        for table in self._dynamodb._tables._data.values():  # noqa: SLF001  ministack has nothing public
            if table["TableArn"] == arn:
                self.remove(table, pk, sk) if item is None else self.store(table, pk, sk, item)


class Messages:
    """The messages of SQS's queues; who received one, and for how long, is forgotten."""

    kinds = ("sent", "gone")

    def __init__(self, sqs: Any) -> None:  # noqa: ANN401  a module
        self._queues: dict[Any, dict[str, Any]] = sqs._queues._data  # noqa: SLF001  ministack has nothing public
        self._known: dict[Any, dict[str, None]] = {}

    def changes(self) -> Iterable[Change]:
        """Return messages that came, and the ids of those that went."""
        found: list[Change] = []
        for key, queue in list(self._queues.items()):
            before, messages = self._known.get(key, {}), {each["id"]: each for each in queue["messages"]}
            if before.keys() != messages.keys():
                found += [["sent", key, each] for name, each in messages.items() if name not in before]
                found += [["gone", key, name] for name in before if name not in messages]
                self._known[key] = dict.fromkeys(messages)
        return found

    def apply(self, kind: str, *what: Any) -> None:  # noqa: ANN401  JSON
        """Put a message into its queue, or take it out, if the queue is still there."""
        key, message = what
        queue = self._queues.get(tuple(key))
        if queue is None:
            return
        if kind == "gone":
            queue["messages"] = [each for each in queue["messages"] if each["id"] != message]
        elif all(each["id"] != message["id"] for each in queue["messages"]):
            queue["messages"].append(message)
            _recognise(queue, message)


def _recognise(queue: dict[str, Any], message: Mapping[str, Any]) -> None:
    """Let a FIFO queue go on numbering, and recognise the message when it is sent once more."""
    if message.get("seq"):
        queue["fifo_seq"] = max(queue["fifo_seq"], int(message["seq"]))
    if key := message.get("dedup_cache_key"):
        names = {"id": "id", "md5": "md5_body", "md5a": "md5_attrs", "seq": "seq"}
        kept = {name: message[field] for name, field in names.items()}
        queue["dedup_cache"][key] = {"expire": message["sent_at"] + _DEDUPLICATED_SECONDS, **kept}


class Records:
    """The records of Kinesis's streams, and how far each event source mapping is."""

    kinds = ("record", "position")

    def __init__(self, kinesis: Any, lambdas: Any) -> None:  # noqa: ANN401  modules
        self._streams: dict[Any, dict[str, Any]] = kinesis._streams._data  # noqa: SLF001  nothing public
        self._positions: dict[Any, dict[str, int]] = lambdas._kinesis_positions._data  # noqa: SLF001  likewise
        self._last: dict[tuple[Any, str], str] = {}
        self._at: dict[Any, dict[str, int]] = {}

    def changes(self) -> Iterable[Change]:
        """Return records that came, and positions that moved."""
        found: list[Change] = []
        for key, stream in list(self._streams.items()):
            for name, shard in stream["shards"].items():
                last = self._last.get((key, name), "")
                fresh = _behind(shard["records"], last)
                if fresh:
                    self._last[key, name] = fresh[-1]["SequenceNumber"]
                    found += [["record", key, name, each] for each in fresh]
        for key, shards in list(self._positions.items()):
            if self._at.get(key) != shards:
                self._at[key] = dict(shards)
                found.append(["position", key, dict(shards)])
        return found

    def apply(self, kind: str, *what: Any) -> None:  # noqa: ANN401  JSON
        """Add a record behind the others, or move a position."""
        key = tuple(what[0])
        if kind == "position":
            self._positions[key] = what[1]
        elif key in self._streams and (shard := self._streams[key]["shards"].get(what[1])) is not None:
            shard["records"] += _behind([what[2]], shard["records"][-1]["SequenceNumber"] if shard["records"] else "")


def _behind(records: list[dict[str, Any]], last: str) -> list[dict[str, Any]]:
    """Return the records behind a sequence number; they are many, and the new ones few."""
    first = len(records)
    while first and records[first - 1]["SequenceNumber"] > last:
        first -= 1
    return records[first:]


class Executions:
    """Executions that nobody waits for: AWS runs them at least once, so those that were cut off are run again."""

    kinds = ("run", "ran")

    def __init__(self, stepfunctions: Any, responses: Any) -> None:  # noqa: ANN401  modules
        self._scope = responses._request_account_id, responses._request_region  # noqa: SLF001  nothing public
        self._executions: dict[Any, dict[str, Any]] = stepfunctions._executions._data  # noqa: SLF001  likewise
        self._run = stepfunctions._run_execution  # noqa: SLF001  likewise
        self._open: dict[str, Change] = {}
        self._fresh: list[Change] = []
        stepfunctions._run_execution = self._to_the_end  # noqa: SLF001  likewise
        start = stepfunctions._start_execution  # noqa: SLF001  likewise

        def started(data: Any) -> Any:  # noqa: ANN401  ministack's own
            status, headers, body = start(data)
            if status < _FIRST_ERROR:
                self._begin(json.loads(body)["executionArn"])
            return status, headers, body

        stepfunctions._start_execution = started  # noqa: SLF001  likewise

    def _begin(self, arn: str) -> None:
        key = (*(variable.get() for variable in self._scope), arn)
        record = self._executions[key]
        self._open[arn] = ["run", key, {**record, "events": record["events"][:1]}]
        self._fresh.append(self._open[arn])

    def _to_the_end(self, arn: str) -> None:
        self._run(arn)
        if (begun := self._open.pop(arn, None)) is not None:
            key = begun[1]
            self._fresh.append(["ran", key, self._executions[tuple(key)]["status"]])

    def changes(self) -> Iterable[Change]:
        """Return executions that began or ended."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def apply(self, kind: str, *what: Any) -> None:  # noqa: ANN401  JSON
        """Know an execution, or that it ended."""
        key, told = tuple(what[0]), what[1]
        if kind == "run":
            self._executions[key] = told
            self._open[key[-1]] = ["run", key, told]
        elif key in self._executions:
            self._executions[key]["status"] = told
            self._open.pop(key[-1], None)

    def unfinished(self) -> list[Change]:
        """Return the executions that have not ended."""
        return list(self._open.values())

    def go_on(self) -> list[threading.Thread]:
        """Run those that were cut off from their beginning, in threads; return these."""
        threads = []
        for _, key, record in self.unfinished():
            self._executions[tuple(key)] = {**record, "status": "RUNNING", "events": list(record["events"])}
            run = contextvars.copy_context().run
            threads.append(threading.Thread(target=run, args=(self._again, *key), daemon=True))
            threads[-1].start()
        return threads

    def _again(self, account: str, region: str, arn: str) -> None:
        for variable, value in zip(self._scope, (account, region), strict=True):
            variable.set(value)
        self._to_the_end(arn)
