from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from aws import wire as aws
from azure.fabric import wire as azure
from gcp import wire as gcp
from shared import problems
from shared.errors import Conflict, Duplicate, FabricError, Forbidden, NotFound, Permanent, Transient

if TYPE_CHECKING:
    from flask import Response

Answer = tuple[int, str | None, str | None, dict[str, Any]]

VERDICTS = [
    *(Permanent("what is wrong", code=code, where="a.b") for code in problems.STATUS if problems.STATUS[code] != 500),
    Permanent("a code of its own", code="unknown-workflow"),
    Forbidden("not yours", code="unknown-tenant"),
    NotFound("nothing here"),
    Duplicate("done before"),
    Conflict("somebody was faster"),
    Transient("busy", retry_after=2.5),
    Transient("busy for a moment", retry_after=0.01),
]


def on_aws(error: FabricError) -> Answer:
    """Return what API Gateway is given for a verdict."""
    answer = aws.problem(error)
    headers = answer["headers"]
    return answer["statusCode"], headers["content-type"], headers.get("retry-after"), json.loads(answer["body"])


def on_azure(error: FabricError) -> Answer:
    """Return what the Functions host is given for a verdict."""
    answer = azure.problem(error)
    body = json.loads(answer.get_body())
    return answer.status_code, answer.mimetype, answer.headers.get("Retry-After"), body


def on_gcp(error: FabricError) -> Answer:
    """Return what functions-framework is given for a verdict."""

    @gcp.with_verdicts
    def refuse(_request: Any) -> Response:
        raise error

    answer = refuse(Request(EnvironBuilder().get_environ()))  # type: ignore[arg-type]
    return answer.status_code, answer.mimetype, answer.headers.get("Retry-After"), json.loads(answer.get_data())


@pytest.mark.parametrize("error", VERDICTS, ids=lambda error: f"{type(error).__name__}-{problems.code_of(error)}")
def test_a_verdict_is_the_same_problem_everywhere(error: FabricError) -> None:
    """Status, media type, patience and every member are the same, whichever cloud refuses."""
    told = on_aws(error)
    assert told == on_azure(error) == on_gcp(error)
    assert told[0] == told[3]["status"] == problems.status_of(error)
    assert (told[1], told[3]["detail"]) == ("application/problem+json", str(error))


def test_what_a_verdict_means() -> None:
    """The status says whose turn it is: the caller's to change something, to wait, or nobody's."""
    assert [problems.status_of(error) for error in VERDICTS[-7:]] == [400, 403, 404, 409, 409, 503, 503]
    assert [dict(problems.retry_after(error)).get("retry-after") for error in VERDICTS[-4:]] == [None, "1", "3", "1"]
