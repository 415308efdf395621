"""Short pipelines on Step Functions Express: run to their end while the caller waits, or started and left alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from botocore.exceptions import ClientError, ReadTimeoutError

from aws.adapters.verdicts import code_of, verdicts
from shared.errors import NotFound, Permanent, Transient

# How an execution that a second try may help has ended; a document's own failure has the code of its verdict.
_PASSING = frozenset({"Transient", "States.Timeout", "Lambda.TooManyRequestsException", "Lambda.ServiceException"})


class StillRunning(Transient):
    """The execution takes longer than the client waits; it may well go on, so it should not be started again."""


class ExpressPipelines:
    """The `Pipelines` port: workflow names to state machines.

    The client must not retry: at most once is what a synchronous execution promises, and a start that failed is
    tried again by the queue it came from. Who waits less than an execution's five minutes may be told `StillRunning`.
    """

    def __init__(self, stepfunctions: Any, machines: Mapping[str, str]) -> None:  # noqa: ANN401  boto3 makes its types
        self._stepfunctions = stepfunctions
        self._machines = machines

    def run(self, workflow: str, name: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run to the end and return the output; its failure is Permanent under its own code."""
        machine = self._machine(workflow)
        with verdicts(f"pipeline {name}"):
            ended = self._ended(machine, name, json.dumps(dict(given)))
        if ended["status"] == "SUCCEEDED":
            return cast("Mapping[str, Any]", json.loads(ended["output"]))
        error, cause = ended.get("error") or "pipeline-failed", ended.get("cause") or f"pipeline {name} failed"
        if ended["status"] == "TIMED_OUT" or error in _PASSING:
            raise Transient(cause)
        raise Permanent(cause, code=error)

    def start(self, workflow: str, name: str, given: Mapping[str, Any]) -> None:
        """Start it; one that was started under this name before is as good.

        Express may well start it again: then its steps answer from the journal, and its document is recorded once.
        """
        machine = self._machine(workflow)
        with verdicts(f"start pipeline {name}"):
            try:
                self._stepfunctions.start_execution(stateMachineArn=machine, name=name, input=json.dumps(dict(given)))
            except ClientError as error:
                if code_of(error) != "ExecutionAlreadyExists":
                    raise

    def _machine(self, workflow: str) -> str:
        machine = self._machines.get(workflow)
        if machine is None:
            raise NotFound(f"no pipeline for {workflow!r}; known: {', '.join(self._machines)}")
        return machine

    def _ended(self, machine: str, name: str, given: str) -> dict[str, Any]:
        try:
            ended: dict[str, Any] = self._stepfunctions.start_sync_execution(
                stateMachineArn=machine, name=name, input=given
            )
        except ReadTimeoutError as error:
            raise StillRunning(f"pipeline {name} takes longer than anybody waits here") from error
        return ended
