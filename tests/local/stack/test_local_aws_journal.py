from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from local.stack.local_aws_journal import Lines, defines
from local.stack.local_aws_kept import Executions, Items, Messages, Records

if TYPE_CHECKING:
    from pathlib import Path

SCOPE = ("000000000000", "us-east-1")
ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/ttt"


class Variable:
    """A context variable with one value."""

    def __init__(self, value: str) -> None:
        self.value = value

    def get(self) -> str:
        """Return the value."""
        return self.value

    def set(self, value: str) -> None:
        """Set the value."""
        self.value = value


def told(*changes: list[Any]) -> list[Any]:
    """Return changes as they are read from a file."""
    return list(json.loads(json.dumps(changes)))


def make_again(kept: Any, changes: list[Any], *, times: int = 1) -> None:
    """Let a kind of state make changes that were written down."""
    for _ in range(times):
        for kind, *what in told(*changes):
            kept.apply(kind, *what)


def dynamodb() -> Any:
    """Return DynamoDB's module, as far as it is touched: one table, and the two functions that write."""
    table: dict[str, Any] = {"TableArn": ARN, "items": {}}

    def store(where: dict[str, Any], pk: str, sk: str, item: object) -> None:
        where["items"].setdefault(pk, {})[sk] = item

    def remove(where: dict[str, Any], pk: str, sk: str) -> None:
        where["items"].get(pk, {}).pop(sk, None)

    tables = SimpleNamespace(_data={(*SCOPE, "ttt"): table})
    return SimpleNamespace(_set_item=store, _remove_item=remove, _tables=tables, table=table)


def test_items_are_as_they_were_left() -> None:
    """Items written, overwritten and removed are told as they are at last, and made so again, once or twice."""
    first, second = dynamodb(), dynamodb()
    items, again = Items(first), Items(second)
    first._set_item(first.table, "a", "1", {"x": 1})
    first._set_item(first.table, "a", "1", {"x": 2})
    first._set_item(first.table, "b", "1", {"x": 3})
    first._remove_item(first.table, "b", "1")
    changes = list(items.changes())
    assert list(items.changes()) == []
    second.table["items"]["b"] = {"1": {"x": 3}}
    make_again(again, changes, times=2)
    assert second.table["items"] == {"a": {"1": {"x": 2}}, "b": {}}


def test_an_item_of_a_table_that_is_gone_is_let_go() -> None:
    """A change of a table that was deleted since changes nothing."""
    module = dynamodb()
    items = Items(module)
    items.apply("item", "arn:of/another", "a", "1", {"x": 1})
    assert module.table["items"] == {}


def message(name: str, **more: object) -> dict[str, Any]:
    """Return a message as SQS keeps it."""
    seen = {"dedup_cache_key": f"g:{name}", "seq": name.zfill(20), "sent_at": 100.0}
    return {"id": name, "body": name, "md5_body": "m", "md5_attrs": None} | seen | more


def sqs(*messages: dict[str, Any]) -> Any:
    """Return SQS's module, as far as it is touched: one FIFO queue."""
    queue: dict[str, Any] = {"messages": list(messages), "dedup_cache": {}, "fifo_seq": 0}
    return SimpleNamespace(_queues=SimpleNamespace(_data={(*SCOPE, "url"): queue}), queue=queue)


def test_messages_are_as_they_were_left() -> None:
    """Messages that were sent and deleted are there or not, in their order, and are recognised when sent again."""
    first, second = sqs(message("1")), sqs()
    messages, again = Messages(first), Messages(second)
    changes = list(messages.changes())
    first.queue["messages"] = [message("2"), message("3")]
    changes += messages.changes()
    assert list(messages.changes()) == []
    make_again(again, changes, times=2)
    assert [each["id"] for each in second.queue["messages"]] == ["2", "3"]
    assert second.queue["fifo_seq"] == 3
    assert second.queue["dedup_cache"]["g:1"] == {
        "expire": 400.0,
        "id": "1",
        "md5": "m",
        "md5a": None,
        "seq": "1".zfill(20),
    }


def test_a_queue_that_is_gone_is_let_go() -> None:
    """A change of a queue that was deleted since changes nothing."""
    module = sqs()
    Messages(module).apply("sent", [*SCOPE, "another"], message("1"))
    assert module.queue["messages"] == []


def kinesis(*numbers: str) -> tuple[Any, Any, dict[str, Any]]:
    """Return the modules of Kinesis and Lambda, as far as they are touched, and the only shard."""
    shard: dict[str, Any] = {"records": [{"SequenceNumber": number} for number in numbers]}
    streams = SimpleNamespace(_data={(*SCOPE, "sss"): {"shards": {"shard": shard}}})
    positions = SimpleNamespace(_data={})
    return SimpleNamespace(_streams=streams), SimpleNamespace(_kinesis_positions=positions), shard


