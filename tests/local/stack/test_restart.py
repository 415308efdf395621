from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from local.stack import processes, sockets, state
from local.stack.parts import all_parts
from shared.errors import Permanent
from tests.local.stack.conftest import need
from tests.local.stack.trivial import FAMILY, script, web

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.local.stack.conftest import MakeSupervisor

PARTS = {part.name: part for part in all_parts()}


def process(folder: Path, name: str) -> processes.Process:
    """Return a part's process."""
    found = state.load(folder).entries[name].process
    assert found is not None
    return found


@pytest.mark.parametrize("kill", [True, False])
def test_a_restarted_part_is_back_where_it_was(supervise: MakeSupervisor, folder: Path, kill: bool) -> None:  # noqa: FBT001  the table's column
    """Killed or stopped, a part is back on its port with its data, and the others run on."""
    parts = web("first"), web("second", ("first",))
    supervise(*parts).up()
    first, second = process(folder, "first"), process(folder, "second")
    port = state.load(folder).entries["first"].ports["http"]
    (folder / "data" / "first" / "kept").touch()
    supervise(*parts).restart("first", kill=kill)
    assert not processes.is_alive(first)
    assert (process(folder, "first") != first, process(folder, "second")) == (True, second)
    assert sockets.answers(port, "/kept")


def test_who_was_told_otherwise_is_restarted_too(supervise: MakeSupervisor, folder: Path) -> None:
    """A part that says something else after its restart takes those with it that were told, however far away."""
    told = iter("ab")
    first = replace(web("first"), prepare=lambda _: {"FIRST_URL": next(told)})
    parts = first, web("second", ("first",)), web("third", ("second",)), web("aside")
    supervise(*parts).up()
    before = {part.name: process(folder, part.name) for part in parts}
    supervise(*parts).restart("first", kill=True)
    changed = {part.name for part in parts if process(folder, part.name) != before[part.name]}
    assert changed == {"first", "second", "third"}


def test_a_part_without_a_process_is_prepared_again_when_it_was_told_otherwise(supervise: MakeSupervisor) -> None:
    """What is only prepared is prepared again when what it needs says something else, and only then."""
    told, prepared = iter("aab"), list[str]()

    def prepare(room: Any) -> Mapping[str, str]:
        prepared.append(room.facts["FIRST_URL"])
        return {}

    first = replace(web("first"), prepare=lambda _: {"FIRST_URL": next(told)})
    second = replace(web("second", ("first",)), command=None, prepare=prepare)
    supervise(first, second).up()
    for _ in range(2):
        supervise(first, second).restart("first", kill=True)
    assert prepared == ["a", "b"]


def test_what_does_not_run_is_not_restarted(supervise: MakeSupervisor) -> None:
    """Restarting is for what runs."""
    with pytest.raises(Permanent, match="first does not run"):
        supervise(web("first")).restart("first")


def test_a_kill_takes_the_children_along(supervise: MakeSupervisor, folder: Path) -> None:
    """A killed part leaves no child of its group behind, not even one that ignores being asked."""
    part = script("family", FAMILY)
    supervise(part).up()
    family = process(folder, "family")
    assert len(processes.members(family)) == 2
    processes.strike(family)
    assert processes.members(family) == []
    assert len(processes.marked(state.load(folder).mark)) == (1 if sys.platform == "linux" else 0)


@pytest.fixture
def amazon(supervise: MakeSupervisor, folder: Path) -> Iterator[dict[str, Any]]:
    """Start the local AWS alone and return clients of it, by service."""
    import boto3  # noqa: PLC0415  heavy, and for this test alone

    need(PARTS["ministack"])
    supervise(PARTS["ministack"]).up()
    facts = state.facts(folder)
    keys = (facts["AWS_ACCESS_KEY_ID"], facts["AWS_SECRET_ACCESS_KEY"])
    session = boto3.Session(*keys, region_name=facts["AWS_REGION"])
    names = ("dynamodb", "sqs", "kinesis", "s3")
    clients = {name: session.client(name, endpoint_url=facts["AWS_ENDPOINT_URL"]) for name in names}
    yield clients
    for client in clients.values():
        client.close()


def write(amazon: Mapping[str, Any], number: int) -> None:
    """Write an item, a record and an object, and send a message; of two of these, one is received and deleted."""
    amazon["dynamodb"].put_item(TableName="items", Item={"pk": {"S": str(number)}})
    amazon["kinesis"].put_record(StreamName="records", Data=str(number).encode(), PartitionKey="one")
    amazon["s3"].put_object(Bucket="objects", Key=str(number), Body=b"x")
    queue = amazon["sqs"].get_queue_url(QueueName="messages.fifo")["QueueUrl"]
    names = {"MessageGroupId": "one", "MessageDeduplicationId": str(number)}
    amazon["sqs"].send_message(QueueUrl=queue, MessageBody=str(number), **names)
    if number % 2:
        (got,) = amazon["sqs"].receive_message(QueueUrl=queue)["Messages"]
        amazon["sqs"].delete_message(QueueUrl=queue, ReceiptHandle=got["ReceiptHandle"])


def held(amazon: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return all that is there, and take the messages."""
    shard = amazon["kinesis"].list_shards(StreamName="records")["Shards"][0]["ShardId"]
    start = amazon["kinesis"].get_shard_iterator(StreamName="records", ShardId=shard, ShardIteratorType="TRIM_HORIZON")[
        "ShardIterator"
    ]
    queue = amazon["sqs"].get_queue_url(QueueName="messages.fifo")["QueueUrl"]
    messages = amazon["sqs"].receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    return {
        "items": sorted(each["pk"]["S"] for each in amazon["dynamodb"].scan(TableName="items")["Items"]),
        "records": [each["Data"].decode() for each in amazon["kinesis"].get_records(ShardIterator=start)["Records"]],
        "objects": sorted(each["Key"] for each in amazon["s3"].list_objects_v2(Bucket="objects")["Contents"]),
        "messages": [each["Body"] for each in messages],
    }


def test_the_local_aws_forgets_nothing_when_it_is_killed(
    amazon: Mapping[str, Any], supervise: MakeSupervisor, folder: Path
) -> None:
    """What the local AWS acknowledged before a SIGKILL is there afterwards, and a message sent again is recognised."""
    schema = {"AttributeName": "pk", "KeyType": "HASH"}
    columns = [{"AttributeName": "pk", "AttributeType": "S"}]
    amazon["dynamodb"].create_table(
        TableName="items", BillingMode="PAY_PER_REQUEST", AttributeDefinitions=columns, KeySchema=[schema]
    )
    amazon["kinesis"].create_stream(StreamName="records", ShardCount=1)
    amazon["s3"].create_bucket(Bucket="objects")
    queue = amazon["sqs"].create_queue(QueueName="messages.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    supervise(PARTS["ministack"]).restart("ministack")  # definitions are saved within a second, and at the end
    for number in range(6):
        write(amazon, number)
    supervise(PARTS["ministack"]).restart("ministack", kill=True)
    amazon["sqs"].send_message(QueueUrl=queue, MessageBody="0", MessageGroupId="one", MessageDeduplicationId="0")
    numbers = [str(number) for number in range(6)]
    assert held(amazon) == {"items": numbers, "records": numbers, "objects": numbers, "messages": numbers[3:]}
    assert processes.is_alive(process(folder, "ministack"))
