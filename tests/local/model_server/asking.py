"""The same question in each protocol's words, and the answer read back out of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.eventstream import EventStreamBuffer

from local.model_server.exchange import Call, Reply

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": ["mit", "gpl", "unknown"]}, "score": {"type": "number"}},
    "required": ["label", "score"],
    "additionalProperties": False,
}
TEXT = "Permission is hereby granted, free of charge, to any person obtaining a copy of this software."
CARRIED = {
    "purpose": "classify",
    "text": TEXT,
    "classes": [
        {"name": "mit", "markers": ["permission is hereby granted, free of charge"]},
        {"name": "gpl", "markers": ["general public license"]},
    ],
}
INSTRUCTION = "Say which class it is."
PROMPT = json.dumps(CARRIED)


@dataclass(frozen=True)
class Spoken:
    """How one protocol asks and is read: `says` and `usage` read an answer, whole or streamed."""

    name: str
    ask: Callable[..., Call]
    says: Callable[[Reply], str]
    usage: Callable[[Reply], tuple[int, int]]
    reason: Callable[[Reply], str]

    def __str__(self) -> str:
        return self.name


def _call(path: str, body: Mapping[str, Any], query: Mapping[str, str] | None = None) -> Call:
    return Call("POST", path, query or {}, {"content-type": "application/json"}, json.dumps(body).encode())


# OpenAI and Azure


def _chat(text: str, *, stream: bool, schema: Any, most: int | None) -> dict[str, Any]:
    body: dict[str, Any] = {"messages": [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": text}]}
    if schema is not None:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    if most is not None:
        body["max_tokens"] = most
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def ask_openai(
    text: str = PROMPT, *, stream: bool = False, schema: Any = None, most: int | None = None, model: str = "m"
) -> Call:
    """Ask an OpenAI-compatible endpoint."""
    return _call("/v1/chat/completions", {"model": model, **_chat(text, stream=stream, schema=schema, most=most)})


def ask_azure(
    text: str = PROMPT, *, stream: bool = False, schema: Any = None, most: int | None = None, model: str = "m"
) -> Call:
    """Ask a deployment on Azure."""
    path = f"/openai/deployments/{model}/chat/completions"
    return _call(path, _chat(text, stream=stream, schema=schema, most=most), {"api-version": "2024-10-21"})


def events(reply: Reply) -> list[Any]:
    """Return the values of server-sent events, without OpenAI's last word."""
    lines = reply.content.decode().split("\n\n")
    values = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [json.loads(value) for value in values if value != "[DONE]"]


def _streamed(reply: Reply) -> bool:
    return reply.length is None


def _chat_says(reply: Reply) -> str:
    if not _streamed(reply):
        return str(json.loads(reply.content)["choices"][0]["message"]["content"])
    return "".join(choice["delta"].get("content", "") for one in events(reply) for choice in one["choices"])


def _chat_usage(reply: Reply) -> tuple[int, int]:
    told = (events(reply)[-1] if _streamed(reply) else json.loads(reply.content))["usage"]
    assert told["total_tokens"] == told["prompt_tokens"] + told["completion_tokens"]
    return told["prompt_tokens"], told["completion_tokens"]


def _chat_reason(reply: Reply) -> str:
    told = events(reply) if _streamed(reply) else [json.loads(reply.content)]
    return next(str(choice["finish_reason"]) for one in told for choice in one["choices"] if choice["finish_reason"])


# Bedrock


def ask_bedrock(
    text: str = PROMPT, *, stream: bool = False, schema: Any = None, most: int | None = None, model: str = "m"
) -> Call:
    """Converse with a model; a schema is a forced tool's."""
    body: dict[str, Any] = {
        "system": [{"text": INSTRUCTION}],
        "messages": [{"role": "user", "content": [{"text": text}]}],
    }
    if schema is not None:
        spec = {"toolSpec": {"name": "answer", "inputSchema": {"json": schema}}}
        body["toolConfig"] = {"tools": [spec], "toolChoice": {"tool": {"name": "answer"}}}
    if most is not None:
        body["inferenceConfig"] = {"maxTokens": most}
    return _call(f"/model/{model}/converse{'-stream' if stream else ''}", body)


def frames(reply: Reply) -> list[tuple[str, Any]]:
    """Return the events of a binary stream, each checked by botocore's own reader."""
    buffer = EventStreamBuffer()
    buffer.add_data(reply.content)
    return [(one.headers[":event-type"], json.loads(one.payload)) for one in buffer]


def _bedrock_says(reply: Reply) -> str:
    if _streamed(reply):
        deltas = [value["delta"] for name, value in frames(reply) if name == "contentBlockDelta"]
        return "".join(delta["text"] if "text" in delta else delta["toolUse"]["input"] for delta in deltas)
    blocks = json.loads(reply.content)["output"]["message"]["content"]
    return "".join(block["text"] if "text" in block else json.dumps(block["toolUse"]["input"]) for block in blocks)


def _bedrock_usage(reply: Reply) -> tuple[int, int]:
    told = (dict(frames(reply))["metadata"] if _streamed(reply) else json.loads(reply.content))["usage"]
    assert told["totalTokens"] == told["inputTokens"] + told["outputTokens"]
    return told["inputTokens"], told["outputTokens"]


def _bedrock_reason(reply: Reply) -> str:
    told = dict(frames(reply))["messageStop"] if _streamed(reply) else json.loads(reply.content)
    return str(told["stopReason"])


# Gemini


def ask_gemini(
    text: str = PROMPT, *, stream: bool = False, schema: Any = None, most: int | None = None, model: str = "m"
) -> Call:
    """Ask Gemini."""
    generation: dict[str, Any] = {} if most is None else {"maxOutputTokens": most}
    if schema is not None:
        generation |= {"responseMimeType": "application/json", "responseJsonSchema": schema}
    body = {
        "systemInstruction": {"parts": [{"text": INSTRUCTION}]},
        "contents": [{"role": "user", "parts": [{"text": text}]}],
        "generationConfig": generation,
    }
    verb, query = ("streamGenerateContent", {"alt": "sse"}) if stream else ("generateContent", {})
    return _call(f"/v1beta/models/{model}:{verb}", body, query)


def _candidates(reply: Reply) -> list[Any]:
    return events(reply) if _streamed(reply) else [json.loads(reply.content)]


def _gemini_says(reply: Reply) -> str:
    contents = [one["candidates"][0]["content"] for one in _candidates(reply)]
    return "".join(part["text"] for content in contents for part in content.get("parts", ()))


def _gemini_usage(reply: Reply) -> tuple[int, int]:
    told = _candidates(reply)[-1]["usageMetadata"]
    assert told["totalTokenCount"] == told["promptTokenCount"] + told["candidatesTokenCount"]
    return told["promptTokenCount"], told["candidatesTokenCount"]


def _gemini_reason(reply: Reply) -> str:
    return str(_candidates(reply)[-1]["candidates"][0]["finishReason"])


OPENAI = Spoken("openai", ask_openai, _chat_says, _chat_usage, _chat_reason)
AZURE = Spoken("azure", ask_azure, _chat_says, _chat_usage, _chat_reason)
BEDROCK = Spoken("bedrock", ask_bedrock, _bedrock_says, _bedrock_usage, _bedrock_reason)
GEMINI = Spoken("gemini", ask_gemini, _gemini_says, _gemini_usage, _gemini_reason)
ALL = (OPENAI, AZURE, BEDROCK, GEMINI)
