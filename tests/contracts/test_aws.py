from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from moto import mock_aws

from aws.adapters.bus import AmazonBus, Destinations
from aws.adapters.documents import S3Documents
from aws.adapters.dynamo import CLAIM_DAYS, DynamoApprovals, DynamoJournal, DynamoOutbox, DynamoTasks
from aws.adapters.ledger import DynamoLedger
from shared.core import task as tasks
from shared.core.routes import Lane, Route
from shared.errors import Conflict, Permanent, Transient
from shared.events.catalog import AnyEvent, parse
from shared.events.document import DocumentRef
from shared.events.task import Priority
from tests.contracts.amazon import REGION, answering, client, fresh, make_queue, make_table, refusing
from tests.contracts.bus_contract import CARRIED, BusContract
from tests.contracts.control import AT, also, entry_of, make, placed, said, submitted
from tests.contracts.documents_contract import Busy, DocumentsContract
from tests.contracts.tasks_contract import TasksContract

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(scope="module", autouse=True)
def account() -> Iterator[None]:
    """One account for all tests of this file; each makes its own resources in it."""
    with mock_aws():
        yield


@pytest.fixture(scope="module")
def dynamo() -> Any:
    """DynamoDB of this account."""
    return client("dynamodb")


@pytest.fixture(scope="module")
def s3() -> Any:
    """Three buckets: our own, one that may be read, and a stranger's."""
    made = client("s3")
    for bucket in ("documents-0", "elsewhere"):
        made.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    return made


