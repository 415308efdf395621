from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from shared.taxonomies import builtin
from tests.aws.stage import PLAIN
from tests.local.stack.serving import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

Facts = dict[str, str]

pytestmark = pytest.mark.timeout(400)  # sam builds and deploys first


def call(facts: Mapping[str, str], method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
    """Send a request to the deployed API as somebody of the tenant; return status and answer."""
    with urllib.request.urlopen(f"{facts['ISSUER_URL']}/token?sub=ann", timeout=10) as answer:  # noqa: S310  loopback
        token = answer.read().decode()
    given = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **headers}
    data = None if body is None else json.dumps(body).encode()
    return sent(urllib.request.Request(facts["API_URL"] + path, data, given, method=method))  # noqa: S310  loopback


def sent(request: urllib.request.Request) -> tuple[int, Any]:
    """Send a request; return status and answer."""
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  loopback
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, json.loads(refusal.read())


def amazon(facts: Mapping[str, str], service: str) -> Any:
    """Return the SDK's client of a service on the local AWS, which has one host for all."""
    import boto3  # noqa: PLC0415  heavy, and for these tests alone
    from botocore.config import Config  # noqa: PLC0415  likewise

    keys = (facts["AWS_ACCESS_KEY_ID"], facts["AWS_SECRET_ACCESS_KEY"])
    session = boto3.Session(*keys, region_name=facts["AWS_REGION"])
    return session.client(service, endpoint_url=facts["AWS_ENDPOINT_URL"], config=Config(inject_host_prefix=False))


def put(facts: Mapping[str, str], name: str, text: str) -> dict[str, Any]:
    """Store a document in the deployed bucket, with a client of the SDK, and return its reference."""
    content = text.encode()
    sha256, bucket = hashlib.sha256(content).hexdigest(), facts["DOCUMENTS_BUCKET"]
    client = amazon(facts, "s3")
    client.put_object(Bucket=bucket, Key=f"blobs/{sha256}", Body=content)
    client.close()
    return {"uri": f"s3://{bucket}/blobs/{sha256}", "sha256": sha256, "size": len(content), "name": name}


def recorded(facts: Mapping[str, str], task: str) -> list[dict[str, Any]]:
    """Return the recorded events of a task."""
    asked = f"{facts['QUERY_URL']}/events?task={task}&limit=1000"
    status, answer = sent(urllib.request.Request(asked, headers={"X-Agentfabric-Tenant": "local"}))  # noqa: S310  loopback
    assert status == 200
    return [row["event"] for row in answer["events"]]


def test_a_task_travels_from_the_deployed_api_into_spanner(facts: Facts) -> None:
    """A task posted to the deployed API is accepted by our Lambda, reviewed by all clouds, and recorded in order."""
    documents = [put(facts, "mit.txt", "The MIT License: permission is hereby granted, free of charge, to any person")]
    taxonomy = put(facts, "licences.toml", builtin("licences"))
    submission = {"entity": "package:demo", "documents": documents, "taxonomy": taxonomy}
    status, task = call(facts, "POST", "/tasks", submission, **{"Idempotency-Key": "one"})
    assert status == 202
    assert call(facts, "POST", "/tasks", submission, **{"Idempotency-Key": "one"})[1]["id"] == task["id"]
    seen: list[dict[str, Any]] = []
    ends = {"task.completed", "task.failed", "approval.requested"}

    def is_over() -> bool:
        seen[:] = recorded(facts, task["id"])
        return bool(ends & {event["type"] for event in seen})

    assert eventually(is_over), [event["type"] for event in seen]
    assert [event["sequence"] for event in seen] == [*range(1, len(seen) + 1)]
    assert [event["type"] for event in seen[:3]] == ["task.submitted", "task.admitted", "task.placed"]
    assert "step.completed" in {event["type"] for event in seen}
    assert "task.failed" not in {event["type"] for event in seen}


@pytest.mark.parametrize(
    ("priority", "queue"), [("interactive", "INTERACTIVE_QUEUE_URL"), ("background", "BACKGROUND_QUEUE_URL")]
)
def test_a_task_goes_through_its_lane(facts: Facts, priority: str, queue: str) -> None:
    """A task that no person can be asked about is started from the lane of its priority, and ends without Azure."""
    text = f"The annual report lists revenue, revenue and growth: {priority}."
    submission = {
        "entity": f"package:{priority}",
        "priority": priority,
        "documents": [put(facts, "report.txt", text)],
        "taxonomy": put(facts, "plain.toml", PLAIN),
    }
    status, task = call(facts, "POST", "/tasks", submission, **{"Idempotency-Key": priority})
    assert status == 202
    told: list[str] = []

    def is_over() -> bool:
        told[:] = [event["type"] for event in recorded(facts, task["id"])]
        return "task.completed" in told

    assert eventually(is_over), told
    assert call(facts, "GET", f"/tasks/{task['id']}")[1]["placed_on"] == "aws"
    sqs = amazon(facts, "sqs")
    waiting = sqs.get_queue_attributes(QueueUrl=facts[queue], AttributeNames=["ApproximateNumberOfMessages"])
    sqs.close()
    assert waiting["Attributes"]["ApproximateNumberOfMessages"] == "0"


def test_the_deployed_api_lets_nobody_in_without_a_token(facts: Facts) -> None:
    """Without a token, and with one that nobody signed, the deployed API answers 401."""
    for headers in ({}, {"Authorization": "Bearer e30.e30.e30"}):
        request = urllib.request.Request(f"{facts['API_URL']}/tasks", headers=headers)  # noqa: S310  loopback
        assert sent(request)[0] == 401


def test_a_failed_pipeline_names_the_class_of_the_error(facts: Facts) -> None:
    """State machines are told what a function raised by its class, which their retries go by."""
    client = amazon(facts, "stepfunctions")
    given = json.dumps({"tenant": "local", "task": "nobodys", "document": 0, "results": {}})
    ended = client.start_sync_execution(stateMachineArn=facts["STATE_MACHINE_ARN"], input=given)
    client.close()
    assert (ended["status"], ended["error"]) == ("FAILED", "Permanent")


def test_the_deployed_tools_answer(facts: Facts) -> None:
    """The tools' own route leads to the tool function."""
    status, answer = call(facts, "GET", "/tools")
    assert status == 200
    assert answer["tools"]
