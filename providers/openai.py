"""OpenAI, and every server that speaks its chat completions: `POST {url}/chat/completions`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers import _chat
from providers.answering import Said, packed
from providers.credentials import secret
from providers.http import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.core.completion import Prompt
    from shared.core.routing import Candidate

_URL = "https://api.openai.com/v1"


class OpenAI:
    """A bearer token, the model in the body. Servers other than OpenAI's know only the older `max_tokens`."""

    request_id = "x-request-id"

    def request(self, candidate: Candidate, prompt: Prompt, secrets: Mapping[str, str]) -> Request:
        """Word the prompt."""
        key = secret(candidate, secrets)
        headers = {"x-client-request-id": prompt.reference, "idempotency-key": prompt.reference}
        headers |= {"authorization": f"Bearer {key}"} if key else {}
        asked = _chat.body(prompt, "max_tokens" if candidate.url else "max_completion_tokens")
        url = f"{candidate.url.rstrip('/') or _URL}/chat/completions"
        return Request(url, headers, packed({"model": candidate.model, **asked}))

    def read(self, found: dict[str, Any], headers: Mapping[str, str]) -> Said:  # noqa: ARG002  other dialects need them
        """Read an answer."""
        return _chat.read(found)