class DynamoStore:
    def __init__(self, dynamo: Any, table: str) -> None:
        self.dynamo = dynamo
        self.table = table
        self.tasks = DynamoTasks(dynamo, table)
        self.outbox = DynamoOutbox(dynamo, table)
        self.journal = DynamoJournal(dynamo, table)
        self.approvals = DynamoApprovals(dynamo, table)
        self.ledger = DynamoLedger(dynamo, table)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Throttle the table."""
        with refusing(self.dynamo, "ProvisionedThroughputExceededException"):
            yield

    def items(self) -> list[dict[str, Any]]:
        """Return everything in the table."""
        found: list[dict[str, Any]] = self.dynamo.scan(TableName=self.table)["Items"]
        return found


class TestDynamo(TasksContract):
    fits = 380 * 1024  # an item has 400 KB, the entry's other fields and the keys included
    oversize = (400 * 1024,)

    @pytest.fixture
    def store(self, dynamo: Any) -> DynamoStore:
        """A table of its own."""
        return DynamoStore(dynamo, make_table(dynamo))

    @pytest.mark.parametrize(
        ("code", "verdict"),
        [
            ("ThrottlingError", Transient),
            ("ProvisionedThroughputExceeded", Transient),
            ("TransactionConflict", Conflict),
            ("ItemCollectionSizeLimitExceeded", Permanent),
            ("ValidationError", Permanent),
        ],
    )
    def test_a_cancelled_transaction_says_why(self, store: DynamoStore, code: str, verdict: type[Exception]) -> None:
        """Each reason for which DynamoDB cancels a transaction has its verdict."""
        reasons = [{"Code": "None"}, {"Code": code, "Message": "secret"}, *[{"Code": "None"}] * 3]
        cancelled = refusing(store.dynamo, "TransactionCanceledException", CancellationReasons=reasons)
        with cancelled, pytest.raises(verdict) as refused:
            store.tasks.commit(submitted(make()))
        assert type(refused.value) is verdict
        assert "secret" not in str(refused.value)

    @pytest.mark.parametrize(
        ("status", "name", "verdict"),
        [
            (500, "InternalServerError", Transient),
            (503, "ServiceUnavailable", Transient),
            (400, "TransactionInProgressException", Transient),
            (400, "AccessDeniedException", Permanent),
            (400, "ResourceNotFoundException", Permanent),
            (400, "ValidationException", Permanent),
        ],
    )
    def test_a_refusal_has_a_verdict(
        self, store: DynamoStore, status: int, name: str, verdict: type[Exception]
    ) -> None:
        """What a service says about itself is passing, what it says about the request is not."""
        with refusing(store.dynamo, name, status), pytest.raises(verdict) as refused:
            store.tasks.load("acme", "task-1")
        assert "secret" not in str(refused.value)
        assert type(refused.value) is verdict

    def test_a_table_out_of_reach_is_passing(self) -> None:
        """A connection that cannot be made asks for another attempt."""
        with pytest.raises(Transient):
            DynamoTasks(client("dynamodb", endpoint_url=NOWHERE), "table").load("acme", "task-1")

    def test_deletes_left_over_ask_for_another_attempt(self, store: DynamoStore) -> None:
        """Events that a throttled table did not take off the outbox are not called sent."""
        change = submitted(make())
        store.tasks.commit(change)
        left = {"UnprocessedItems": {store.table: [{"DeleteRequest": {"Key": {"pk": {"S": "a"}, "sk": {"S": "b"}}}}]}}
        with answering(store.dynamo, left), pytest.raises(Transient):
            store.outbox.mark_sent(change.events)

    def test_claims_expire_except_what_made_a_task(self, store: DynamoStore) -> None:
        """A message's claim is forgotten after a month, the claim of a task's idempotency key never."""
        store.tasks.commit(submitted(make()))
        store.tasks.commit(placed(store.tasks.load("acme", "task-1")))
        expires = {item["pk"]["S"]: item.get("expires") for item in store.items() if item["sk"]["S"] == "claim"}
        last = {"N": str(int(AT.timestamp()) + CLAIM_DAYS * 24 * 3600)}
        assert expires == {"acme#claim#submit:task-1": None, "acme#claim#dispatch": last}

    def test_pages_of_a_query_are_joined(self, store: DynamoStore) -> None:
        """More than one answer of DynamoDB holds is still one page of ours."""
        for number in range(3):
            task = make(f"task-{number}", entity=f"package-{number}")
            store.tasks.commit(submitted(task.model_copy(update={"reason": "x" * 380_000})))
        assert [task.id for task in store.tasks.page("acme", limit=10)] == ["task-0", "task-1", "task-2"]

    def test_who_waits_longest_is_relayed_first(self, store: DynamoStore) -> None:
        """Under a limit, the entities whose events are oldest come first."""
        for day in (3, 1, 2):
            at = datetime(2025, 6, day, tzinfo=UTC)
            store.tasks.commit(submitted(make(f"task-{day}", entity=f"package-{day}"), at=at))
        found = store.outbox.unsent(limit=4)
        assert [event.entity for event in found] == ["package-1"] * 2 + ["package-2"] * 2

    def test_one_tenants_unsent_events_are_found_alone(self, store: DynamoStore) -> None:
        """Asking for a tenant's unsent events gives those of all its entities and of no other tenant."""
        for tenant in ("acme", "acme-2"):
            for number in range(3):
                store.tasks.commit(submitted(make(f"task-{number}", tenant=tenant, entity=f"package-{number}")))
        found = store.outbox.unsent(limit=100, tenant="acme")
        assert [event.tenant for event in found] == ["acme"] * 6


