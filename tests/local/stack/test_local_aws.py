from __future__ import annotations

import traceback
from typing import Any

import pytest

from local.stack.local_aws import named
from shared.errors import Permanent, Transient


def failed(error: Exception, kind: str = "Runtime.HandlerError") -> dict[str, Any]:
    """Return what the local Lambda says of a handler that raised this."""
    trace = "".join(traceback.format_exception(error))
    log = f"a line of the handler's own\nTraceback (most recent call last):\n  File 'a.py'\n{trace}"
    return {"error": True, "body": {"errorMessage": str(error), "errorType": kind}, "log": log}


ERRORS = [Transient("busy"), Permanent("no"), KeyError("x"), ValueError(), Transient("a\nB: c")]


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_is_named_after_its_class(error: Exception) -> None:
    """A state machine is told the class of what a handler raised, by which it decides whether to try again."""
    told = named(failed(error))
    assert told["body"] == {"errorMessage": str(error), "errorType": type(error).__name__}


@pytest.mark.parametrize(
    "result", [{"body": {"a": 1}, "log": ""}, failed(ValueError("x"), "Sandbox.Timedout"), {"error": True, "body": "x"}]
)
def test_everything_else_is_left_as_it_is(result: dict[str, Any]) -> None:
    """Answers, time-outs and what is no error of a handler's keep their words."""
    assert named(dict(result)) == result
