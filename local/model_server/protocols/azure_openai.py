"""Azure OpenAI: `POST /openai/deployments/{name}/chat/completions?api-version=…`.

https://learn.microsoft.com/azure/ai-services/openai/reference. The public SDK's AzureOpenAI works against it
unmodified (openai 3.54.0). As on Azure, a stream opens with an event that has no choices.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote

from local.model_server.exchange import Answer, Body, Call, Circumstances, Question, Refusal
from local.model_server.protocols import _chat
from shared.errors import NotFound

_PATH = re.compile(r"/openai/deployments/([^/]+)/chat/completions")
_SAFE = {"filtered": False, "severity": "safe"}
_FILTERS = dict.fromkeys(("hate", "self_harm", "sexual", "violence"), _SAFE)


class AzureOpenAI:
    """Azure's path and headers around OpenAI's chat completions."""

    name = "azure"

    def serves(self, call: Call) -> bool:
        """Tell whether a request's path is a deployment's."""
        return _PATH.fullmatch(call.path) is not None

    def listing(self, call: Call, names: Sequence[str]) -> Body | None:  # noqa: ARG002  a management API lists them
        """Return nothing: deployments are not listed here."""
        return None

    def parse(self, call: Call) -> Question:
        """Read a chat completion's request; the path names the deployment."""
        found = _PATH.fullmatch(call.path)
        if found is None or not call.query.get("api-version"):
            raise NotFound("Resource not found")  # what Azure says to a request without api-version
        return _chat.parse(call, unquote(found[1]))

    def answer(self, question: Question, answer: Answer, at: Circumstances) -> Body:
        """Word an answer."""
        prompt = [{"prompt_index": 0, "content_filter_results": _FILTERS}]
        opening = {"id": "", "object": "", "created": 0, "model": "", "prompt_filter_results": prompt}
        extras = _chat.Extras(self._headers(at), opening, {"content_filter_results": _FILTERS})
        return _chat.answer(question, answer, at, extras)

    def refuse(self, refusal: Refusal, at: Circumstances) -> Body:
        """Word a refusal."""
        return _chat.refuse(refusal, at, _chat.Extras(self._headers(at)))

    def _headers(self, at: Circumstances) -> dict[str, str]:
        return {"apim-request-id": at.request_id, "x-ms-region": "local"}


PROTOCOL = AzureOpenAI()
