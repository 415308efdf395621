from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.stub import Stubber
from moto import mock_aws

from aws.adapters.dead_letters import SqsDeadLetters
from aws.adapters.elsewhere import RecordsElsewhere
from aws.adapters.pipelines import ExpressPipelines
from shared.core.workflow import pipeline_input
from shared.errors import NotFound, Permanent, Transient
from tests.contracts.amazon import client, fresh, make_queue, refusing
from tests.contracts.control import AT


@pytest.fixture(scope="module", autouse=True)
def account() -> Iterator[None]:
    """One account for all tests of this file; each makes its own resources in it."""
    with mock_aws():
        yield


class TestDeadLetters:
    @pytest.fixture
    def sqs(self) -> Any:
        """SQS of this account."""
        return client("sqs")

    def test_a_dead_letter_keeps_body_reason_and_origin(self, sqs: Any) -> None:
        """What was buried can be read with the reason and the delivery it came from."""
        url = make_queue(sqs, fifo=False)
        SqsDeadLetters(sqs, url).bury("bm90IEpTT04=", "[broken-json] not JSON", "shardId-0:1")
        (message,) = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
        told = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
        assert (message["Body"], told) == (
            "bm90IEpTT04=",
            {"reason": "[broken-json] not JSON", "origin": "shardId-0:1"},
        )

    @pytest.mark.parametrize("body", ["", "x" * 300 * 1024])
    def test_what_no_queue_carries_is_buried_by_its_origin(self, sqs: Any, body: str) -> None:
        """A body that is empty or too large leaves at least its reason and its origin."""
        url = make_queue(sqs, fifo=False)
        SqsDeadLetters(sqs, url).bury(body, "r" * 5000, "shardId-0:1")
        (message,) = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
        assert message["MessageAttributes"]["origin"]["StringValue"] == "shardId-0:1"


class TestExpressPipelines:
    """Stubbed with the SDK's own shapes: the account in this process knows no synchronous executions."""

    ARN = "arn:aws:states:eu-central-1:123456789012:stateMachine:document-review"
    GIVEN = pipeline_input("acme", "task-1", 0)

    def run(self, answer: dict[str, Any]) -> Any:
        """Run a pipeline that ends like this."""
        stepfunctions = client("stepfunctions")
        when = {"startDate": AT, "stopDate": AT, "executionArn": f"{self.ARN}:1"}
        asked = {"stateMachineArn": self.ARN, "name": "task-1.1.0", "input": json.dumps(self.GIVEN)}
        with Stubber(stepfunctions) as stub:
            stub.add_response("start_sync_execution", when | answer, asked)
            return ExpressPipelines(stepfunctions, {"document-review": self.ARN}).run(
                "document-review", "task-1.1.0", self.GIVEN
            )

    def test_the_output_is_returned(self) -> None:
        """A pipeline that succeeds gives its output."""
        assert self.run({"status": "SUCCEEDED", "output": '{"results": {}}'}) == {"results": {}}

    def test_a_failed_document_fails_for_good(self) -> None:
        """The error and cause that the definition ended with are the verdict's code and text."""
        with pytest.raises(Permanent, match="it is encrypted") as refused:
            self.run({"status": "FAILED", "error": "encrypted", "cause": "it is encrypted"})
        assert refused.value.code == "encrypted"

    @pytest.mark.parametrize(
        "answer",
        [
            {"status": "TIMED_OUT"},
            {"status": "FAILED", "error": "Transient"},
            {"status": "FAILED", "error": "States.Timeout"},
        ],
    )
    def test_a_passing_failure_is_transient(self, answer: dict[str, Any]) -> None:
        """An execution that ran out of time or of attempts may be run again."""
        with pytest.raises(Transient):
            self.run(answer)

    def test_an_unknown_workflow_is_not_found(self) -> None:
        """A workflow without a state machine is refused by the names there are."""
        with pytest.raises(NotFound, match="document-review"):
            ExpressPipelines(client("stepfunctions"), {"document-review": self.ARN}).run("x", "name", {})


class TestStarts:
    @pytest.fixture
    def stepfunctions(self) -> Any:
        """Step Functions of this account."""
        return client("stepfunctions")

    @pytest.fixture
    def machine(self, stepfunctions: Any) -> str:
        """A state machine of its own."""
        made = stepfunctions.create_state_machine(
            name=fresh("machine"),
            definition=json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}),
            roleArn="arn:aws:iam::123456789012:role/machine",
        )
        return str(made["stateMachineArn"])

    def test_a_run_is_started_once(self, stepfunctions: Any, machine: str) -> None:
        """Starting a run twice is starting it once, under its name and with the pipeline's input."""
        pipelines, given = ExpressPipelines(stepfunctions, {"w": machine}), pipeline_input("acme", "task-1", 0)
        pipelines.start("w", "task-1.1", given)
        pipelines.start("w", "task-1.1", given)
        (execution,) = stepfunctions.list_executions(stateMachineArn=machine)["executions"]
        assert execution["name"] == "task-1.1"
        told = stepfunctions.describe_execution(executionArn=execution["executionArn"])
        assert json.loads(told["input"]) == given

    @pytest.mark.parametrize(
        ("code", "verdict"),
        [
            ("ThrottlingException", Transient),
            ("ExecutionLimitExceeded", Transient),
            ("StateMachineDoesNotExist", Permanent),
            ("AccessDeniedException", Permanent),
        ],
    )
    def test_a_refused_start_has_a_verdict(self, stepfunctions: Any, code: str, verdict: type[Exception]) -> None:
        """What Step Functions says about itself is passing, what it says about the start is not."""
        with refusing(stepfunctions, code), pytest.raises(verdict) as refused:
            ExpressPipelines(stepfunctions, {"w": "arn"}).start("w", "task-1.1", {})
        assert "secret" not in str(refused.value)

    def test_an_execution_that_exists_is_as_good_as_started(self, stepfunctions: Any) -> None:
        """Step Functions' refusal to start a name again is a success."""
        with refusing(stepfunctions, "ExecutionAlreadyExists"):
            ExpressPipelines(stepfunctions, {"w": "arn"}).start("w", "task-1.1", {})

    def test_an_unknown_workflow_is_not_started(self, stepfunctions: Any) -> None:
        """A workflow without a state machine is refused by the names there are."""
        with pytest.raises(NotFound, match="known: w"):
            ExpressPipelines(stepfunctions, {"w": "arn"}).start("x", "task-1.1", {})


def test_records_are_kept_elsewhere() -> None:
    """Whoever asks AWS for records is told where they are."""
    with pytest.raises(Permanent) as refused:
        RecordsElsewhere().bill("acme")
    assert refused.value.code == "not-here"
