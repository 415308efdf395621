from __future__ import annotations

import json
import math
from typing import Any, get_args

import pytest

from local.model_server import schemas
from local.model_server.exchange import Reply
from local.model_server.scenario import Kind, Phase
from local.model_server.service import ModelService
from tests.local.model_server.asking import ALL, SCHEMA, Spoken
from tests.local.model_server.conftest import of

protocols = pytest.mark.parametrize("spoken", ALL, ids=str)
streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
REFUSALS = {"400", "401", "429", "500", "503"}
TESTED = {
    *REFUSALS,
    *("ok", "timeout", "slow-drip", "broken-stream", "truncated-json", "wrong-content-type", "malformed", "empty"),
}


def replies(spoken: Spoken, stream: bool, kind: str, **said: Any) -> tuple[Reply, Reply]:  # noqa: FBT001
    """Return the good reply to a question and the one that a phase makes of it."""
    good = ModelService().reply(spoken.ask(stream=stream, schema=SCHEMA), 0.0)
    phase = Phase.model_validate({"kind": kind, **said})
    return good, ModelService(of(phase)).reply(spoken.ask(stream=stream, schema=SCHEMA), 0.0)


def test_every_kind_is_tested() -> None:
    """What a phase can do is tested here."""
    assert set(get_args(Kind)) == TESTED


@protocols
@streamed
@pytest.mark.parametrize("kind", sorted(REFUSALS))
def test_a_refusal_has_its_status(spoken: Spoken, stream: bool, kind: str) -> None:  # noqa: FBT001
    """A refusal has the status of its kind and a JSON body, whether or not a stream was asked for."""
    _, reply = replies(spoken, stream, kind)
    assert reply.status == int(kind)
    assert reply.headers["content-type"] == "application/json"
    assert json.loads(reply.content)


@protocols
@streamed
def test_an_ok_phase_changes_nothing(spoken: Spoken, stream: bool) -> None:  # noqa: FBT001
    """A phase of kind ok answers as if there were none."""
    good, reply = replies(spoken, stream, "ok")
    assert reply == good


@protocols
@streamed
def test_a_timeout_never_says_anything(spoken: Spoken, stream: bool) -> None:  # noqa: FBT001
    """A timeout sends no byte, ever."""
    _, reply = replies(spoken, stream, "timeout")
    assert (reply.ending, reply.content, reply.seconds) == ("silence", b"", math.inf)


@protocols
@streamed
def test_a_slow_drip_is_all_there_in_the_end(spoken: Spoken, stream: bool) -> None:  # noqa: FBT001
    """A slow drip sends the good answer at so many bytes a second."""
    good, reply = replies(spoken, stream, "slow-drip", bytes_per_second=10)
    assert reply.content == good.content
    assert reply.seconds == len(good.content) / 10


@protocols
@streamed
@pytest.mark.parametrize("most", [0, 40, 10**9])
def test_a_broken_stream_lacks_its_end(spoken: Spoken, stream: bool, most: int) -> None:  # noqa: FBT001
    """A broken stream begins well, promises all and is cut behind so many bytes, before its end in any case."""
    good, reply = replies(spoken, stream, "broken-stream", after_bytes=most)
    assert (reply.ending, reply.length, reply.headers) == ("broken", good.length, good.headers)
    assert reply.content == good.content[: min(most, len(good.content) - 1)]


@protocols
@streamed
def test_truncated_json_ends_properly_in_the_middle(spoken: Spoken, stream: bool) -> None:  # noqa: FBT001
    """Truncated JSON is a proper response of half the content."""
    good, reply = replies(spoken, stream, "truncated-json")
    assert (reply.status, reply.ending, reply.headers) == (200, "whole", good.headers)
    assert reply.content == good.content[: len(good.content) // 2]
    assert reply.length == (None if stream else len(reply.content))


@protocols
@streamed
def test_a_wrong_content_type_is_a_page(spoken: Spoken, stream: bool) -> None:  # noqa: FBT001
    """A wrong content type is a page of HTML with status 200."""
    _, reply = replies(spoken, stream, "wrong-content-type")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert reply.content.startswith(b"<!doctype html>")


@protocols
@streamed
def test_a_malformed_answer_is_json_of_another_shape(spoken: Spoken, stream: bool) -> None:  # noqa: FBT001
    """A malformed answer is valid in its protocol, and JSON, but does not satisfy the schema."""
    good, reply = replies(spoken, stream, "malformed")
    assert schemas.conforms(json.loads(spoken.says(good)), SCHEMA)
    assert not schemas.conforms(json.loads(spoken.says(reply)), SCHEMA)
    assert spoken.usage(reply)[0] == spoken.usage(good)[0]


@protocols
@streamed
def test_an_empty_answer_says_nothing(spoken: Spoken, stream: bool) -> None:  # noqa: FBT001
    """An empty answer is valid in its protocol, ends as usual and says nothing, for which nothing is charged."""
    good, reply = replies(spoken, stream, "empty")
    assert spoken.says(reply) == ""
    assert spoken.reason(reply) in {"stop", "end_turn", "STOP"}
    assert spoken.usage(reply) == (spoken.usage(good)[0], 0)
