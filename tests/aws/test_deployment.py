from __future__ import annotations

import json
import re
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from aws import wiring
from aws.handlers import dispatch, home, ingress, operator, run, tool
from aws.handlers.forward import LONGEST_PAUSE
from aws.wire import MAX_BODY
from shared.core.policy import TenantPolicy
from shared.core.policy_text import seeded
from shared.core.task import Status
from shared.errors import Permanent
from shared.events.catalog import parse
from tests.aws.formation import of_type
from tests.aws.stage import PLAIN, TEXT, http_event, lane_event

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.aws.cloud import Cloud
    from tests.aws.stage import Json


def test_every_handler_is_deployed(template: Json, root: Path) -> None:
    """Each handler file is a function of the template, and each function is a handler file."""
    deployed = {made["Properties"]["Handler"] for made in of_type(template, "AWS::Serverless::Function").values()}
    files = {path.stem for path in (root / "aws/handlers").glob("*.py")} - {"__init__"}
    assert deployed == {f"aws.handlers.{name}.handler" for name in files}


def test_every_route_is_served(template: Json) -> None:
    """The API's routes are those that the handlers have in their tables."""
    functions = of_type(template, "AWS::Serverless::Function")
    tables: dict[str, Iterable[str]] = {
        "IngressFunction": ingress.ROUTES,
        "ToolFunction": tool.ROUTES,
        "OperatorFunction": operator.ROUTES,
        "HomeFunction": home.ROUTES,
    }
    for name, table in tables.items():
        events = functions[name]["Properties"]["Events"].values()
        assert {f"{event['Properties']['Method']} {event['Properties']['Path']}" for event in events} == set(table)


def test_every_setting_is_given(template: Json, root: Path) -> None:
    """Whatever wiring cannot do without is set for every function."""
    needed = set(re.findall(r'os\.environ\["(\w+)"\]', (root / "aws/wiring.py").read_text()))
    assert needed
    assert needed <= set(template["Globals"]["Function"]["Environment"]["Variables"])


def test_the_state_machine_has_every_function_it_calls(template: Json, root: Path) -> None:
    """Each placeholder of the definition is filled in."""
    definition = (root / "statemachines/document_review.asl.json").read_text()
    (machine,) = of_type(template, "AWS::Serverless::StateMachine").values()
    assert set(re.findall(r"\$\{(\w+)\}", definition)) == set(machine["Properties"]["DefinitionSubstitutions"])
    assert machine["Properties"]["Logging"]["IncludeExecutionData"] is False


def test_a_wildcard_has_its_reason(root: Path) -> None:
    """A permission on everything stands below a comment that says why nothing narrower will do."""
    lines = (root / "template.yaml").read_text().splitlines()
    wide = [number for number, line in enumerate(lines) if line.strip() in {'Resource: "*"', "Resource: '*'"}]
    for number in wide:
        assert any("# A wildcard, because" in line for line in lines[number - 15 : number])
    assert len(wide) == 2


