"""Bedrock's Converse and ConverseStream: `POST /model/{id}/converse` and `/converse-stream`.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html. boto3 1.44.5 works against it
unmodified. Structured output is the input of a forced tool, or `outputConfig.textFormat`; signatures are not checked.
Bedrock itself seldom says when to come back: a deployment with `tells_limits = false` is like that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field

from local.model_server.exchange import Answer, Body, Call, Circumstances, Question, Refusal
from local.model_server.protocols._event_stream import message
from local.model_server.protocols.wording import checked, packed, pieces, seconds_up, tool_input, whole
from shared.errors import Permanent

_PATH = re.compile(r"/model/([^/]+)/converse(-stream)?")
_STREAM = {"content-type": "application/vnd.amazon.eventstream"}
_SCHEMA_AT = "outputConfig.textFormat.structure.jsonSchema.schema"
_ERRORS = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    404: "ResourceNotFoundException",
    413: "ValidationException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", populate_by_name=True)


class _Block(_Read):
    text: str | None = None


class _Message(_Read):
    role: Literal["user", "assistant", "system"]
    content: list[_Block]


class _InputSchema(_Read):
    given: dict[str, Any] = Field(alias="json")


class _ToolSpec(_Read):
    name: str
    schema_in: _InputSchema = Field(alias="inputSchema")


class _Tool(_Read):
    spec: _ToolSpec | None = Field(default=None, alias="toolSpec")


class _Named(_Read):
    name: str


class _Choice(_Read):
    tool: _Named | None = None
    any: dict[str, Any] | None = None


class _ToolConfig(_Read):
    tools: list[_Tool] = Field(min_length=1)
    choice: _Choice = Field(default_factory=_Choice, alias="toolChoice")

    def forced(self) -> _ToolSpec | None:
        """Return the tool whose input the answer must be, None when the model may choose to just talk."""
        specs = {one.spec.name: one.spec for one in self.tools if one.spec}
        if self.choice.tool is not None:
            if self.choice.tool.name not in specs:
                raise Permanent(f"there is no tool {self.choice.tool.name}", where="toolConfig.toolChoice")
            return specs[self.choice.tool.name]
        return next(iter(specs.values()), None) if self.choice.any is not None else None


class _Limits(_Read):
    most: int | None = Field(default=None, alias="maxTokens", ge=1)


class _Text(_Read):
    given: str = Field(alias="schema")


class _Structure(_Read):
    json_schema: _Text = Field(alias="jsonSchema")


class _Format(_Read):
    structure: _Structure


class _Output(_Read):
    format: _Format | None = Field(default=None, alias="textFormat")


class _Request(_Read):
    messages: list[_Message] = Field(min_length=1)
    system: list[_Block] = Field(default_factory=list)
    limits: _Limits = Field(default_factory=_Limits, alias="inferenceConfig")
    tools: _ToolConfig | None = Field(default=None, alias="toolConfig")
    output: _Output = Field(default_factory=_Output, alias="outputConfig")

    def schema_wanted(self) -> dict[str, Any] | None:
        """Return the schema of `outputConfig`, which travels as text."""
        if self.output.format is None:
            return None
        try:
            schema = json.loads(self.output.format.structure.json_schema.given)
        except ValueError as error:
            raise Permanent("no JSON", where=_SCHEMA_AT) from error
        if not isinstance(schema, dict):
            raise Permanent("no JSON schema", where=_SCHEMA_AT)
        return schema


class Bedrock:
    """Converse: one JSON answer, or a stream of binary events."""

    name = "bedrock"

    def serves(self, call: Call) -> bool:
        """Tell whether a request's path is one of Converse's."""
        return _PATH.fullmatch(call.path) is not None

    def listing(self, call: Call, names: Sequence[str]) -> Body | None:  # noqa: ARG002  another service lists them
        """Return nothing: models are not listed here."""
        return None

    def parse(self, call: Call) -> Question:
        """Read a request; the path names the model."""
        found = _PATH.fullmatch(call.path)
        asked = checked(_Request, call)
        said = [one for one in asked.messages if one.role == "user"]
        if found is None or not said:
            raise Permanent("a conversation has a user message", where="messages")
        tool = asked.tools.forced() if asked.tools else None
        return Question(
            deployment=unquote(found[1]),
            text=_text(said[-1].content),
            instruction=_text(asked.system),
            schema=tool.schema_in.given if tool else asked.schema_wanted(),
            tool=tool.name if tool else "",
            max_tokens=asked.limits.most,
            stream=found[2] is not None,
        )

    def answer(self, question: Question, answer: Answer, at: Circumstances) -> Body:
        """Word an answer."""
        headers = {"x-amzn-requestid": at.request_id}
        if question.stream:
            events = tuple(_event(name, value) for name, value in _events(question, answer, at))
            return Body(200, {**_STREAM, **headers}, events, streamed=True)
        output = {"message": {"role": "assistant", "content": _content(question, answer, at)}}
        reason = {"stopReason": _reason(question, answer)}
        return whole(200, headers, {"output": output, **reason, **_used(answer, at)})

    def refuse(self, refusal: Refusal, at: Circumstances) -> Body:
        """Word a refusal."""
        kind = _ERRORS.get(refusal.status, "ModelErrorException")
        retry = {} if refusal.retry_after is None else {"retry-after": seconds_up(refusal.retry_after)}
        headers = {"x-amzn-requestid": at.request_id, "x-amzn-errortype": kind, **retry}
        return whole(refusal.status, headers, {"message": refusal.message})


def _text(blocks: list[_Block]) -> str:
    if any(block.text is None for block in blocks):
        raise Permanent("this model reads text only", where="content")
    return "".join(block.text or "" for block in blocks)


def _content(question: Question, answer: Answer, at: Circumstances) -> list[dict[str, Any]]:
    if not answer.text:
        return []
    if question.tool:
        return [{"toolUse": {**_use(question, at), "input": tool_input(answer.text)}}]
    return [{"text": answer.text}]


def _events(question: Question, answer: Answer, at: Circumstances) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "messageStart", {"role": "assistant"}
    if answer.text:
        place = {"contentBlockIndex": 0}
        if question.tool:
            yield "contentBlockStart", {"start": {"toolUse": _use(question, at)}, **place}
        for piece in pieces(answer.text):
            delta = {"toolUse": {"input": piece}} if question.tool else {"text": piece}
            yield "contentBlockDelta", {"delta": delta, **place}
        yield "contentBlockStop", place
    yield "messageStop", {"stopReason": _reason(question, answer)}
    yield "metadata", _used(answer, at)


def _event(name: str, value: dict[str, Any]) -> bytes:
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return message(headers, packed(value))


def _use(question: Question, at: Circumstances) -> dict[str, str]:
    return {"toolUseId": f"tooluse_{at.request_id}", "name": question.tool}


def _reason(question: Question, answer: Answer) -> str:
    if answer.finish == "length":
        return "max_tokens"
    return "tool_use" if question.tool and answer.text else "end_turn"


def _used(answer: Answer, at: Circumstances) -> dict[str, Any]:
    total = answer.tokens_in + answer.tokens_out
    usage = {"inputTokens": answer.tokens_in, "outputTokens": answer.tokens_out, "totalTokens": total}
    return {"usage": usage, "metrics": {"latencyMs": round(at.seconds * 1000)}}


PROTOCOL = Bedrock()
