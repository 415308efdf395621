"""Gemini: `POST {url}/models/{model}:generateContent`, of the Gemini API or of Vertex AI.

https://ai.google.dev/api/generate-content. For Vertex AI the candidate's `url` goes on to `…/publishers/google` and its
credential is a token; the Gemini API takes a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from providers.answering import Said, packed
from providers.credentials import secret
from providers.http import Request
from shared.core.phrasing import phrase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.core.completion import Prompt
    from shared.core.routing import Candidate

_URL = "https://generativelanguage.googleapis.com/v1beta"
_VERTEX = "/publishers/google"


class Gemini:
    """Structured output is `responseJsonSchema`; the answer may come in several parts."""

    request_id = "x-request-id"

    def request(self, candidate: Candidate, prompt: Prompt, secrets: Mapping[str, str]) -> Request:
        """Word the prompt."""
        url = candidate.url.rstrip("/") or _URL
        key = secret(candidate, secrets)
        headers = {"authorization": f"Bearer {key}"} if url.endswith(_VERTEX) else {"x-goog-api-key": key}
        path = f"/models/{quote(candidate.model, safe='')}:generateContent"
        return Request(url + path, headers, packed(_body(prompt)))

    def read(self, found: dict[str, Any], headers: Mapping[str, str]) -> Said:  # noqa: ARG002  other dialects need them
        """Read an answer; what the model thought is paid for like what it said."""
        used = found["usageMetadata"]
        parts = found["candidates"][0].get("content", {}).get("parts", ()) if found.get("candidates") else ()
        text = "".join(part["text"] for part in parts if "text" in part and not part.get("thought"))
        tokens_out = used.get("candidatesTokenCount", 0) + used.get("thoughtsTokenCount", 0)
        return Said(text, used["promptTokenCount"], tokens_out)


def _body(prompt: Prompt) -> dict[str, Any]:
    system, user = phrase(prompt)
    return {
        "systemInstruction": {"parts": [{"text": system}]},
        "contents": [{"role": "user", "parts": [{"text": user}]}],
        "generationConfig": {
            "candidateCount": 1,
            "maxOutputTokens": prompt.max_output_tokens,
            "responseMimeType": "application/json",
            "responseJsonSchema": prompt.answer_schema,
            "temperature": 0,
        },
    }
