"""OpenAI's chat completions, as Azure OpenAI and OpenAI-compatible servers word them.

https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from local.model_server.exchange import Answer, Body, Call, Circumstances, Meter, Question, Refusal
from local.model_server.protocols.wording import EVENTS, checked, event, milliseconds_up, pieces, seconds_up, whole
from shared.errors import Permanent

DONE = b"data: [DONE]\n\n"
_ERRORS = {
    400: ("invalid_request_error", "invalid_request"),
    401: ("authentication_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("requests", "rate_limit_exceeded"),
    500: ("server_error", "internal_error"),
    503: ("server_error", "service_unavailable"),
}


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", populate_by_name=True)


class _Part(_Read):
    type: str
    text: str = ""


class _Message(_Read):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[_Part] | None = None

    @property
    def text(self) -> str:
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        if any(part.type != "text" for part in self.content):
            raise Permanent("this model reads text only", where="messages.content")
        return "".join(part.text for part in self.content)


class _Schema(_Read):
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    given: dict[str, Any] = Field(default_factory=dict, alias="schema")


class _Format(_Read):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _Schema | None = None


class _StreamOptions(_Read):
    include_usage: bool = False


class _Request(_Read):
    model: str = ""
    messages: list[_Message] = Field(min_length=1)
    response_format: _Format | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    stream: bool = False
    stream_options: _StreamOptions | None = None
    n: Literal[1] | None = None
    tools: list[Any] | None = Field(default=None, max_length=0)

    @property
    def schema_wanted(self) -> dict[str, Any] | None:
        if self.response_format is None or self.response_format.type == "text":
            return None
        if self.response_format.type == "json_object":
            return {"type": "object"}
        if self.response_format.json_schema is None:
            raise Permanent("json_schema is missing", where="response_format")
        return self.response_format.json_schema.given


def parse(call: Call, deployment: str | None = None) -> Question:
    """Read a request; the deployment is the body's `model` unless the path names it."""
    asked = checked(_Request, call)
    if not deployment and not asked.model:
        raise Permanent("you must provide a model parameter", where="model")
    said = [one for one in asked.messages if one.role == "user"]
    if not said:
        raise Permanent("there is no user message", where="messages")
    return Question(
        deployment=deployment or asked.model,
        text=said[-1].text,
        instruction="\n".join(one.text for one in asked.messages if one.role in {"system", "developer"}),
        schema=asked.schema_wanted,
        max_tokens=asked.max_completion_tokens or asked.max_tokens,
        stream=asked.stream,
        wants_usage=bool(asked.stream_options and asked.stream_options.include_usage),
    )


@dataclass(frozen=True, slots=True)
class Extras:
    """What a server adds to the documented fields: headers, a first event, and something to each choice."""

    headers: Mapping[str, str] = field(default_factory=dict)
    opening: Mapping[str, Any] | None = None
    choice: Mapping[str, Any] = field(default_factory=dict)


def answer(question: Question, answer: Answer, at: Circumstances, extras: Extras) -> Body:
    """Word an answer."""
    headers = {"x-request-id": at.request_id, **limits(at), **extras.headers}
    if question.stream:
        return Body(200, {**EVENTS, **headers}, tuple(_events(question, answer, at, extras)), streamed=True)
    message = {"role": "assistant", "content": answer.text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish, **extras.choice}
    return whole(200, headers, _frame(question, at, "", [choice]) | {"usage": _usage(answer)})


def refuse(refusal: Refusal, at: Circumstances, extras: Extras) -> Body:
    """Word a refusal."""
    kind, code = _ERRORS.get(refusal.status, ("api_error", "error"))
    said = {"message": refusal.message, "type": kind, "param": None, "code": code}
    headers = {"x-request-id": at.request_id, **limits(at), **retry(refusal), **extras.headers}
    return whole(refusal.status, headers, {"error": said})


def limits(at: Circumstances) -> dict[str, str]:
    """Return the headers that tell what is left of the quotas."""
    found: dict[str, str] = {}
    for name, meter in (("requests", at.requests), ("tokens", at.tokens)):
        if meter is not None:
            found[f"x-ratelimit-limit-{name}"] = str(meter.limit)
            found[f"x-ratelimit-remaining-{name}"] = str(meter.remaining)
            found[f"x-ratelimit-reset-{name}"] = _span(meter)
    return found


def retry(refusal: Refusal) -> dict[str, str]:
    """Return the headers that tell when to try again."""
    if refusal.retry_after is None:
        return {}
    milliseconds = milliseconds_up(refusal.retry_after)
    return {"retry-after": seconds_up(refusal.retry_after), "retry-after-ms": str(milliseconds)}


def _events(question: Question, answer: Answer, at: Circumstances, extras: Extras) -> list[bytes]:
    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish, **extras.choice}
        return event(_frame(question, at, ".chunk", [choice]) | usage)

    usage = {"usage": None} if question.wants_usage else {}
    opening = [event({**_frame(question, at, ".chunk", []), **extras.opening})] if extras.opening else []
    begun = chunk({"role": "assistant", "content": "", "refusal": None})
    said = [chunk({"content": piece}) for piece in pieces(answer.text)]
    used = [event(_frame(question, at, ".chunk", []) | {"usage": _usage(answer)})] if question.wants_usage else []
    return [*opening, begun, *said, chunk({}, answer.finish), *used, DONE]


def _frame(question: Question, at: Circumstances, kind: str, choices: list[Any]) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{at.request_id}",
        "object": f"chat.completion{kind}",
        "created": int(at.now),
        "model": question.deployment,
        "system_fingerprint": None,
        "choices": choices,
    }


def _usage(answer: Answer) -> dict[str, int]:
    total = answer.tokens_in + answer.tokens_out
    return {"prompt_tokens": answer.tokens_in, "completion_tokens": answer.tokens_out, "total_tokens": total}


def _span(meter: Meter) -> str:
    return f"{milliseconds_up(meter.reset)}ms" if meter.reset < 1 else f"{meter.reset:.3f}s"
