"""Records kinesis.json, sqs.json and lane.json: the canonical event, published with our adapter, as it comes out again.

The fields of a record are those that moto's Kinesis and SQS return; the envelope around them is Lambda's, by its
documentation. Run at the root: python -m tests.samples.aws.record
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from moto import mock_aws

from aws.adapters.bus import AmazonBus, Destinations
from shared.core.routes import Lane, Route
from shared.events.catalog import parse
from tests.contracts.amazon import REGION, client

_HERE = Path(__file__).resolve().parent
_ACCOUNT = "123456789012"
_NAME = "agentfabric"


@mock_aws
def main() -> None:
    """Write the samples anew."""
    event = parse((_HERE.parent / "event.json").read_text(encoding="utf-8"))
    kinesis, sqs = client("kinesis"), client("sqs")
    kinesis.create_stream(StreamName=_NAME, ShardCount=1)
    queue = sqs.create_queue(QueueName=f"{_NAME}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    lane = sqs.create_queue(QueueName=_NAME)["QueueUrl"]
    lanes = dict.fromkeys(Lane, lane)
    bus = AmazonBus(kinesis, sqs, Destinations(stream=_NAME, lanes=lanes, reviews=queue, records=queue))
    changes = {"cloud": "aws", "reason": "one document and no approval possible", "documents": 1}
    here = event.model_copy(update={"data": event.data.model_copy(update=changes)})
    bus.publish([(Route.WORK, event), (Route.RECORDS, event), (Route.PIPELINE, here)])
    _write("kinesis.json", _kinesis_batch(kinesis))
    _write("sqs.json", _sqs_batch(sqs, queue))
    _write("lane.json", _sqs_batch(sqs, lane))


def _write(name: str, batch: dict[str, Any]) -> None:
    (_HERE / name).write_text(json.dumps(batch, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _kinesis_batch(kinesis: Any) -> dict[str, Any]:
    shard = kinesis.list_shards(StreamName=_NAME)["Shards"][0]["ShardId"]
    start = kinesis.get_shard_iterator(StreamName=_NAME, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    (record,) = kinesis.get_records(ShardIterator=start["ShardIterator"])["Records"]
    given = {
        "kinesisSchemaVersion": "1.0",
        "partitionKey": record["PartitionKey"],
        "sequenceNumber": record["SequenceNumber"],
        "data": base64.b64encode(record["Data"]).decode(),
        "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"].timestamp(),
    }
    around = {
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard}:{record['SequenceNumber']}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": f"arn:aws:iam::{_ACCOUNT}:role/dispatch",
        "awsRegion": REGION,
        "eventSourceARN": f"arn:aws:kinesis:{REGION}:{_ACCOUNT}:stream/{_NAME}",
    }
    return {"Records": [{"kinesis": given, **around}]}


def _sqs_batch(sqs: Any, queue: str) -> dict[str, Any]:
    asked = {"MessageAttributeNames": ["All"], "AttributeNames": ["All"]}
    (message,) = sqs.receive_message(QueueUrl=queue, **asked)["Messages"]
    attributes = {
        name: {"stringValue": value["StringValue"], "dataType": value["DataType"]}
        for name, value in sorted(message["MessageAttributes"].items())
    }
    record = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": attributes,
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:{_ACCOUNT}:{queue.rpartition('/')[2]}",
        "awsRegion": REGION,
    }
    return {"Records": [record]}


if __name__ == "__main__":
    main()
