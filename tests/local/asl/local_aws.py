"""The samples on the local AWS: their functions deployed as real ones, their definitions as Express machines."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from collections.abc import Mapping

WIDTH = 8  # executions at once
_PATIENCE = 200  # seconds, on a machine that is busy with much else
_ROLE = "arn:aws:iam::000000000000:role/any"
_CODE = Path(__file__).with_name("scripted.py")
_SAMPLED = "arn:aws:lambda:eu-west-1:000000000000:function:"


@dataclass(frozen=True, slots=True)
class Ending:
    """How an execution ended, with the output as JSON."""

    status: str
    output: Any
    error: str | None
    cause: str | None


class LocalAws:
    """Runs samples on the local AWS that these facts lead to; may be used by several threads."""

    def __init__(self, facts: Mapping[str, str]) -> None:
        session = boto3.Session(facts["AWS_ACCESS_KEY_ID"], facts["AWS_SECRET_ACCESS_KEY"])
        # A synchronous execution's host would be `sync-…`, which is nowhere; a second try would be a second execution.
        config = Config(
            inject_host_prefix=False,
            max_pool_connections=WIDTH,
            read_timeout=_PATIENCE,
            retries={"total_max_attempts": 1},
        )
        place = {"region_name": facts["AWS_REGION"], "endpoint_url": facts["AWS_ENDPOINT_URL"], "config": config}
        self._arn = f"arn:aws:lambda:{facts['AWS_REGION']}:000000000000:function:"
        self._lambda: Any = session.client("lambda", **place)
        self._stepfunctions: Any = session.client("stepfunctions", **place)

    def close(self) -> None:
        """Let go of the connections."""
        self._lambda.close()
        self._stepfunctions.close()

    def run(self, name: str, given: Mapping[str, Any]) -> Ending:
        """Deploy a sample's functions and definition, run it to its end, and take the functions away."""
        functions = {function: f"{name}-{function}" for function in given.get("lambdas", {})}
        for function, deployed in functions.items():
            self._deploy(deployed, given["lambdas"][function])
        try:
            return self._run(name, given, functions)
        finally:
            for deployed in functions.values():
                self._lambda.delete_function(FunctionName=deployed)

    def _deploy(self, name: str, outcomes: Any) -> None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.write(_CODE, "scripted.py")
            archive.writestr("outcomes.json", json.dumps(outcomes))
        code = {"ZipFile": packed.getvalue()}
        self._lambda.create_function(
            FunctionName=name, Role=_ROLE, Runtime="python3.11", Handler="scripted.handler", Code=code
        )

    def _run(self, name: str, given: Mapping[str, Any], functions: Mapping[str, str]) -> Ending:
        definition, data = (self._renamed(json.dumps(given[key]), functions) for key in ("definition", "input"))
        machine = self._stepfunctions.create_state_machine(
            name=name, definition=definition, roleArn=_ROLE, type="EXPRESS"
        )["stateMachineArn"]
        ended = self._stepfunctions.start_sync_execution(
            stateMachineArn=machine, name=given.get("name", "run-1"), input=data
        )
        output = json.loads(ended["output"]) if ended["status"] == "SUCCEEDED" else None
        return Ending(ended["status"], output, ended.get("error"), ended.get("cause"))

    def _renamed(self, text: str, functions: Mapping[str, str]) -> str:
        """Let a definition or an input name the functions as they were deployed, by ARN or by name."""
        for function, deployed in functions.items():
            text = text.replace(f'"{_SAMPLED}{function}"', f'"{self._arn}{deployed}"')
            text = text.replace(f'"{function}"', f'"{deployed}"')
        return text
