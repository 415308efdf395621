from __future__ import annotations

from typing import Any

import pytest

from local import asl
from shared.errors import Permanent

END: dict[str, Any] = {"Type": "Pass", "End": True}
TASK: dict[str, Any] = {"Type": "Task", "Resource": "${ToolFunctionArn}", "End": True}
CHOICE: dict[str, Any] = {"Type": "Choice"}


def with_state(state: Any, **more: Any) -> dict[str, Any]:
    """Build a definition around a state called A."""
    return {"StartAt": "A", "States": {"A": state, **more}}


def with_rule(**rule: Any) -> dict[str, Any]:
    """Build a definition around a rule that leads to Z."""
    return with_state({"Type": "Choice", "Choices": [{**rule, "Next": "Z"}]}, Z=END)


def with_value(text: Any) -> dict[str, Any]:
    """Build a definition around a value in Parameters."""
    return with_state({**END, "Parameters": {"v.$": text}})


BROKEN: dict[str, tuple[Any, str]] = {
    "a list instead of an object": ([], "/: "),
    "no states": ({"StartAt": "A", "States": {}}, "/States: "),
    "StartAt that names nothing": ({"StartAt": "B", "States": {"A": END}}, "/StartAt: "),
    "StartAt missing": ({"States": {"A": END}}, "/StartAt: "),
    "an unknown field at the top": ({**with_state(END), "Timeout": 3}, "/Timeout: "),
    "a timeout that is no integer": ({**with_state(END), "TimeoutSeconds": True}, "/TimeoutSeconds: "),
    "JSONata for the machine": ({**with_state(END), "QueryLanguage": "JSONata"}, "/QueryLanguage: "),
    "JSONata for a state": (with_state({**END, "QueryLanguage": "JSONata"}), "/States/A/QueryLanguage: "),
    "a state that is no object": (with_state(1), "/States/A/Type: "),
    "an unknown state type": (with_state({"Type": "Loop", "End": True}), "/States/A/Type: 'Loop'"),
    "an unknown field": (with_state({**END, "Reslt": 1}), "/States/A/Reslt: "),
    "a field of another type": (with_state({**END, "Retry": []}), "/States/A/Retry: "),
    "variables": (with_state({**END, "Assign": {}}), "/States/A/Assign: "),
    "neither Next nor End": (with_state({"Type": "Pass"}), "/States/A: "),
    "both Next and End": (with_state({**END, "Next": "A"}), "/States/A: "),
    "a Next that names nothing": (with_state({"Type": "Pass", "Next": "B"}), "/States/A/Next: 'B'"),
    "a state nobody leads to": (with_state(END, B=END), "/States/B: "),
    "a name that is too long": ({"StartAt": "A" * 81, "States": {"A" * 81: END}}, f"/States/{'A' * 81}: "),
    "a path without a dollar": (with_state({**END, "InputPath": "a"}), "/States/A/InputPath: "),
    "a path with a filter": (with_state({**END, "InputPath": "$.a[?(@.b)]"}), "/States/A/InputPath: "),
    "a path with a descent": (with_value("$..a"), "/States/A/Parameters/v.$: "),
    "a path with a slice": (with_value("$.a[0:2]"), "/States/A/Parameters/v.$: "),
    "a value that is no path": (with_value(3), "/States/A/Parameters/v.$: "),
    "a field with and without .$": (
        with_state({**END, "Parameters": {"v.$": "$", "v": 1}}),
        "/States/A/Parameters: ",
    ),
    "a ResultPath with a star": (with_state({**END, "ResultPath": "$.a[*]"}), "/States/A/ResultPath: "),
    "a ResultPath into the context": (with_state({**END, "ResultPath": "$$.a"}), "/States/A/ResultPath: "),
    "a random function": (with_value("States.UUID()"), "/States/A/Parameters/v.$: "),
    "a call without its end": (with_value("States.Array(1"), "/States/A/Parameters/v.$: "),
    "a call that goes on": (with_value("States.Array(1)[0]"), "/States/A/Parameters/v.$: "),
    "a call without a name": (with_value("States."), "/States/A/Parameters/v.$: "),
    "an argument that is none": (with_value("States.Array(a)"), "/States/A/Parameters/v.$: "),
    "an escape nobody knows": (with_value(r"States.Array('\n')"), "/States/A/Parameters/v.$: "),
    "too few arguments": (with_value("States.ArrayGetItem($)"), "/States/A/Parameters/v.$: "),
    "calls nested too deep": (
        with_value("States.Array(" * 11 + ")" * 11),
        "/States/A/Parameters/v.$: ",
    ),
    "another integration": (
        with_state({**TASK, "Resource": "arn:aws:states:::sqs:sendMessage"}),
        "/States/A/Resource: ",
    ),
    "a task token": (
        with_state({**TASK, "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken"}),
        "/States/A/Resource: ",
    ),
    "a Task without Resource": (with_state({"Type": "Task", "End": True}), "/States/A/Resource: "),
    "an invocation without parameters": (
        with_state({**TASK, "Resource": "arn:aws:states:::lambda:invoke"}),
        "/States/A/Parameters: ",
    ),
    "an invocation of nobody": (
        with_state({**TASK, "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {}}),
        "/States/A/Parameters: ",
    ),
    "a timeout of nothing": (with_state({**TASK, "TimeoutSeconds": 0}), "/States/A/TimeoutSeconds: "),
    "two timeouts": (
        with_state({**TASK, "TimeoutSeconds": 1, "TimeoutSecondsPath": "$.t"}),
        "/States/A: ",
    ),
    "a Retry that is no list": (with_state({**TASK, "Retry": {}}), "/States/A/Retry: "),
    "a retrier without names": (
        with_state({**TASK, "Retry": [{"ErrorEquals": []}]}),
        "/States/A/Retry[0]/ErrorEquals: ",
    ),
    "a reserved name that is none": (
        with_state({**TASK, "Retry": [{"ErrorEquals": ["States.All"]}]}),
        "/States/A/Retry[0]/ErrorEquals: ",
    ),
    "States.ALL in company": (
        with_state({**TASK, "Retry": [{"ErrorEquals": ["States.ALL", "X"]}]}),
        "/States/A/Retry[0]/ErrorEquals: ",
    ),
    "States.ALL before others": (
        with_state({**TASK, "Retry": [{"ErrorEquals": ["States.ALL"]}, {"ErrorEquals": ["X"]}]}),
        "/States/A/Retry[0]/ErrorEquals: ",
    ),
    "an interval of nothing": (
        with_state({**TASK, "Retry": [{"ErrorEquals": ["X"], "IntervalSeconds": 0}]}),
        "/States/A/Retry[0]/IntervalSeconds: ",
    ),
    "a backoff that shrinks": (
        with_state({**TASK, "Retry": [{"ErrorEquals": ["X"], "BackoffRate": 0.5}]}),
        "/States/A/Retry[0]/BackoffRate: ",
    ),
    "negative retries": (
        with_state({**TASK, "Retry": [{"ErrorEquals": ["X"], "MaxAttempts": -1}]}),
        "/States/A/Retry[0]/MaxAttempts: ",
    ),
    "an unknown field of a retrier": (
        with_state({**TASK, "Retry": [{"ErrorEquals": ["X"], "MaxRetries": 1}]}),
        "/States/A/Retry[0]/MaxRetries: ",
    ),
    "a catcher that leads nowhere": (
        with_state({**TASK, "Catch": [{"ErrorEquals": ["X"]}]}),
        "/States/A/Catch[0]/Next: ",
    ),
    "no rules": (with_state({"Type": "Choice", "Choices": []}), "/States/A/Choices: "),
    "a Default that names nothing": (
        with_state({"Type": "Choice", "Choices": [], "Default": "B"}),
        "/States/A/Default: ",
    ),
    "a rule without a goal": (
        with_state({"Type": "Choice", "Choices": [{"Variable": "$", "IsNull": True}]}),
        "/States/A/Choices[0]/Next: ",
    ),
    "a rule without an operator": (with_rule(Variable="$.a"), "/States/A/Choices[0]: "),
    "a rule with two operators": (
        with_rule(Variable="$.a", IsNull=True, IsPresent=True),
        "/States/A/Choices[0]: ",
    ),
    "a rule without a variable": (with_rule(IsNull=True), "/States/A/Choices[0]: "),
    "an unknown operator": (with_rule(Variable="$.a", IsList=True), "/States/A/Choices[0]/IsList: "),
    "an operator's wrong constant": (
        with_rule(Variable="$.a", NumericEquals="1"),
        "/States/A/Choices[0]/NumericEquals: ",
    ),
    "a boolean for a number": (
        with_rule(Variable="$.a", NumericEquals=True),
        "/States/A/Choices[0]/NumericEquals: ",
    ),
    "a timestamp that is none": (
        with_rule(Variable="$.a", TimestampEquals="2025-13-01T00:00:00Z"),
        "/States/A/Choices[0]/TimestampEquals: ",
    ),
    "an empty Or": (with_rule(Or=[]), "/States/A/Choices[0]/Or: "),
    "a rule inside Not that is none": (with_rule(Not=[]), "/States/A/Choices[0]/Not: "),
    "a goal inside And": (
        with_rule(And=[{"Variable": "$", "IsNull": True, "Next": "Z"}]),
        "/States/A/Choices[0]/And[0]/Next: ",
    ),
    "a Wait without time": (with_state({"Type": "Wait", "End": True}), "/States/A: "),
    "a Wait with half seconds": (
        with_state({"Type": "Wait", "Seconds": 0.5, "End": True}),
        "/States/A/Seconds: ",
    ),
    "a Wait until no moment": (
        with_state({"Type": "Wait", "Timestamp": "tomorrow", "End": True}),
        "/States/A/Timestamp: ",
    ),
    "an error that is no text": (with_state({"Type": "Fail", "Error": 1}), "/States/A/Error: "),
    "an error given twice": (with_state({"Type": "Fail", "Error": "E", "ErrorPath": "$"}), "/States/A: "),
    "a Parallel without branches": (
        with_state({"Type": "Parallel", "Branches": [], "End": True}),
        "/States/A/Branches: ",
    ),
    "a branch that leads outside": (
        with_state({"Type": "Parallel", "Branches": [with_state({"Type": "Pass", "Next": "Z"})], "Next": "Z"}, Z=END),
        "/States/A/Branches[0]/States/A",
    ),
    "one name in two places": (
        with_state({"Type": "Parallel", "Branches": [with_state(END)], "End": True}),
        "/States/A/Branches[0]/States/A: ",
    ),
    "a Map without a processor": (with_state({"Type": "Map", "End": True}), "/States/A: "),
    "a distributed Map": (
        with_state(
            {
                "Type": "Map",
                "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED"}, "StartAt": "B", "States": {"B": END}},
                "End": True,
            }
        ),
        "/States/A/ItemProcessor/ProcessorConfig/Mode: ",
    ),
    "a Map that tolerates failures": (
        with_state(
            {
                "Type": "Map",
                "ItemProcessor": {"StartAt": "B", "States": {"B": END}},
                "ToleratedFailureCount": 1,
                "End": True,
            }
        ),
        "/States/A/ToleratedFailureCount: ",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_definition_is_refused_with_its_place(case: str) -> None:
    """What the service would refuse, or this runner does not know, is Permanent and says where."""
    definition, place = BROKEN[case]
    with pytest.raises(Permanent) as refusal:
        asl.compile(definition)
    assert str(refusal.value).startswith(place)
    assert refusal.value.code == "asl-definition"


def test_comments_and_versions_are_allowed() -> None:
    """Comments may stand everywhere, and so may the version of the language and a placeholder for an ARN."""
    retry = {"ErrorEquals": ["X"], "Comment": "why", "JitterStrategy": "FULL"}
    state = {**TASK, "Comment": "a tool", "Retry": [retry], "QueryLanguage": "JSONPath"}
    machine = asl.compile({**with_state(state), "Comment": "all", "Version": "1.0"}, name="tools")
    assert machine.name == "tools"


def test_express_caps_the_timeout() -> None:
    """A definition may ask for more than five minutes but gets five."""
    assert asl.compile({**with_state(END), "TimeoutSeconds": 3_600}).seconds == 300
