"""The public AWS SDK, unmodified, at the loopback server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError, ReadTimeoutError, ResponseStreamingError
from urllib3.exceptions import ProtocolError

from local.model_server.clock import RealClock
from local.model_server.scenario import Deployment, Latency, Phase, Quota, Scenario
from tests.local.model_server.asking import INSTRUCTION, PROMPT, SCHEMA
from tests.local.model_server.conftest import Serve, of

MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
ASKED: dict[str, Any] = {
    "modelId": MODEL,
    "system": [{"text": INSTRUCTION}],
    "messages": [{"role": "user", "content": [{"text": PROMPT}]}],
}
TOOL = {
    "tools": [{"toolSpec": {"name": "answer", "inputSchema": {"json": SCHEMA}}}],
    "toolChoice": {"tool": {"name": "answer"}},
}
Connect = Callable[..., Any]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Return a way to make clients of an address; they are closed at the end."""
    with ExitStack() as stack:

        def client(address: str, attempts: int = 1, seconds: float = 30) -> Any:
            retries = {"total_max_attempts": attempts, "mode": "standard"}
            made = boto3.client(
                "bedrock-runtime",
                region_name="us-east-1",
                endpoint_url=address,
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=Config(retries=retries, read_timeout=seconds),
            )
            stack.callback(made.close)
            return made

        yield client


def test_converse_answers(serve: Serve, connect: Connect) -> None:
    """Converse returns text, reason, usage and metrics."""
    answer = connect(serve(of(latency=Latency(fixed=0.25)))).converse(**ASKED)
    assert json.loads(answer["output"]["message"]["content"][0]["text"])["label"] == "mit"
    assert answer["stopReason"] == "end_turn"
    assert answer["usage"]["totalTokens"] == answer["usage"]["inputTokens"] + answer["usage"]["outputTokens"]
    assert answer["metrics"]["latencyMs"] == 250


def test_a_forced_tool_is_used(serve: Serve, connect: Connect) -> None:
    """Converse returns the structured answer as the forced tool's input."""
    answer = connect(serve()).converse(**ASKED, toolConfig=TOOL)
    use = answer["output"]["message"]["content"][0]["toolUse"]
    assert (use["name"], use["input"]) == ("answer", {"label": "mit", "score": 0.85})
    assert answer["stopReason"] == "tool_use"


def test_a_stream_is_decoded(serve: Serve, connect: Connect) -> None:
    """ConverseStream's frames are read by the SDK, in their order, down to the usage."""
    events = list(connect(serve()).converse_stream(**ASKED, toolConfig=TOOL)["stream"])
    names = [next(iter(event)) for event in events]
    assert names[:2] == ["messageStart", "contentBlockStart"]
    assert names[-3:] == ["contentBlockStop", "messageStop", "metadata"]
    deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
    assert json.loads("".join(delta["toolUse"]["input"] for delta in deltas)) == {"label": "mit", "score": 0.85}
    assert events[-1]["metadata"]["usage"]["outputTokens"] > 0


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("400", "ValidationException"),
        ("429", "ThrottlingException"),
        ("500", "InternalServerException"),
        ("503", "ServiceUnavailableException"),
    ],
)
def test_errors_have_their_names(serve: Serve, connect: Connect, kind: str, name: str) -> None:
    """The SDK raises Bedrock's own exceptions."""
    client = connect(serve(of(Phase.model_validate({"kind": kind}))))
    with pytest.raises(getattr(client.exceptions, name)) as raised:
        client.converse(**ASKED)
    assert raised.value.response["Error"]["Code"] == name


def test_the_sdk_retries_what_it_should(serve: Serve, connect: Connect) -> None:
    """Two of three attempts throttled are one successful call."""
    phases = (Phase(kind="ok", every=3), Phase(kind="429"))
    answer = connect(serve(of(*phases)), attempts=3).converse(**ASKED)
    assert answer["ResponseMetadata"]["RetryAttempts"] == 2


def test_a_quota_throttles_the_sdk(serve: Serve, connect: Connect) -> None:
    """Past the quota the SDK gets a throttling error that says in its headers when to come back."""
    client = connect(serve(Scenario(deployments={MODEL: Deployment(quota=Quota(requests_per_minute=1))})))
    client.converse(**ASKED)
    with pytest.raises(ClientError) as raised:
        client.converse(**ASKED)
    assert raised.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "60"


def test_a_broken_stream_raises(serve: Serve, connect: Connect) -> None:
    """A stream whose connection is cut raises while it is read."""
    client = connect(serve(of(Phase(kind="broken-stream", after_bytes=300))))
    with pytest.raises((ProtocolError, ResponseStreamingError, EventStreamError)):
        list(client.converse_stream(**ASKED)["stream"])


@pytest.mark.parametrize("kind", ["broken-stream", "truncated-json", "wrong-content-type"])
def test_the_sdk_hides_a_ruined_answer(serve: Serve, connect: Connect, kind: str) -> None:
    """The SDK takes a whole answer that is cut short or no JSON for an empty success: callers must look for output."""
    answer = connect(serve(of(Phase.model_validate({"kind": kind})))).converse(**ASKED)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert "output" not in answer


def test_silence_is_a_timeout(serve: Serve, connect: Connect) -> None:
    """A deployment that never answers makes the SDK time out."""
    client = connect(serve(of(Phase(kind="timeout")), RealClock()), seconds=0.1)
    with pytest.raises(ReadTimeoutError):
        client.converse(**ASKED)


def test_malformed_and_empty_answers_are_read(serve: Serve, connect: Connect) -> None:
    """The SDK reads a malformed and an empty answer without complaint."""
    client = connect(serve(of(Phase(kind="empty", every=2), Phase(kind="malformed"))))
    bad, empty = (client.converse(**ASKED, toolConfig=TOOL) for _ in range(2))
    assert bad["output"]["message"]["content"][0]["toolUse"]["input"]["score"] == {"unexpected": True}
    assert empty["output"]["message"]["content"] == []