def test_state_is_protected(template: Json) -> None:
    """The table can be restored, and nothing that holds state is unencrypted or goes with the stack."""
    (table,) = of_type(template, "AWS::DynamoDB::Table").values()
    assert table["Properties"]["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert table["Properties"]["SSESpecification"]["SSEEnabled"] is True
    (bucket,) = of_type(template, "AWS::S3::Bucket").values()
    assert all(bucket["Properties"]["PublicAccessBlockConfiguration"].values())
    queues = of_type(template, "AWS::SQS::Queue")
    assert all(queue["Properties"]["SqsManagedSseEnabled"] for queue in queues.values())
    for kept in (table, bucket, *queues.values()):
        assert kept["DeletionPolicy"] == "Retain"


def test_the_stream_reports_single_records(template: Json) -> None:
    """The dispatcher's partial answers count, a bad batch is halved, and what is given up is told somewhere."""
    mapping = of_type(template, "AWS::Lambda::EventSourceMapping")["Dispatching"]
    assert mapping["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["Properties"]["BisectBatchOnFunctionError"] is True
    assert mapping["Properties"]["MaximumRetryAttempts"] > 0
    assert mapping["Properties"]["DestinationConfig"]["OnFailure"]["Destination"] == "UndeliveredQueue.Arn"


def test_the_dispatcher_has_its_own_throughput(template: Json) -> None:
    """The dispatcher is the stream's enhanced fan-out consumer, unless the deployment does without one."""
    assert template["Resources"]["StreamConsumer"]["Condition"] == "OwnThroughput"
    source = template["Resources"]["Dispatching"]["Properties"]["EventSourceArn"]
    assert source == ["OwnThroughput", "StreamConsumer", "Stream.Arn"]


@pytest.mark.parametrize("name", ["Tool", "Step"])
def test_who_is_waited_for_can_be_kept_warm(template: Json, name: str) -> None:
    """Tools and steps have an alias, with as many warm environments as the deployment pays for, none by default."""
    told = template["Resources"][f"{name}Function"]["Properties"]
    assert told["AutoPublishAlias"] == "live"
    warm = {"ProvisionedConcurrentExecutions": "ProvisionedConcurrency"}
    assert told["ProvisionedConcurrencyConfig"] == ["KeepsWarm", warm, "AWS::NoValue"]
    assert template["Parameters"]["ProvisionedConcurrency"]["Default"] == 0


@pytest.mark.parametrize("name", ["Interactive", "Background"])
def test_a_lane_leads_to_its_pipelines_within_its_bound(template: Json, name: str) -> None:
    """A lane is consumed message by message, so many batches at a time, and what cannot be started is kept apart."""
    mapping = template["Resources"][f"Starting{name}"]["Properties"]
    assert (mapping["FunctionName"], mapping["EventSourceArn"]) == ("RunFunction", f"{name}Lane.Arn")
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    bound = {"MaximumConcurrency": f"{name}Concurrency"}
    assert mapping["ScalingConfig"] == [f"Bounds{name}", bound, "AWS::NoValue"]
    queue = template["Resources"][f"{name}Lane"]["Properties"]
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == f"{name}DeadLetterQueue.Arn"
    assert queue["VisibilityTimeout"] > template["Globals"]["Function"]["Timeout"]
    assert queue["VisibilityTimeout"] * queue["RedrivePolicy"]["maxReceiveCount"] >= 2 * 3600
    apart = template["Resources"][f"{name}DeadLetterQueue"]["Properties"]
    assert apart["MessageRetentionPeriod"] > queue["MessageRetentionPeriod"]


def test_the_lanes_consumer_ends_in_time(template: Json) -> None:
    """A batch of starts, each given up after its own time, ends before Lambda ends it."""
    seconds = int(template["Resources"]["RunFunction"]["Properties"]["Environment"]["Variables"]["PIPELINE_SECONDS"])
    most = template["Resources"]["StartingInteractive"]["Properties"]["BatchSize"]
    assert most * (seconds + wiring._CONNECT_SECONDS) < template["Globals"]["Function"]["Timeout"]


def test_interactive_work_goes_before(template: Json) -> None:
    """By default the interactive lane may do more at a time, and comes again sooner, than the other one."""
    bounds = [template["Parameters"][f"{name}Concurrency"]["Default"] for name in ("Interactive", "Background")]
    lanes = [template["Resources"][f"{name}Lane"]["Properties"] for name in ("Interactive", "Background")]
    assert bounds[0] > bounds[1] >= 2
    assert lanes[0]["VisibilityTimeout"] < lanes[1]["VisibilityTimeout"]


def test_the_home_is_open_to_the_fabric_alone(template: Json) -> None:
    """The home's one route has an authorizer of its own, so that no client's identity provider opens it."""
    ((route, *others),) = [template["Resources"]["HomeFunction"]["Properties"]["Events"].values()]
    assert not others
    assert route["Properties"]["Auth"] == {"Authorizer": "Fabric"}
    authorizers = template["Resources"]["Api"]["Properties"]["Auth"]["Authorizers"]
    assert authorizers["Fabric"]["JwtConfiguration"] != authorizers["Jwt"]["JwtConfiguration"]


@pytest.mark.parametrize("name", ["Reviews", "Records"])
def test_a_hand_over_waits_for_its_neighbour(template: Json, name: str) -> None:
    """A queue is forwarded once its neighbour is named, message by message, and outlasts a neighbour's bad days."""
    mapping = template["Resources"][f"Forwarding{name}"]
    assert mapping["Condition"] == f"Has{name}"
    assert mapping["Properties"]["EventSourceArn"] == f"{name}Queue.Arn"
    assert mapping["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    queue = template["Resources"][f"{name}Queue"]["Properties"]
    handles = template["Resources"]["ForwardFunction"]["Properties"]["Timeout"]
    assert queue["FifoQueue"] is True
    assert queue["VisibilityTimeout"] > handles
    assert queue["RedrivePolicy"]["maxReceiveCount"] * LONGEST_PAUSE > 7 * 24 * 3600


def test_another_place_brings_its_own_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """AGENTFABRIC_PORTS names who makes the ports, and that one is asked every time."""
    monkeypatch.setenv("AGENTFABRIC_PORTS", "tests.aws.test_deployment:counted")
    made: list[Any] = [wiring.ports(), wiring.ports()]
    assert made == [1, 2]


_CALLS = count(1)


def counted() -> int:
    """Return how often it was called."""
    return next(_CALLS)


def test_a_task_goes_from_the_door_to_its_pipeline_on_aws(cloud: Cloud) -> None:
    """On AWS's own products a submission is kept, streamed, placed, lined up, started, and told to the recorder."""
    documents = cloud.ports.documents
    submission = {
        "entity": "package-a",
        "priority": "interactive",
        "documents": [documents.write(TEXT.encode(), "text/plain").model_dump(mode="json")],
        "taxonomy": documents.write(PLAIN.encode(), "text/plain").model_dump(mode="json"),
    }
    event = http_event("POST /tasks", changes={"body": json.dumps(submission)})
    told = [ingress.handler(event, None) for _ in range(2)]
    assert [answer["statusCode"] for answer in told] == [202, 202]
    batch = cloud.work()
    for _ in range(2):
        assert dispatch.handler(batch, None) == {"batchItemFailures": []}
    (task,) = cloud.ports.tasks.page("local", limit=10)
    assert (task.status, task.placed_on) == (Status.PLACED, "aws")
    assert cloud.taken("BACKGROUND_QUEUE_URL") == []
    waiting = lane_event(cloud.taken("INTERACTIVE_QUEUE_URL"))
    for _ in range(2):
        assert run.handler(waiting, None) == {"batchItemFailures": []}
    machine = cloud.settings["STATE_MACHINE_ARN"]
    (execution,) = cloud.stepfunctions.list_executions(stateMachineArn=machine)["executions"]
    assert execution["name"] == task.run_id
    recorded = [parse(body).type for body in cloud.taken("RECORDS_QUEUE_URL")]
    assert recorded == ["task.submitted", "task.admitted", "task.placed"]
    assert list(cloud.ports.outbox.unsent(limit=10)) == []


def test_poison_on_aws_is_a_dead_letter(cloud: Cloud) -> None:
    """On AWS's own products a poisoned record ends in the queue of dead letters."""
    cloud.kinesis.put_record(StreamName="stream", Data=b"not JSON", PartitionKey="package-a")
    assert dispatch.handler(cloud.work(), None) == {"batchItemFailures": []}
    asked = {"QueueUrl": cloud.settings["DEAD_LETTERS_QUEUE_URL"], "MessageAttributeNames": ["All"]}
    (message,) = cloud.sqs.receive_message(**asked)["Messages"]
    assert message["MessageAttributes"]["reason"]["StringValue"].startswith("[broken-json] not JSON")


def test_tenants_come_from_the_environment(cloud: Cloud) -> None:
    """What each tenant may do is read from one setting."""
    assert cloud.ports.tenants == {"local": TenantPolicy(max_budget=1_000_000)}


@pytest.mark.parametrize("text", ["", "[]", '{"UPPER": {}}', '{"acme": {"max_budget": -1}}', '{"acme": {"typo": 1}}'])
def test_a_bad_tenant_table_stops_the_start(text: str) -> None:
    """Policies that are not in order are refused before anything is served under them."""
    with pytest.raises(Permanent):
        seeded(text)


def test_the_limit_of_a_body_is_below_the_apis() -> None:
    """Our limit is the one that answers, not API Gateway's of ten megabytes."""
    assert MAX_BODY < 10 * 1024 * 1024
