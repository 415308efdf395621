"""What the operator is told of: alarms and the dashboard, compared with the resources that there are."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.aws.formation import of_type

if TYPE_CHECKING:
    from tests.aws.stage import Json

_REFERENCE = re.compile(r"\$\{([^}]+)\}")


@pytest.fixture(scope="module")
def alarms(template: Json) -> dict[tuple[str, str], Json]:
    """The alarms by their metrics: its name, and the resource that it is about."""
    found = of_type(template, "AWS::CloudWatch::Alarm")
    said = [(made["Properties"], made["Condition"]) for made in found.values()]
    by = {
        (told["MetricName"], dimension["Value"].removesuffix(".QueueName")): told | {"Condition": condition}
        for told, condition in said
        for dimension in told["Dimensions"]
    }
    assert len(by) == len(found)
    return by


def test_every_function_is_watched(template: Json, alarms: dict[tuple[str, str], Json]) -> None:
    """Errors and throttled calls of each function are told."""
    for name in of_type(template, "AWS::Serverless::Function"):
        for metric in ("Errors", "Throttles"):
            told = alarms[metric, name]
            assert (told["Namespace"], told["Threshold"]) == ("AWS/Lambda", "FailuresTolerated")


def test_every_queue_is_watched(template: Json, alarms: dict[tuple[str, str], Json]) -> None:
    """Of each queue the age of its oldest message is told, and of each with dead letters that there are any."""
    queues = of_type(template, "AWS::SQS::Queue")
    for name in queues:
        assert alarms["ApproximateAgeOfOldestMessage", name]["Threshold"].endswith("AgeSeconds")
    mappings = of_type(template, "AWS::Lambda::EventSourceMapping").values()
    feeding = [mapping["Properties"]["EventSourceArn"] for mapping in mappings]
    dead = [name for name in queues if f"{name}.Arn" not in feeding]
    assert len(dead) == 5
    for name in dead:
        assert alarms["ApproximateNumberOfMessagesVisible", name]["Threshold"] == 0


def test_a_dead_letter_is_told_of_before_it_is_lost(template: Json) -> None:
    """The alarm of old dead letters comes days before the queue forgets them."""
    kept = template["Resources"]["DeadLetterQueue"]["Properties"]["MessageRetentionPeriod"]
    assert template["Parameters"]["DeadLetterAgeSeconds"]["Default"] <= kept - 2 * 24 * 3600


def test_the_stream_is_watched(alarms: dict[tuple[str, str], Json]) -> None:
    """The age of what the dispatcher reads is told, with its own throughput or without."""
    assert alarms["IteratorAge", "DispatchFunction"]["Threshold"] == "StreamAgeMilliseconds"


def test_nobody_is_told_when_nobody_is_named(alarms: dict[tuple[str, str], Json]) -> None:
    """Alarms are told to the topic, if there is one; a queue that nobody empties yet has none."""
    for told in alarms.values():
        assert told["AlarmActions"] == ["Tells", ["AlarmTopic"], "AWS::NoValue"]
        assert told["TreatMissingData"] == "notBreaching"
    waiting = {"ReviewsQueue": "WatchesReviews", "RecordsQueue": "WatchesRecords"}
    for (_, name), told in alarms.items():
        assert told["Condition"] == waiting.get(name, "Watched")


def test_the_dashboard_is_about_what_there_is(template: Json) -> None:
    """The dashboard is JSON, its widgets do not overlap, and all that it names is in the template."""
    body = template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]
    widgets = json.loads(body)["widgets"]
    places = {(one["x"], one["y"]) for one in widgets}
    assert len(places) == len(widgets) == 9
    named = {found.partition(".")[0] for found in _REFERENCE.findall(body)} - {"AWS::Region"}
    assert named <= set(template["Resources"])
    assert set(of_type(template, "AWS::Serverless::Function")) <= named
    assert set(of_type(template, "AWS::SQS::Queue")) <= named
    assert {"Api", "Table", "StateMachine"} <= named
