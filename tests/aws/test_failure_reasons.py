from __future__ import annotations

import json

import pytest

from shared.core.failure import Failure, Fault, explain_fault, last_failure
from shared.core.workflow import DOCUMENT_REVIEW
from shared.errors import Permanent


def told(kind: str, message: str) -> str:
    """Return what a failed function says about itself."""
    return json.dumps({"errorType": kind, "errorMessage": message, "stackTrace": []})


@pytest.mark.parametrize(
    ("error", "cause", "expected"),
    [
        ("Permanent", told("Permanent", "[encrypted] it is encrypted"), ("encrypted", "it is encrypted")),
        ("Transient", told("Transient", "slow down"), ("attempts-used-up", "slow down")),
        ("States.Timeout", "", ("timeout", "States.Timeout")),
        ("Lambda.TooManyRequestsException", "Rate exceeded", ("step-failed", "Rate exceeded")),
        ("Permanent", "[bad code!] text", ("step-failed", "[bad code!] text")),
        ("Permanent", "[1, 2]", ("step-failed", "[1, 2]")),
        ("Permanent", "{half", ("step-failed", "{half")),
        ("", told("KeyError", "'x'"), ("step-failed", "'x'")),
        ("", "", ("step-failed", "no reason given")),
        ("Permanent", told("Permanent", "[long] " + "x" * 5000), ("long", "x" * 1000)),
        ("Permanent", told("Permanent", "[lines] one\ntwo"), ("lines", "one\ntwo")),
    ],
)
def test_a_fault_is_told_as_code_and_reason(error: str, cause: str, expected: tuple[str, str]) -> None:
    """Whatever an engine says about a failure, there is a code and a reason in it."""
    assert explain_fault(Fault(error=error, cause=cause)) == expected


def test_the_latest_step_in_the_tables_order_failed_last() -> None:
    """A step that was recovered from is not what ended the run."""
    faults = {
        "policy": Fault(error="Permanent", cause="[b] second"),
        "summarise": Fault(error="Permanent", cause="[a] first"),
    }
    assert last_failure(DOCUMENT_REVIEW, faults) == Failure("policy", "b", "second")


def test_a_run_without_failures_has_no_last_one() -> None:
    """Nothing that failed, or only what the workflow does not know, is refused by the names it knows."""
    with pytest.raises(Permanent, match="extract, classify, summarise, policy"):
        last_failure(DOCUMENT_REVIEW, {"guess": Fault()})
