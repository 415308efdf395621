"""The template as it is deployed, read for tests: resources by kind, and what each function may do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]
Grant = tuple[str, str]  # an action, and what it may be done to
_READS_STREAM = ("DescribeStream", "DescribeStreamSummary", "GetRecords", "GetShardIterator", "ListShards")
_TAKES_MESSAGES = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
TEMPLATE = Path(__file__).resolve().parents[2] / "template.yaml"


class Loader(yaml.SafeLoader):  # type: ignore[misc]  # yaml brings no types
    """Reads CloudFormation's short functions as what stands behind them."""


def _behind(loader: Loader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    assert isinstance(node, yaml.MappingNode)
    return loader.construct_mapping(node, deep=True)


Loader.add_multi_constructor("!", _behind)


def read() -> Json:
    """Return the template."""
    made: Json = yaml.load(TEMPLATE.read_text(encoding="utf-8"), Loader)  # noqa: S506  it is a SafeLoader
    return made


def of_type(template: Json, kind: str) -> dict[str, Json]:
    """Return the template's resources of a kind."""
    return {name: made for name, made in template["Resources"].items() if made["Type"] == kind}


def granted(template: Json, function: str) -> set[Grant]:
    """Return what a function's policies let it do."""
    policies = template["Resources"][function]["Properties"].get("Policies", [])
    named = (one if isinstance(one, str) else one[1] for one in policies)  # a condition's name stands before
    documents = (template["Resources"][name]["Properties"]["PolicyDocument"] for name in named)
    return {grant for document in documents for grant in _grants(document["Statement"])}


def _grants(statements: list[Any]) -> Iterator[Grant]:
    for statement in statements:
        if isinstance(statement, list):  # a condition's name, and the statement that it lets in
            yield from _grants([one for one in statement if isinstance(one, dict)])
            continue
        assert statement["Effect"] == "Allow"
        for action in _each(statement["Action"]):
            for resource in _each(statement["Resource"]):
                yield action, _plain(resource)


def _each(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def _plain(resource: str) -> str:
    """Return a resource by its name in the template; the state machine's ARN is composed, as it names the functions."""
    if ":stateMachine:" in resource:
        return "StateMachine"
    return resource.replace("${", "").replace("}", "").removesuffix(".Arn").replace(".Arn/", "/")


def polled(template: Json, function: str) -> set[Grant]:
    """Return what Lambda does in a function's name to feed it, by the policies that AWS publishes for that.

    https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
    """
    found: set[Grant] = set()
    for mapping in of_type(template, "AWS::Lambda::EventSourceMapping").values():
        told = mapping["Properties"]
        if told["FunctionName"] != function:
            continue
        for source in _each(told["EventSourceArn"]):
            found |= _feeding(source)
        gone = told.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
        found |= {("sqs:SendMessage", _plain(gone))} if gone else set()
    return found


def _feeding(source: str) -> set[Grant]:
    if source == "StreamConsumer":
        return {("kinesis:SubscribeToShard", source)}
    if source == "Stream.Arn":
        return {(f"kinesis:{name}", "Stream") for name in _READS_STREAM}
    if source.endswith(".Arn"):
        return {(f"sqs:{name}", _plain(source)) for name in _TAKES_MESSAGES}
    return set()  # a condition's name
