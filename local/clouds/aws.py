"""AWS on a laptop: API Gateway, Kinesis, SQS and Step Functions Express around the real Lambda handlers."""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlencode

from aws.wiring import ports
from local import asl
from local.entrance import with_patience
from local.sqlite.broker import Message
from shared.core.routes import Lane, lane
from shared.core.task import Status
from shared.core.workflow import WORKFLOWS
from shared.errors import Permanent, Transient
from shared.events.catalog import parse
from shared.render import FAILURE_FUNCTION, RECORD_FUNCTION, STEP_FUNCTION
from shared.render import asl as definition

REGION = "local-1"
_ACCOUNT = "000000000000"
_STREAM = f"arn:aws:kinesis:{REGION}:{_ACCOUNT}:stream/work"
_QUEUES = f"arn:aws:sqs:{REGION}:{_ACCOUNT}:"
_FUNCTIONS = {STEP_FUNCTION: "step", RECORD_FUNCTION: "record", FAILURE_FUNCTION: "failure"}

Json = dict[str, Any]


@dataclass(frozen=True)
class LambdaContext:
    """What Lambda tells a handler about the invocation."""

    function_name: str
    aws_request_id: str = "00000000-0000-0000-0000-000000000000"
    memory_limit_in_mb: int = 512
    function_version: str = "$LATEST"
    log_group_name: str = field(default="/aws/lambda/local")
    log_stream_name: str = field(default="local")

    @property
    def invoked_function_arn(self) -> str:
        """The function's ARN."""
        return f"arn:aws:lambda:{REGION}:{_ACCOUNT}:function:{self.function_name}"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        """Return the milliseconds left; there is no limit here."""
        return 30_000


@cache
def _handler(function: str) -> tuple[Any, LambdaContext]:
    return importlib.import_module(f"aws.handlers.{function}").handler, LambdaContext(function)


def invoke(function: str, event: Any) -> Any:  # noqa: ANN401  any JSON value
    """Invoke a Lambda function's handler."""
    handler, context = _handler(function)
    return handler(event, context)


def call_api(
    method: str,
    path: str,
    *,
    claims: Mapping[str, str],
    body: str | None = None,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Json]:
    """Send a request through API Gateway's HTTP API (payload 2.0) and return the status and the JSON answer.

    A refusal that passes says there, too, when to try again.
    """
    function = "operator" if path.startswith("/operator/") else "ingress"
    answer = invoke(function, _gateway_event(method, path, claims, body, query or {}, headers or {}))
    return answer["statusCode"], with_patience(json.loads(answer.get("body") or "{}"), answer["headers"])


def _gateway_event(
    method: str,
    path: str,
    claims: Mapping[str, str],
    body: str | None,
    query: Mapping[str, str],
    headers: Mapping[str, str],
) -> Json:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html ."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": urlencode(query),
        "headers": {"content-type": "application/json"} | {name.lower(): value for name, value in headers.items()},
        "queryStringParameters": dict(query),
        "requestContext": {
            "accountId": _ACCOUNT,
            "apiId": "local",
            "authorizer": {"jwt": {"claims": dict(claims), "scopes": None}},
            "domainName": "localhost",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "agentfabric",
            },
            "requestId": "local",
            "routeKey": "$default",
            "stage": "$default",
        },
        "body": body,
        "isBase64Encoded": False,
    }


def deliver_work(messages: Sequence[Message]) -> set[int]:
    """Hand a Kinesis batch to the dispatcher; return the ids it wants again."""
    answer = invoke("dispatch", {"Records": [_kinesis_record(message) for message in messages]})
    failed = {failure["itemIdentifier"] for failure in (answer or {}).get("batchItemFailures", [])}
    return {message.id for message in messages if _sequence_number(message) in failed}


def _sequence_number(message: Message) -> str:
    return f"{message.id:056d}"


def _kinesis_record(message: Message) -> Json:
    """https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html ."""
    number = _sequence_number(message)
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": message.key,
            "sequenceNumber": number,
            "data": base64.b64encode(message.body.encode()).decode(),
            "approximateArrivalTimestamp": 0.0,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"shardId-000000000000:{number}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": f"arn:aws:iam::{_ACCOUNT}:role/dispatch",
        "awsRegion": REGION,
        "eventSourceARN": _STREAM,
    }


def in_lanes(messages: Sequence[Message]) -> list[tuple[Lane, Message]]:
    """Return each placed task's message with its lane, the interactive ones before all others."""
    found = [(_lane(message), message) for message in messages]
    return sorted(found, key=lambda pair: pair[0] is not Lane.INTERACTIVE)


def _lane(message: Message) -> Lane:
    """Return where AWS's bus would have put the message; one that nobody can read is in no hurry."""
    try:
        return lane(parse(message.body).data.priority)
    except (Permanent, AttributeError):
        return Lane.BACKGROUND


def deliver_placed(where: Lane, message: Message) -> None:
    """Hand an SQS batch of one message to the lanes' consumer; Transient when it wants the message again."""
    answer = invoke("run", {"Records": [_sqs_record(where, message)]})
    if (answer or {}).get("batchItemFailures"):
        raise Transient(f"the {where} lane's consumer reported it as failed")


def _sqs_record(where: Lane, message: Message) -> Json:
    """https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html ."""
    return {
        "messageId": str(message.id),
        "receiptHandle": str(message.id),
        "body": message.body,
        "attributes": {
            "ApproximateReceiveCount": str(message.attempts + 1),
            "SentTimestamp": "0",
            "SenderId": "local",
            "ApproximateFirstReceiveTimestamp": "0",
        },
        "messageAttributes": {
            name: {"stringValue": value, "dataType": "String"} for name, value in message.attributes.items()
        },
        "md5OfBody": hashlib.md5(message.body.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": f"{_QUEUES}{where}",
        "awsRegion": REGION,
    }


class Express:
    """Step Functions Express: the rendered definitions, each state one Lambda call. The `Pipelines` port."""

    def __init__(self, clock: asl.Clock) -> None:
        self._clock = clock
        self._machines = {name: asl.compile(definition(flow)) for name, flow in WORKFLOWS.items()}

    def run(self, workflow: str, name: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run to the end and return the output; its failure is Permanent, a time-out Transient."""
        execution = self._machines[workflow].run(dict(given), name=name, invoke=_invoke_state, clock=self._clock)
        if execution.status == "SUCCEEDED":
            output: Mapping[str, Any] = execution.output
            return output
        if execution.status == "TIMED_OUT":
            raise Transient(f"pipeline {name} timed out")
        raise Permanent(execution.cause or "the pipeline failed", code=execution.error or "pipeline-failed")

    def start(self, workflow: str, name: str, given: Mapping[str, Any]) -> None:
        """Run what was to be started alone to its end; a failed document has recorded its failure itself.

        Transient when the execution ended and its task's run did not: nobody else would take that document up again.
        """
        execution = self._machines[workflow].run(dict(given), name=name, invoke=_invoke_state, clock=self._clock)
        if execution.status == "SUCCEEDED":
            return
        task = ports().tasks.load(given["tenant"], given["task"])
        if not task.over and task.status is not Status.PARKED and task.run_id == name:
            raise Transient(f"pipeline {name} ended with {execution.error}, its task goes on")


def _invoke_state(function: str, payload: Any) -> Any:  # noqa: ANN401  any JSON value
    return invoke(_FUNCTIONS[function], payload)