class TestS3(DocumentsContract):
    foreign = ("s3://elsewhere/key", "s3://documents-0/", "s3://documents-0", "s3:///key")
    unknown = "file:///etc/passwd"
    missing = "s3://documents-0/blobs/none"
    reads_when_busy = False

    @pytest.fixture
    def documents(self, s3: Any) -> S3Documents:
        """Documents in our bucket."""
        return S3Documents(s3, "documents-0")

    @pytest.fixture
    def busy(self, s3: Any) -> Busy:
        """Ask for fewer requests."""
        return partial(refusing, s3, "SlowDown", 503)

    def test_a_document_is_read_where_it_may_be(self, s3: Any, documents: S3Documents) -> None:
        """A client's own object in the bucket is read through its reference, whatever its name."""
        written = documents.write(b"text", "text/plain")
        s3.put_object(Bucket="documents-0", Key="a/ü ?#&.txt", Body=b"text")
        assert documents.read(written.model_copy(update={"uri": "s3://documents-0/a/ü ?#&.txt"})) == b"text"

    def test_an_object_larger_than_it_says_is_not_read(self, s3: Any, documents: S3Documents) -> None:
        """An object above the limit is refused by its length, whatever the reference says."""
        s3.put_object(Bucket="documents-0", Key="large", Body=b"x" * (20 * 1024 * 1024 + 1))
        with pytest.raises(Permanent) as refused:
            documents.read(DocumentRef(uri="s3://documents-0/large", sha256="a" * 64, size=5))
        assert refused.value.code == "oversize"

    def test_a_missing_bucket_of_our_own_is_no_success(self, s3: Any) -> None:
        """Writing to a bucket that does not exist is refused, not taken for written before."""
        with pytest.raises(Permanent):
            S3Documents(s3, "never-made").write(b"text", "text/plain")

    def test_storage_out_of_reach_is_passing(self) -> None:
        """A connection that cannot be made asks for another attempt."""
        with pytest.raises(Transient):
            S3Documents(client("s3", endpoint_url=NOWHERE), "b").write(b"text", "text/plain")


