"""A Kinesis batch through the dispatcher, next to Powertools' batch processor reading the same records."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Union

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from pydantic import Discriminator, TypeAdapter

from benchmarks.material import PERSON, TENANT, completed, licences, told
from benchmarks.runner import Effort, Row, at_most, each, in_turns, seconds
from local.clock import RealClock
from local.clouds import aws
from local.engine import Engine
from shared.app.tasks import submit
from shared.core.admission import Submission
from shared.core.routes import Route
from shared.events.catalog import CATALOG, AnyEvent, encode

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.kinesis_stream_event import KinesisStreamRecord

Json = dict[str, Any]

_UNION: Any = Union[tuple(CATALOG.values())]  # noqa: UP007  its members are known at run time only
_BARE: TypeAdapter[AnyEvent] = TypeAdapter(Annotated[_UNION, Discriminator("type")])
_MICRO = 1e6
_MORE = 5  # times as many repeats, because each takes milliseconds only and a busy machine skews some
_PEER = "Powertools + pydantic"
_THEIRS = " Powertools: process_partial_response, each record validated by pydantic's union of the same models."


def rows(effort: Effort) -> Iterator[Row]:
    """Measure batches that are only read, then one whose tasks are placed."""
    for size in effort.pick(full=(100, 1000), quick=(100, 1000), tiny=(3,)):
        yield _ignored(effort, size)
    yield _placed(effort, effort.pick(full=200, quick=100, tiny=3))


def _ignored(effort: Effort, size: int) -> Row:
    batch = kinesis([told(f"e{number}", [completed()])[0] for number in range(size)])
    powertools = _powertools()
    times = effort.pick(full=2000 // size, quick=1000 // size, tiny=1)
    with Engine(None, RealClock()) as engine:
        _check_verdicts(engine, batch, powertools)
        ours, theirs = in_turns(
            _MORE * effort.repeats,
            each(lambda: aws.invoke("dispatch", batch), times, scale=_MICRO / size),
            each(lambda: powertools(batch), times, scale=_MICRO / size),
        )
    note = f"{size} task.completed, which nobody dispatches: unwrap, parse, verdict. Ours: the Lambda handler."
    return Row(f"Kinesis batch of {size}", "µs/record", ours, _PEER, theirs, at_most(1.0), note + _THEIRS)


def _check_verdicts(engine: Engine, batch: Json, powertools: Callable[[Json], Json]) -> None:
    """Both take the batch, and both find the one broken record: ours buries it, Powertools wants it again."""
    assert aws.invoke("dispatch", batch) == powertools(batch) == {"batchItemFailures": []}
    records = batch["Records"]
    broken = records[-1] | {"kinesis": records[-1]["kinesis"] | {"data": base64.b64encode(b"{").decode()}}
    spoiled = {"Records": [*records[:-1], broken]}
    logging.disable(logging.CRITICAL)
    try:
        assert aws.invoke("dispatch", spoiled) == {"batchItemFailures": []}
    finally:
        logging.disable(logging.NOTSET)
    assert engine.database.connection.execute("SELECT COUNT(*) FROM dead_letters").fetchone() == (1,)
    assert powertools(spoiled)["batchItemFailures"] == [{"itemIdentifier": broken["kinesis"]["sequenceNumber"]}]


def _placed(effort: Effort, size: int) -> Row:
    powertools = _powertools()

    def place() -> float:
        with Engine(None, RealClock()) as engine:
            batch = _admitted(engine, size)
            took = seconds(lambda: aws.invoke("dispatch", batch))
            assert len(engine.broker.take(Route.PIPELINE, 0, size + 1)) == size
        return took / size * _MICRO

    def read() -> float:
        with Engine(None, RealClock()) as engine:
            batch = _admitted(engine, size)
        return seconds(lambda: powertools(batch)) / size * _MICRO

    ours, theirs = in_turns(effort.repeats, place, read)
    note = (
        f"{size} task.admitted. Ours also loads each task, decides its place and commits task, inbox, sequence and"
        " outbox, and publishes, on SQLite in memory." + _THEIRS + " It writes nothing."
    )
    return Row("Kinesis batch, tasks placed", "µs/record", ours, _PEER, theirs, at_most(3.0), note)


def _admitted(engine: Engine, size: int) -> Json:
    """Submit tasks and return the batch that admits them."""
    taxonomy = engine.documents.write(licences(may_ask=False), "application/toml")
    document = engine.documents.write(b"Permission is hereby granted", "text/plain")
    for number in range(size):
        submission = Submission(entity=f"package:{number}", documents=(document,), taxonomy=taxonomy)
        submit(engine.ports, TENANT, PERSON, submission, str(number), source="/benchmarks")
    messages = engine.broker.take(Route.WORK, 0, size)
    return kinesis_of([(message.key, message.body) for message in messages])


def _powertools() -> Callable[[Json], Json]:
    processor = BatchProcessor(event_type=EventType.KinesisDataStreams, raise_on_entire_batch_failure=False)

    def handle(record: KinesisStreamRecord) -> str:
        return _BARE.validate_json(record.kinesis.data_as_bytes()).id

    def run(event: Json) -> Json:
        return dict(process_partial_response(event, handle, processor))

    return run


def kinesis(events: Sequence[AnyEvent]) -> Json:
    """Return the events as Lambda gets them from Kinesis."""
    return kinesis_of([(event.entity, encode(event)) for event in events])


def kinesis_of(bodies: Sequence[tuple[str, str]]) -> Json:
    """https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html ."""
    return {"Records": [_record(number, key, body) for number, (key, body) in enumerate(bodies)]}


def _record(number: int, key: str, body: str) -> Json:
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": key,
            "sequenceNumber": f"{number:056d}",
            "data": base64.b64encode(body.encode()).decode(),
            "approximateArrivalTimestamp": 1545084650.987,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"shardId-000000000006:{number:056d}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/dispatch",
        "awsRegion": "us-east-2",
        "eventSourceARN": "arn:aws:kinesis:us-east-2:123456789012:stream/work",
    }
