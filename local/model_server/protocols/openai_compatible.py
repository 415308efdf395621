"""Any OpenAI-compatible endpoint: `POST /v1/chat/completions`, `GET /v1/models`.

https://platform.openai.com/docs/api-reference/chat. The public SDK works against it unmodified (openai 3.54.0).
Tools are refused rather than ignored; structured output is `response_format`.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote

from local.model_server.exchange import Answer, Body, Call, Circumstances, Question, Refusal
from local.model_server.protocols import _chat
from local.model_server.protocols.wording import whole

_CHAT = "/v1/chat/completions"
_MODELS = "/v1/models"


class OpenAICompatible:
    """OpenAI's own paths and headers; the deployment is the model that the body names."""

    name = "openai"

    def serves(self, call: Call) -> bool:
        """Tell whether a request's path is one of OpenAI's."""
        return call.path in {_CHAT, _MODELS} or _named(call) is not None

    def listing(self, call: Call, names: Sequence[str]) -> Body | None:
        """Word the list of models, or one of them."""
        known = [{"id": name, "object": "model", "created": 0, "owned_by": "local"} for name in names]
        if call.path == _MODELS:
            return whole(200, {}, {"object": "list", "data": known})
        return next((whole(200, {}, one) for one in known if one["id"] == _named(call)), None)

    def parse(self, call: Call) -> Question:
        """Read a chat completion's request."""
        return _chat.parse(call)

    def answer(self, question: Question, answer: Answer, at: Circumstances) -> Body:
        """Word an answer."""
        return _chat.answer(question, answer, at, self._extras(at))

    def refuse(self, refusal: Refusal, at: Circumstances) -> Body:
        """Word a refusal."""
        return _chat.refuse(refusal, at, self._extras(at))

    def _extras(self, at: Circumstances) -> _chat.Extras:
        return _chat.Extras({"openai-processing-ms": str(round(at.seconds * 1000))})


def _named(call: Call) -> str | None:
    name = call.path.removeprefix(f"{_MODELS}/")
    return unquote(name) if call.method == "GET" and name != call.path else None


PROTOCOL = OpenAICompatible()
