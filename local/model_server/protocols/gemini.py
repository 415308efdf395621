"""Gemini: `POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`, and Vertex AI's longer path.

https://ai.google.dev/api/generate-content. The public SDK works against it unmodified, for the Gemini API and for
Vertex AI (google-genai 3.4.0). Structured output is `responseSchema` or `responseJsonSchema`; tools are refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from local.model_server.exchange import Answer, Body, Call, Circumstances, Question, Refusal
from local.model_server.protocols.wording import (
    EVENTS,
    JSON,
    checked,
    event,
    milliseconds_up,
    packed,
    pieces,
    seconds_up,
    whole,
)
from shared.errors import Permanent

_VERSION = r"/v1(?:alpha|beta|beta1)?"
_VERTEX = r"(?:/projects/[^/]+/locations/[^/]+)?(?:/publishers/google)?"
_PATH = re.compile(rf"{_VERSION}{_VERTEX}/models/([^/]+?)(?::|%3A)(generateContent|streamGenerateContent)")
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
_FINISH = {"stop": "STOP", "length": "MAX_TOKENS"}
_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", alias_generator=to_camel, populate_by_name=True)


class _Part(_Read):
    text: str | None = None


class _Content(_Read):
    role: Literal["user", "model", "function"] = "user"
    parts: list[_Part] = Field(default_factory=list)

    @property
    def text(self) -> str:
        if any(part.text is None for part in self.parts):
            raise Permanent("this model reads text only", where="contents.parts")
        return "".join(part.text or "" for part in self.parts)


class _Generation(_Read):
    max_output_tokens: int | None = Field(default=None, ge=1)
    response_mime_type: str = "text/plain"
    response_schema: dict[str, Any] | None = None
    response_json_schema: dict[str, Any] | None = None
    candidate_count: Literal[1] | None = None

    @property
    def schema_wanted(self) -> dict[str, Any] | None:
        given = self.response_json_schema or self.response_schema
        if self.response_mime_type != "application/json":
            if given is not None:
                raise Permanent("a schema needs responseMimeType application/json", where="generationConfig")
            return None
        return given or {"type": "object"}


class _Request(_Read):
    contents: list[_Content] = Field(min_length=1)
    system_instruction: _Content = Field(default_factory=_Content)
    generation_config: _Generation = Field(default_factory=_Generation)
    tools: list[Any] | None = Field(default=None, max_length=0)


class Gemini:
    """generateContent: one answer, server-sent events, or one JSON array that arrives bit by bit."""

    name = "gemini"

    def serves(self, call: Call) -> bool:
        """Tell whether a request's path is one of Gemini's."""
        return _lists(call) or _PATH.fullmatch(call.path) is not None

    def listing(self, call: Call, names: Sequence[str]) -> Body | None:
        """Word the list of models."""
        if not _lists(call):
            return None
        methods = {"supportedGenerationMethods": ["generateContent"]}
        return whole(200, {}, {"models": [{"name": f"models/{name}", **methods} for name in names]})

    def parse(self, call: Call) -> Question:
        """Read a request; the path names the model."""
        found = _PATH.fullmatch(call.path)
        asked = checked(_Request, call)
        said = [one for one in asked.contents if one.role == "user"]
        if found is None or not said:
            raise Permanent("a conversation has a user's content", where="contents")
        streamed = found[2].startswith("stream")
        return Question(
            deployment=unquote(found[1]),
            text=said[-1].text,
            instruction=asked.system_instruction.text,
            schema=asked.generation_config.schema_wanted,
            max_tokens=asked.generation_config.max_output_tokens,
            stream=streamed,
            events=call.query.get("alt") == "sse",
        )

    def answer(self, question: Question, answer: Answer, at: Circumstances) -> Body:
        """Word an answer."""
        if not question.stream:
            return whole(200, {}, _candidate(question, answer.text, answer, at, last=True))
        said = pieces(answer.text) or [""]
        parts = [
            _candidate(question, piece, answer, at, last=place == len(said)) for place, piece in enumerate(said, 1)
        ]
        if question.events:
            return Body(200, EVENTS, tuple(map(event, parts)), streamed=True)
        begun = [(b"," if place else b"[") + packed(part) for place, part in enumerate(parts)]
        return Body(200, JSON, (*begun, b"]"), streamed=True)

    def refuse(self, refusal: Refusal, at: Circumstances) -> Body:  # noqa: ARG002  Gemini has no id for a request
        """Word a refusal; when to try again is told in the body's details, too."""
        said: dict[str, Any] = {"code": refusal.status, "message": refusal.message}
        said["status"] = _STATUSES.get(refusal.status, "UNKNOWN")
        if refusal.retry_after is None:
            return whole(refusal.status, {}, {"error": said})
        said["details"] = [{"@type": _RETRY_INFO, "retryDelay": f"{milliseconds_up(refusal.retry_after) / 1000:.3f}s"}]
        return whole(refusal.status, {"retry-after": seconds_up(refusal.retry_after)}, {"error": said})


def _lists(call: Call) -> bool:
    """Tell whether models are asked for; OpenAI has that path, too, and only Gemini's clients say who they are."""
    shared = call.path == "/v1/models" and any(name.startswith("x-goog-") for name in call.headers)
    return call.method == "GET" and (shared or call.path == "/v1beta/models")


def _candidate(question: Question, text: str, answer: Answer, at: Circumstances, *, last: bool) -> dict[str, Any]:
    content: dict[str, Any] = {"role": "model", **({"parts": [{"text": text}]} if text else {})}
    finish = {"finishReason": _FINISH[answer.finish]} if last else {}
    used = {"promptTokenCount": answer.tokens_in}
    if last:
        used |= {"candidatesTokenCount": answer.tokens_out, "totalTokenCount": answer.tokens_in + answer.tokens_out}
    return {
        "candidates": [{"content": content, "index": 0, **finish}],
        "usageMetadata": used,
        "modelVersion": question.deployment,
        "responseId": at.request_id,
    }


PROTOCOL = Gemini()