class AmazonWires:
    def __init__(self) -> None:
        self.kinesis, self.sqs = client("kinesis"), client("sqs")
        stream = fresh("stream")
        self.kinesis.create_stream(StreamName=stream, ShardCount=1)
        self.to = Destinations(
            stream=stream,
            lanes={lane: make_queue(self.sqs, fifo=False) for lane in Lane},
            reviews=make_queue(self.sqs, fifo=True),
            records=make_queue(self.sqs, fifo=True),
        )
        self.bus = AmazonBus(self.kinesis, self.sqs, self.to)

    def received(self, route: Route) -> list[str]:
        """Return what arrived."""
        if route is Route.WORK:
            return [record["Data"].decode() for record in self.records()]
        return [message["Body"] for message in self.messages(route)]

    def records(self) -> list[dict[str, Any]]:
        """Return the stream's records."""
        shard = self.kinesis.list_shards(StreamName=self.to.stream)["Shards"][0]["ShardId"]
        start = self.kinesis.get_shard_iterator(
            StreamName=self.to.stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
        )
        found: list[dict[str, Any]] = self.kinesis.get_records(ShardIterator=start["ShardIterator"])["Records"]
        return found

    def messages(self, route: Route) -> list[dict[str, Any]]:
        """Take everything off a hand-over queue."""
        return self.taken(self.to.reviews if route is Route.REVIEWS else self.to.records)

    def taken(self, url: str) -> list[dict[str, Any]]:
        """Take everything off a queue."""
        found: list[dict[str, Any]] = []
        wanted: dict[str, Any] = {
            "MaxNumberOfMessages": 10,
            "MessageAttributeNames": ["All"],
            "AttributeNames": ["All"],
        }
        while batch := self.sqs.receive_message(QueueUrl=url, **wanted).get("Messages"):
            for message in batch:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            found += batch
        return found

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Throttle every service."""
        with ExitStack() as stack:
            for made in (self.kinesis, self.sqs):
                stack.enter_context(refusing(made, "ThrottlingException"))
            yield


def placed_with(priority: Priority) -> AnyEvent:
    """Return the event that placed a task of that priority on AWS."""
    task = tasks.submit(make(f"task-{priority}", entity=priority).model_copy(update={"priority": priority})).task
    (event,) = said(task, tasks.place(task), 2)
    return event


class TestAmazonBus(BusContract):
    @pytest.fixture
    def wires(self) -> AmazonWires:
        """Wires of its own."""
        return AmazonWires()

    def test_work_is_partitioned_by_entity(self, wires: AmazonWires) -> None:
        """A record's partition key is its entity, so a shard keeps the entity's order."""
        event = submitted(make(entity="ä: 文書")).events[1]
        wires.bus.publish([(Route.WORK, event)])
        assert [record["PartitionKey"] for record in wires.records()] == ["ä: 文書"]

    def test_a_message_carries_what_the_recorder_looks_for(self, wires: AmazonWires) -> None:
        """Tenant, entity and sequence travel beside the body, for a body nobody can read."""
        event = submitted(make()).events[0]
        wires.bus.publish([(Route.RECORDS, event)])
        (message,) = wires.messages(Route.RECORDS)
        attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
        assert attributes == {
            "tenant": "acme",
            "partitionkey": "package-a",
            "sequence": "1",
            "type": "task.submitted",
        }
        assert message["Attributes"]["MessageDeduplicationId"] == event.id

    def test_an_event_handed_over_twice_arrives_once(self, wires: AmazonWires) -> None:
        """A relay that sends again what a crash left unmarked does not double it."""
        event = submitted(make()).events[0]
        wires.bus.publish([(Route.RECORDS, event)])
        wires.bus.publish([(Route.RECORDS, event)])
        assert len(wires.messages(Route.RECORDS)) == 1

    def test_a_placed_task_waits_in_the_lane_of_its_priority(self, wires: AmazonWires) -> None:
        """Interactive tasks have a lane of their own, all others share one, and none is handed over elsewhere."""
        said = [placed_with(priority) for priority in ("standard", "interactive", "background")]
        wires.bus.publish([(Route.PIPELINE, event) for event in said])
        arrived = {lane: wires.taken(url) for lane, url in wires.to.lanes.items()}
        bodies = {lane: [parse(message["Body"]) for message in found] for lane, found in arrived.items()}
        assert bodies == {Lane.INTERACTIVE: [said[1]], Lane.BACKGROUND: [said[0], said[2]]}
        assert [list(wires.received(route)) for route in CARRIED] == [[], [], []]

    def test_a_lane_that_is_busy_asks_for_another_attempt(self, wires: AmazonWires) -> None:
        """A task that may not have got into its lane is published again later."""
        event = placed_with("interactive")
        with wires.cut(), pytest.raises(Transient):
            wires.bus.publish([(Route.PIPELINE, event)])
        wires.bus.publish([(Route.PIPELINE, event)])
        assert len(wires.taken(wires.to.lanes[Lane.INTERACTIVE])) == 1

    def test_a_batch_taken_in_part_asks_for_another_attempt(self, wires: AmazonWires) -> None:
        """One record or message that was not taken makes the whole hand-over Transient."""
        event = submitted(make()).events[1]
        partly = {"FailedRecordCount": 1, "Records": [{"ErrorCode": "InternalFailure", "ErrorMessage": "x"}]}
        with answering(wires.kinesis, partly), pytest.raises(Transient):
            wires.bus.publish([(Route.WORK, event)])
        failed = {"Successful": [], "Failed": [{"Id": "0", "Code": "InternalError", "SenderFault": False}]}
        with answering(wires.sqs, failed), pytest.raises(Transient):
            wires.bus.publish([(Route.RECORDS, event)])

    def test_a_wire_out_of_reach_is_passing(self, wires: AmazonWires) -> None:
        """A connection that cannot be made asks for another attempt."""
        bus = AmazonBus(client("kinesis", endpoint_url=NOWHERE), wires.sqs, wires.to)
        with pytest.raises(Transient):
            bus.publish([(Route.WORK, submitted(make()).events[1])])


def test_a_change_without_claim_or_events_is_one_write(dynamo: Any) -> None:
    """A change that only keeps a journal entry claims nothing and moves no sequence."""
    store = DynamoStore(dynamo, make_table(dynamo))
    store.tasks.commit(submitted(make()))
    task = store.tasks.load("acme", "task-1")
    before = {item["pk"]["S"] for item in store.items()}
    store.tasks.commit(replace(also(task, entry=entry_of(task)), claim=None))
    assert {item["pk"]["S"] for item in store.items()} - before == {"acme#journal#task-1"}
