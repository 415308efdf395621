"""Renders the workflow table as Step Functions definitions, and the models as JSON Schema.

Amazon States Language: https://states-language.net/spec.html. `MaxAttempts` there counts retries, the table
counts attempts. Express workflows cannot wait for people, so a document that needs one ends the execution.
"""

from __future__ import annotations

import json
from typing import Any

from shared.core.workflow import WORKFLOWS, Retry, Step, Workflow
from shared.events.attributes import EXTENSION_NAME
from shared.events.catalog import CATALOG, FACTS

STEP_FUNCTION = "${StepFunctionArn}"
FAILURE_FUNCTION = "${FailureFunctionArn}"
RECORD_FUNCTION = "${RecordFunctionArn}"

# What Lambda itself raises when it is busy or restarting:
# https://docs.aws.amazon.com/step-functions/latest/dg/bp-lambda-serviceexception.html
_LAMBDA_TRANSIENT = (
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",  # it ran out of time or memory
)
_DOCUMENT = {"tenant.$": "$.tenant", "task.$": "$.task", "document.$": "$.document"}

Json = dict[str, Any]


def asl(flow: Workflow) -> Json:
    """Return the definition of a workflow's pipeline: its steps for one document, up to the checkpoint."""
    states: Json = {}
    following = [*(_state(step.name) for step in flow.steps[1:]), "NeedsApproval"]
    for step, then in zip(flow.steps, following, strict=True):
        states |= _step_states(step, then)
    return {
        "Comment": f"Rendered from the workflow table ({flow.name}); edit the table and run `agentfabric render`.",
        "StartAt": _state(flow.steps[0].name),
        "TimeoutSeconds": flow.timeout,
        "States": states | _ending(flow),
    }


def _state(step: str) -> str:
    return step.capitalize()


def _step_states(step: Step, then: str) -> Json:
    name = _state(step.name)
    spare = f"{name}Fallback"
    made = {name: _task(step, then, spare if step.fallback else "RecordFailure")}
    if step.fallback:
        made[spare] = _task(step, then, "RecordFailure", fallback=True)
    return made


def _task(step: Step, then: str, on_failure: str, *, fallback: bool = False) -> Json:
    parameters = {**_DOCUMENT, "run.$": "$.run", "step": step.name, "results.$": "$.results"}
    return {
        "Type": "Task",
        "Resource": STEP_FUNCTION,
        "Parameters": parameters | ({"fallback": True} if fallback else {}),
        "ResultPath": f"$.results.{step.name}",
        "TimeoutSeconds": step.timeout,
        "Retry": [_retry(step.retry)],
        "Catch": [_catch(step.name, on_failure)],
        "Next": then,
    }


def _retry(retry: Retry) -> Json:
    return {
        "ErrorEquals": ["Transient", "States.Timeout", *_LAMBDA_TRANSIENT],
        "IntervalSeconds": int(retry.interval),
        "BackoffRate": retry.backoff,
        "MaxDelaySeconds": int(retry.max_interval),
        "MaxAttempts": retry.attempts - 1,
    }


def _catch(step: str, then: str) -> Json:
    return {"ErrorEquals": ["States.ALL"], "ResultPath": f"$.failures.{step}", "Next": then}


def _ending(flow: Workflow) -> Json:
    return {
        "NeedsApproval": {
            "Type": "Choice",
            "Choices": [
                {
                    "Variable": f"$.results.{flow.checkpoint.when}",
                    "BooleanEquals": True,
                    "Next": "AwaitsApproval",
                }
            ],
            "Default": "Record",
        },
        "AwaitsApproval": {"Type": "Succeed"},
        "Record": {
            "Type": "Task",
            "Resource": RECORD_FUNCTION,
            "Parameters": _DOCUMENT,
            "ResultPath": None,
            "TimeoutSeconds": 30,
            "Retry": [_retry(Retry())],
            "Next": "Recorded",
        },
        "Recorded": {"Type": "Succeed"},
        "RecordFailure": {
            "Type": "Task",
            "Resource": FAILURE_FUNCTION,
            "Parameters": {**_DOCUMENT, "failures.$": "$.failures"},
            "ResultPath": "$.failed",
            "TimeoutSeconds": 30,
            "Retry": [_retry(Retry())],
            "Next": "DocumentFailed",
        },
        "DocumentFailed": {"Type": "Fail", "ErrorPath": "$.failed.code", "CausePath": "$.failed.reason"},
    }


def event_schemas() -> dict[str, Json]:
    """Return the JSON Schema (2020-12) of each event type's data, by type."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {
        fact.type: {"$schema": dialect, "$id": fact.dataschema(), **fact.model_json_schema(mode="validation")}
        for fact in FACTS
    }


def envelope_schema() -> Json:
    """Return the JSON Schema of the envelope, without its data."""
    schema = CATALOG["task.admitted"].model_json_schema()
    properties = {name: shape for name, shape in schema["properties"].items() if name != "data"}
    properties["type"] = {"enum": sorted(CATALOG)}
    properties["dataschema"] = {"type": "string", "pattern": "^urn:agentfabric:[a-z.]+:[0-9]+$"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:agentfabric:envelope:1",
        "title": "Event",
        "type": "object",
        "properties": properties | {"data": {"type": "object"}},
        "required": sorted({*schema["required"], "type", "dataschema"}),
        "propertyNames": {"pattern": EXTENSION_NAME},
        "additionalProperties": schema["additionalProperties"],
    }


def rendered() -> dict[str, str]:
    """Return every rendered file by its path from the project's root."""
    files = {f"statemachines/{name.replace('-', '_')}.asl.json": asl(flow) for name, flow in WORKFLOWS.items()}
    files |= {f"shared/events/schemas/{kind}.json": schema for kind, schema in event_schemas().items()}
    files["shared/events/schemas/envelope.json"] = envelope_schema()
    return {path: json.dumps(content, indent=2) + "\n" for path, content in files.items()}
