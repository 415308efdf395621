"""Starts ministack with its Lambda telling errors as AWS does: run by path, in ministack's own environment.

Its warm workers call every error of a handler `Runtime.HandlerError`, so that no state machine could tell what to
retry. AWS gives the name of the exception's class, which stands in the traceback that is at hand:
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html. May know ministack alone.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
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


def main() -> None:
    """Run ministack until it is stopped."""
    lambdas: Any = import_module("ministack.services.lambda_svc")
    invoked = lambdas._execute_function_warm  # noqa: SLF001  nothing public stands between worker and answer
    lambdas._execute_function_warm = lambda *given: named(invoked(*given))  # noqa: SLF001  likewise
    sys.exit(import_module("ministack.app").main())


if __name__ == "__main__":
    main()
