"""Azure OpenAI: `POST {url}/openai/deployments/{model}/chat/completions`, with a resource's key.

https://learn.microsoft.com/azure/ai-services/openai/reference
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from providers import _chat
from providers.answering import Said, packed
from providers.credentials import secret
from providers.http import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.core.completion import Prompt
    from shared.core.routing import Candidate

_VERSION = "2024-10-21"


class AzureOpenAI:
    """The deployment is in the path; the candidate's `model` is the deployment's name."""

    request_id = "apim-request-id"

    def request(self, candidate: Candidate, prompt: Prompt, secrets: Mapping[str, str]) -> Request:
        """Word the prompt."""
        headers = {"api-key": secret(candidate, secrets), "x-ms-client-request-id": prompt.reference}
        path = f"/openai/deployments/{quote(candidate.model, safe='')}/chat/completions?api-version={_VERSION}"
        body = packed(_chat.body(prompt, "max_completion_tokens"))
        return Request(f"{candidate.url.rstrip('/')}{path}", headers, body)

    def read(self, found: dict[str, Any], headers: Mapping[str, str]) -> Said:  # noqa: ARG002  other dialects need them
        """Read an answer."""
        return _chat.read(found)