def test_records_and_positions_are_as_they_were_left() -> None:
    """Records are told once and made again once, behind those that are there; a position is where it was last."""
    streams, lambdas, shard = kinesis("01", "02")
    records = Records(streams, lambdas)
    changes = list(records.changes())
    shard["records"].append({"SequenceNumber": "03"})
    lambdas._kinesis_positions._data[*SCOPE, "esm"] = {"shard": 2}
    changes += records.changes()
    lambdas._kinesis_positions._data[*SCOPE, "esm"] = {"shard": 3}
    changes += records.changes()
    assert list(records.changes()) == []
    others, others_lambdas, other = kinesis("01")
    make_again(Records(others, others_lambdas), changes, times=2)
    assert [each["SequenceNumber"] for each in other["records"]] == ["01", "02", "03"]
    assert others_lambdas._kinesis_positions._data == {(*SCOPE, "esm"): {"shard": 3}}


class StepFunctions:
    """Step Functions' module, as far as it is touched: executions run when they are told to."""

    def __init__(self) -> None:
        self._executions = SimpleNamespace(_data={})
        self.ran: list[str] = []

    def _start_execution(self, data: dict[str, str]) -> tuple[int, object, bytes]:
        record = {"status": "RUNNING", "events": [1]}
        self._executions._data[*SCOPE, data["name"]] = record
        return data.get("status", 200), {}, json.dumps({"executionArn": data["name"]}).encode()  # type: ignore[return-value]

    def _run_execution(self, arn: str) -> None:
        self._executions._data[*SCOPE, arn]["status"] = "SUCCEEDED"
        self.ran.append(arn)


@pytest.fixture
def machine() -> StepFunctions:
    """Return Step Functions' module."""
    return StepFunctions()


def executions(module: StepFunctions) -> Executions:
    """Return the executions of a module, in the only scope there is."""
    variables = SimpleNamespace(_request_account_id=Variable(SCOPE[0]), _request_region=Variable(SCOPE[1]))
    return Executions(module, variables)


def test_an_execution_that_was_cut_off_is_run_again(machine: StepFunctions) -> None:
    """An execution that had begun and not ended is run again; one that had ended is only known."""
    kept = executions(machine)
    for name in ("ended", "cut-off"):
        machine._start_execution({"name": name})
    machine._run_execution("ended")
    changes = list(kept.changes())
    other = StepFunctions()
    again = executions(other)
    make_again(again, changes, times=2)
    assert other._executions._data[*SCOPE, "ended"]["status"] == "SUCCEEDED"
    assert [change[1][-1] for change in again.unfinished()] == ["cut-off"]
    for thread in again.go_on():
        thread.join()
    assert other.ran == ["cut-off"]
    assert again.unfinished() == []


def test_a_refused_execution_is_not_begun(machine: StepFunctions) -> None:
    """What Step Functions refused to start is not run later."""
    kept = executions(machine)
    machine._start_execution({"name": "refused", "status": 400})  # type: ignore[dict-item]
    assert kept.unfinished() == []


@pytest.fixture
def lines(tmp_path: Path) -> Lines:
    """Return an empty journal."""
    return Lines(tmp_path / "state" / "journal.jsonl")


def test_a_line_that_was_cut_off_was_never_written(lines: Lines, tmp_path: Path) -> None:
    """A journal that ends in the middle of a line is read up to the line before: nobody was answered for that one."""
    lines.append([["a", 1], ["b", 2]])
    lines.append([["c", 3]])
    path = tmp_path / "state" / "journal.jsonl"
    whole = path.read_bytes()
    for length in range(len(whole) - 1, whole.index(b"\n"), -1):
        path.write_bytes(whole[:length])
        assert list(Lines(path).read()) == [["a", 1], ["b", 2]]


def test_a_journal_that_begins_anew_goes_on(lines: Lines) -> None:
    """Beginning anew forgets what was saved elsewhere, and later lines come behind what it begins with."""
    lines.append([["a", 1]])
    lines.begin([["b", 2]])
    lines.append([["c", 3]])
    assert list(lines.read()) == [["b", 2], ["c", 3]]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (("dynamodb", "POST", "/", "DynamoDB_20120810.TransactWriteItems"), False),
        (("dynamodb", "POST", "/", "DynamoDB_20120810.Query"), False),
        (("dynamodb", "POST", "/", "DynamoDB_20120810.CreateTable"), True),
        (("sqs", "POST", "/", "AmazonSQS.ReceiveMessage"), False),
        (("sqs", "POST", "/", "AmazonSQS.CreateQueue"), True),
        (("states", "POST", "/", "AWSStepFunctions.StartSyncExecution"), False),
        (("s3", "PUT", "/bucket/key", ""), False),
        (("s3", "PUT", "/bucket", ""), True),
        (("s3", "GET", "/bucket", ""), False),
        (("apigateway", "POST", "/v2/apis", ""), True),
        (("cloudformation", "POST", "/", ""), True),
        (("lambda", "POST", "/2015-03-31/functions/f/invocations", ""), False),
        (("lambda", "POST", "/2015-03-31/functions", ""), True),
    ],
)
def test_only_definitions_are_saved_whole(request_: tuple[str, str, str, str], expected: bool) -> None:  # noqa: FBT001  the table's columns
    """What the journal holds, and what only reads, lets nobody save everything."""
    assert defines(*request_) is expected
