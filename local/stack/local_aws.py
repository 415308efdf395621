"""Starts ministack with two habits of AWS: errors have names, and what was acknowledged outlives a crash.

Run by path, in ministack's own environment; how nothing is forgotten is in the files beside this one.

ministack's warm workers call every error of a handler `Runtime.HandlerError`, so that no state machine could tell what
to retry. AWS gives the name of the exception's class, which stands in the traceback that is at hand:
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html. May know ministack alone.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import threading
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

_UNNAMED = "Runtime.HandlerError"
_RAISED = re.compile(r"^(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*)(?::|$)")  # the class, at the end of a traceback


def named(result: dict[str, Any]) -> dict[str, Any]:
    """Return an invocation's result with the class of its exception as the error's type."""
    body, trace = result.get("body"), str(result.get("log", "")).rpartition("Traceback (most recent call last):")[2]
    if not (result.get("error") and isinstance(body, dict) and body.get("errorType") == _UNNAMED and trace):
        return result
    raised = [found[1] for line in trace.splitlines() if (found := _RAISED.match(line))]
    return result | {"body": body | {"errorType": raised[0]}} if raised else result


def _beside(name: str) -> Any:  # noqa: ANN401  a module
    """Load a file beside this one: the rest of our project must not be found here, nor by the functions."""
    spec = spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _keep(app: Any, lambdas: Any) -> None:  # noqa: ANN401  modules
    """Let nothing be forgotten that was acknowledged."""
    dynamodb, sqs, kinesis, stepfunctions = (
        import_module(f"ministack.services.{name}") for name in ("dynamodb", "sqs", "kinesis", "stepfunctions")
    )
    kept: Any = _beside("local_aws_kept")
    executions = kept.Executions(stepfunctions, import_module("ministack.core.responses"))
    others = kept.Items(dynamodb), kept.Messages(sqs), kept.Records(kinesis, lambdas)
    _beside("local_aws_journal").Journal(app, import_module("ministack.core.persistence"), others, executions).install()


def main() -> None:
    """Run ministack until it is stopped, and delete what one that ran before left behind."""
    leftovers = os.environ.get("AGENTFABRIC_LEFTOVERS")
    if leftovers is not None:
        threading.Thread(target=shutil.rmtree, args=(leftovers,), kwargs={"ignore_errors": True}, daemon=True).start()
    app: Any = import_module("ministack.app")
    lambdas: Any = import_module("ministack.services.lambda_svc")
    invoked = lambdas._execute_function_warm  # noqa: SLF001  nothing public stands between worker and answer
    lambdas._execute_function_warm = lambda *given: named(invoked(*given))  # noqa: SLF001  likewise
    _keep(app, lambdas)
    sys.exit(app.main())


if __name__ == "__main__":
    main()
